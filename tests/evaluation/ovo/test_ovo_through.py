"""The figures that the oracle gives: each must fail where the server would have done what it measures."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.checks import Check
from evaluation.oracle.server import Heard
from evaluation.ovo import isolation, modes, through, unrecalled
from evaluation.ovo.isolation import Asked
from evaluation.ovo.synthetic.files import SyntheticSet, make_set, origin
from evaluation.ovo.synthetic.proof import sampled
from evaluation.ovo.through import Answered, judged, part_of
from evaluation.registry import BENCHES
from training.world import StripState

NOTHING = StripState(0, 0, (None,) * 9, None, None, 0, None, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    return make_set(tmp_path_factory.mktemp("through") / "set", seed=8, pairs=1)


@pytest.fixture(scope="module")
def perfect(made: SyntheticSet) -> list[Answered]:
    """A server that shows everything before the question, and nothing after."""
    frames = {film: sampled(made.folder / film) for film in made.films}
    answered = []
    for query in made.annotations.queries:
        seen = tuple(state for at_s, state in frames[query.video] if at_s < query.at_s and state is not None)
        answered.append(Answered(query, query.gold, Heard(query.prompt, seen, 0, query.gold)))
    return answered


def figures(made: SyntheticSet, answered: Sequence[Answered]) -> dict[str, Check]:
    return {check.id: check for check in judged(made, answered, full=True)}


def test_a_server_without_fault_holds_every_bar(made: SyntheticSet, perfect: list[Answered]) -> None:
    found = figures(made, perfect)
    assert {name: check.value for name, check in found.items()} == {
        "ovo.oracle": 1.0, "ovo.recall": 1.0, "ovo.causality": 0,
    }  # fmt: skip
    assert modes.judged(perfect, perfect[:9]).value == 0


def test_a_run_delivers_its_figures(
    made: SyntheticSet, perfect: list[Answered], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The set goes with the run's scratch folder, and is still there when it is judged."""

    def moved(folder: Path, *_: Any) -> SyntheticSet:
        shutil.copytree(made.folder, folder)
        return replace(made, folder=folder)

    @contextmanager
    def served(evidence: int = 0) -> Iterator[tuple[None, None]]:
        yield None, None

    for module in (through, modes, unrecalled):
        monkeypatch.setattr(module, "bench_set", moved)
        monkeypatch.setattr(module, "oracle_served", served)
        monkeypatch.setattr(
            module, "put", lambda part, *_: [one for one in perfect if one.query in part.annotations.queries]
        )
    checks = [check for module in (through, modes, unrecalled) for check in module.run(False, lambda _: None)]
    owed = [figure.id for part in BENCHES["ovo"].parts for figure in part.owes]
    assert {check.id for check in checks} < set(owed)
    assert [check.value for check in checks[:4]] == [1.0, 1.0, 0, 0]
    assert "seed 8" in checks[0].note


def test_a_wrong_answer_about_now_counts_and_one_about_what_was_not_shown_does_not(
    made: SyntheticSet, perfect: list[Answered]
) -> None:
    wrong = [replace(one, response="no") if one.query.task == "OCR" else one for one in perfect]
    assert figures(made, wrong)["ovo.oracle"].value == 0.0
    unseen = [replace(one, response="A", heard=None) if one.query.task == "EPM" else one for one in perfect]
    found = figures(made, unseen)
    assert found["ovo.oracle"].value == 1.0
    assert found["ovo.recall"].value is not None
    assert found["ovo.recall"].value < 0.7


def test_what_is_shown_or_said_of_the_future_counts(made: SyntheticSet, perfect: list[Answered]) -> None:
    query, heard = perfect[0].query, perfect[0].heard
    assert heard is not None
    late = replace(heard, seen=(*heard.seen, replace(NOTHING, at_us=round(query.at_s * 1_000_000))))
    assert figures(made, [replace(perfect[0], heard=late), *perfect[1:]])["ovo.causality"].value == 1
    future = [
        replace(one, response=made.truths[one.query.id].future) if one.query.task == "OJR" else one for one in perfect
    ]
    assert figures(made, future)["ovo.causality"].value == 4


def test_recall_that_is_off_must_lead_to_chance(made: SyntheticSet, perfect: list[Answered]) -> None:
    past = [one for one in perfect if one.query.task in {"EPM", "ASI", "HLD"}]
    assert not unrecalled.judged(past).ok
    assert unrecalled.judged([replace(one, response=None) for one in past]).ok


def test_modes_that_differ_are_named(perfect: list[Answered]) -> None:
    one, two, three, four = perfect[3:7]
    shown = replace(two, heard=None)
    proved = replace(three, evidence=(("a", "b", 0.5),))
    check = modes.judged(perfect, [replace(one, response="?"), shown, proved, four])
    assert (check.value, check.ok) == (3, False)
    assert "of 4: answers 1, pictures 1, evidence 1" in check.note
    assert str(one.query.key) in check.note


def test_a_part_of_a_set_keeps_whole_items(made: SyntheticSet) -> None:
    part = part_of(made, lambda query: query.task == "REC")
    assert {item["task"] for item in part.annotations.items} == {"REC"}
    assert len(part.annotations.queries) == 12


def test_the_full_profile_asks_what_nobody_can_know_about_longer_films(
    made: SyntheticSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[int, list[int]]] = []

    def make(folder: Path, seed: int, pairs: int, fillers: Callable[[int], int], progress: Any) -> SyntheticSet:
        asked.append((seed, [fillers(pair) for pair in range(pairs)]))
        return made

    monkeypatch.setattr(through, "make_set", make)
    quick, again, full, other = (through.bench_set(tmp_path, one, print) for one in (False, False, True, True))
    assert quick is again is full is other is made
    assert asked[0] == asked[1] == (through.SEED, [0] * 5)
    assert len({seed for seed, _ in asked}) == 3
    fillers = asked[2][1]
    assert (len(fillers), fillers[:4], fillers[-1]) == (50, [0, 5, 0, 20], 300)
    assert {made.films[one.video] for one in through.bench_set(tmp_path, False, print, (1, 1)).annotations.queries} == {
        0
    }
    assert asked[-1][1] == [0]
    assert origin(made).startswith("seed 8, manifest sha256 ")


def heard(stream: int, question: int, film: int, answer: str = "A") -> Heard:
    return Heard(f"Where?[stream {stream}, question {question}]", (replace(NOTHING, film=film),), 0, answer)


def test_crossings_are_pictures_evidence_or_answers_of_another_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "QUESTIONS", 4)
    asked = [Asked({0: "A", 1: "B"}), Asked({0: "A", 1: "A"})]
    told = [heard(0, 0, 0), heard(0, 1, 0, "B"), heard(1, 0, 1), heard(1, 1, 1)]
    assert isolation.judged(asked, told).value == 0
    assert isolation.judged(asked, [heard(0, 0, 1), *told[1:]]).value == 1
    assert isolation.judged([Asked({0: "B", 1: "B"}), asked[1]], told).value == 1
    assert isolation.judged([replace(asked[0], foreign=2), asked[1]], told).value == 2
    for beside in ("user: [stream 0, question 1] Where?", "The sign says XYZ."):
        assert isolation.judged(asked, [replace(told[0], beside=beside), *told[1:]]).value == 1
    assert isolation.judged(asked, told[:2]).value is None
