"""What is known of answers to a synthetic set: twins, distances, refusals, stale answers; and the report of it."""

import json
from pathlib import Path

import pytest

from clients.cli.commands import run as command
from evaluation.ovo.results import Responses, as_records, write_results
from evaluation.ovo.synthetic.files import SyntheticSet, make_set
from evaluation.ovo.synthetic.insight import Insight, insight_of, truth_beside
from evaluation.ovo.synthetic.proof import PROOF, keep_proof, kept_proof, prove
from evaluation.ovo.tasks import TASKS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make_set(tmp_path_factory.mktemp("insight") / "set", seed=6, pairs=1, fillers=lambda _: 6)


def right(made: SyntheticSet) -> dict[tuple[int, int], str | None]:
    return {query.key: query.gold for query in made.annotations.queries}


def seen(made: SyntheticSet, responses: Responses) -> Insight:
    return insight_of(made, as_records(made.annotations, responses))


def test_who_is_always_right_is_so_in_both_twins_and_at_every_distance(made: SyntheticSet) -> None:
    found = seen(made, right(made))
    assert found.twins == dict.fromkeys(TASKS, 100.0)
    assert (found.stale, found.early, found.hit, found.false_refusal, found.balanced) == (0, 0, 100.0, 0.0, 100.0)
    assert all(one.right == one.n > 0 for one in found.distances)
    assert [one.from_s for one in found.distances] == [0, 30, 60]
    assert [one.scenes for one in found.distances] == sorted(one.scenes for one in found.distances)
    proved = [one for one in made.annotations.queries if one.task in {"EPM", "ASI", "HLD"}]
    proved = [one for one in proved if made.truths[one.id].proof is not None]
    assert sum(one.n for one in found.distances) == len(proved)


def test_who_always_says_the_same_has_no_pair_right(made: SyntheticSet) -> None:
    found = seen(made, dict.fromkeys(right(made), "A"))
    assert {task: share for task, share in found.twins.items() if task not in {"REC", "SSR", "CRR"}} == dict.fromkeys(
        TASKS[:9], 0.0
    )


def test_stale_early_and_refusing_answers_are_told_apart(made: SyntheticSet) -> None:
    truths = made.truths
    stale = {query.key: truths[query.id].stale or "" for query in made.annotations.queries}
    early = {query.key: truths[query.id].future or "" for query in made.annotations.queries}
    timed = sum(bool(letter) for letter in stale.values())
    assert (seen(made, stale).stale, seen(made, stale).early) == (timed, 0)
    assert (seen(made, early).stale, seen(made, early).early) == (0, timed)
    refusing = dict(right(made))
    for query in made.annotations.queries:
        if query.task == "HLD":
            refusing[query.key] = "ABCD"[query.options.index("Unable to answer")]
    found = seen(made, refusing)
    assert (found.hit, found.false_refusal, found.balanced) == (0.0, 100.0, 50.0)


def test_the_report_and_the_last_line_tell_it(
    made: SyntheticSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept_proof(made.folder) is None
    keep_proof(made.folder, prove(made))
    write_results(tmp_path / "r.json", made.annotations, right(made))
    page, asked = tmp_path / "r.html", made.folder / "annotations.json"
    assert command(["eval", "ovo", "score", str(tmp_path), "--annotations", str(asked), "--report", str(page)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["synthetic"]["twins"]["EPM"] == 100.0
    text = page.read_text()
    assert "How far back" in text
    assert "Proof of the set" in text
    assert "both twins" in text
    (made.folder / PROOF).unlink()


def test_a_file_of_another_origin_has_no_truth_beside_it(made: SyntheticSet, tmp_path: Path) -> None:
    other = tmp_path / "annotations.json"
    other.write_text((made.folder / "annotations.json").read_text())
    assert truth_beside(other) is None
    assert truth_beside(made.folder / "annotations.json") == made
