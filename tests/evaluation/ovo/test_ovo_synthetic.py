"""The synthetic set: the official form, the same from the same seed, and a proof that fails where it should."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clients.cli.commands import run as command
from evaluation.ovo.annotations import Annotations
from evaluation.ovo.synthetic import proof
from evaluation.ovo.synthetic.files import SyntheticSet, load_set, make_set
from evaluation.ovo.synthetic.items import items_of
from evaluation.ovo.synthetic.plan import SCENE_S, make_pair
from evaluation.ovo.synthetic.proof import prove, sampled
from evaluation.ovo.synthetic.script import script_of
from evaluation.ovo.tasks import TASKS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make_set(tmp_path_factory.mktemp("synthetic") / "set", seed=5, pairs=1, fillers=lambda _: 1)


def test_all_twelve_tasks_stand_in_an_official_file(made: SyntheticSet) -> None:
    asked = {query.task for query in made.annotations.queries}
    assert asked == set(TASKS)
    assert [item["id"] for item in made.annotations.items] == list(range(len(made.annotations.items)))
    assert all(query.at_s <= 15 * SCENE_S for query in made.annotations.queries)


def test_its_obligations_hold_but_for_letters_that_take_two_pairs(made: SyntheticSet) -> None:
    found = prove(made)
    assert [line for line in found.broken if "letters" not in line] == []
    assert all(row.oracle == row.paired == 1.0 for row in found.rows)
    by_task = {row.task: row for row in found.rows}
    assert by_task["EPM"].newest <= 0.5
    assert by_task["OCR"].past == 0.0
    assert by_task["ACR"].last <= 0.5


def test_letters_are_balanced_over_pairs() -> None:
    letters: dict[str, list[int]] = {}
    for number in range(4):
        for items in items_of(make_pair(9, number)):
            for item in items:
                if "gt" in item.fields:
                    letters.setdefault(item.task, []).append(item.fields["gt"])
    for task, found in letters.items():
        assert len({found.count(gt) for gt in range(4)}) == 1, task


def test_a_proof_tells_what_is_broken(made: SyntheticSet) -> None:
    twisted = [replace(one, gold="A") if one.task == "EPM" else one for one in made.annotations.queries]
    said = prove(replace(made, annotations=Annotations(made.annotations.items, twisted))).broken
    assert any(line.startswith("EPM: the pixels give") for line in said)
    assert any(line.startswith("EPM: seeing nothing") for line in said)
    assert any("EPM/0" in line and "same answer" in line for line in said)


def test_each_way_to_answer_without_what_it_takes_is_an_obligation(made: SyntheticSet) -> None:
    by_task = {row.task: replace(row, n=400) for row in prove(made).rows}
    fair = {"newest": 0.0, "last": 0.0, "shuffled": 0.0, "past": 0.0, "future": 0.0, "blind": 0.0}

    def said(task: str, **shares: float) -> list[str]:
        row = replace(by_task[task], **{**fair, **shares})
        return [*proof._too_easy([row]), *proof._unneeded([row])]

    assert said("EPM", past=1.0) == []
    assert [len(said("EPM", past=1.0, **{way: 0.5})) for way in ("newest", "future", "blind")] == [1, 1, 1]
    assert "more than the past" in said("EPM", past=0.9)[0]
    assert said("OJR", last=1.0) == []
    assert "the past gives" in said("OJR", last=1.0, past=0.5)[0]
    assert "more than the last frame" in said("OJR", last=0.9)[0]
    assert said("ACR") == []
    assert [len(said("ACR", **{way: 0.5})) for way in ("last", "shuffled")] == [1, 1]
    assert "the time alone" in said("REC", blind=0.5)[0]
    assert said("REC", last=1.0) == []


def test_the_same_seed_makes_the_same_set(made: SyntheticSet, tmp_path: Path) -> None:
    again = make_set(tmp_path / "again", seed=5, pairs=1, fillers=lambda _: 1)
    sums = [json.loads((one.folder / "manifest.json").read_text())["sha256"] for one in (made, again)]
    assert sums[0] == sums[1]
    assert load_set(made.folder) == made


def test_frames_carry_the_script_through_the_codec(made: SyntheticSet) -> None:
    frames = sampled(made.folder / "films/0001.mp4")
    assert len(frames) == 15 * SCENE_S
    assert all(state is not None and state.film == 1 for _, state in frames)
    assert [round(at_s * 10) for at_s, _ in frames] == [state.at_us // 100_000 for _, state in frames if state]


def test_nothing_is_shown_twice_that_is_asked_for_once() -> None:
    for number in range(20):
        pair = make_pair(3, number, fillers=3)
        for plan in pair.films:
            script = script_of(plan)
            for look in (*pair.met, *pair.doubted):
                assert sum(visit.thing.name == look for visit in script.visits) <= 1
            colours = {side[0] for side in plan.sides if side is not None and side[0].endswith(pair.kind)}
            assert len(colours) == 4


def test_the_command_makes_a_set_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["eval", "ovo", "make", "--out", str(tmp_path / "set"), "--seed", "2", "--pairs", "2"]) == 0
    assert "seed 2: 176 queries, 4 films" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command(["eval", "ovo", "make", "--out", str(tmp_path / "set")])
