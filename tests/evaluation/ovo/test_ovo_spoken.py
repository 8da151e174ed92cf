"""Asked once, said when it is time: which questions a watcher puts, what it says for the model, how that is scored."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.ovo.annotations import Annotations, FileRefused, load_annotations
from evaluation.ovo.asking import SKIPPED
from evaluation.ovo.spoken import BLIND, Said, blind, contents, measure, said_in
from evaluation.ovo.watching import Moment, Watch, Watching, watching

COUNTING: dict[str, Any] = {
    "id": 0, "task": "REC", "video": "a.mp4", "activity": "jump", "start_times": [1, 4], "end_times": [5, 2],
    "test_info": [{"realtime": 4, "count": 1}, {"realtime": 8, "count": 2}],
}  # fmt: skip
STEPS: dict[str, Any] = {
    "id": 1, "task": "SSR", "video": "a.mp4", "tutorial": "T", "all_steps": ["cut", "mix", "cut"],
    "start_time": [1, 3, 6], "end_time": [3, 5, 8],
    "test_info": [{"realtime": 7, "step": "cut", "type": 1}, {"realtime": 4, "step": "mix", "type": 1}],
}  # fmt: skip
CLUES: dict[str, Any] = {
    "id": 2, "task": "CRR", "video": "a.mp4", "question": "Where?", "answer": "at the top", "ask_time": 2,
    "clue_time": 4, "test_info": [{"realtime": 2, "type": 0}, {"realtime": 8, "type": 1}],
}  # fmt: skip


def loaded(folder: Path, *items: dict[str, Any]) -> Annotations:
    path = folder / "annotations.json"
    path.write_text(json.dumps(items))
    return load_annotations(path)


def entries(watch: Watch, answers: Mapping[float, str | None]) -> dict[Any, dict[str, Any]]:
    return {key: {"response": answers.get(at_s, "No")} for at_s, key in watch.keys.items()}


def test_each_item_becomes_questions_and_the_moments_at_which_to_speak(tmp_path: Path) -> None:
    made = watching(loaded(tmp_path, COUNTING, STEPS, CLUES), 1.0, contents=False)
    assert [(one.task, [(m.since_s, m.until_s, m.said) for m in one.moments]) for one in made.watches] == [
        ("REC", [(2, 5, "1"), (5, 9, "2")]),
        ("SSR", [(1, 3, "Yes"), (6, 8, "Yes")]),
        ("SSR", [(3, 5, "Yes")]),
        ("CRR", [(4, 9, "Yes")]),
    ]
    assert [sorted(one.keys) for one in made.watches] == [
        list(range(1, 9)), list(range(1, 8)), list(range(1, 8)), list(range(3, 9)),
    ]  # fmt: skip
    prompts = {query.prompt for query in made.annotations.queries if query.id == 1}
    assert len(prompts) == 2
    keys = [query.key for query in made.annotations.queries]
    assert len(keys) == len(set(keys)) == sum(len(one.keys) for one in made.watches)


def test_what_is_there_when_it_is_asked_for_is_to_be_said_at_once(tmp_path: Path) -> None:
    [watch] = watching(loaded(tmp_path, {**CLUES, "clue_time": 1}), 1.0, contents=False).watches
    assert [moment.since_s for moment in watch.moments] == [2]
    [never] = watching(loaded(tmp_path, {**CLUES, "clue_time": 9}), 1.0, contents=False).watches
    assert never.moments == []


def test_what_never_happens_is_never_to_be_said(tmp_path: Path) -> None:
    [watch] = watching(loaded(tmp_path, {**COUNTING, "start_times": [], "end_times": []}), 1.0, contents=False).watches
    assert watch.moments == []
    assert len(watch.keys) == 8


def test_an_item_without_its_moments_is_refused_with_the_field(tmp_path: Path) -> None:
    for item, named in (
        ({name: value for name, value in COUNTING.items() if name != "end_times"}, "field end_times"),
        ({**STEPS, "end_time": [1]}, "not equally long"),
        ({**CLUES, "clue_time": "4"}, "field clue_time"),
    ):
        with pytest.raises(FileRefused, match=f"id {item['id']}.*{named}"):
            watching(loaded(tmp_path, item), 1.0, contents=False)


def play(made: Watching, answer: Any) -> dict[Any, dict[str, Any]]:
    """As a run poses them: in the order of their times, those that are no longer wanted not at all."""
    found: dict[Any, dict[str, Any]] = {}
    for query in sorted(made.annotations.queries, key=lambda one: (one.at_s, one.key)):
        found[query.key] = {"response": answer(query)} if made.wanted(query, found) else dict(SKIPPED)
    return found


def test_who_has_spoken_is_asked_what_it_is_and_then_left_alone(tmp_path: Path) -> None:
    made = watching(loaded(tmp_path, CLUES), 1.0, contents=True)
    asked: list[tuple[float, str]] = []

    def answer(query: Any) -> str:
        asked.append((query.at_s, query.prompt[:6]))
        return ("Yes" if query.at_s >= 5 else "No") if query.prompt != "Where?" else "It stands at the Top."

    found = play(made, answer)
    assert [at_s for at_s, _ in asked] == [3, 4, 5, 5]
    assert asked[-1][1] == "Where?"
    [watch] = made.watches
    assert said_in(watch, found) == [Said(5, "Yes")]
    assert contents([watch], found) == 100.0
    assert contents([watch], play(made, lambda query: "No")) is None


def test_what_is_said_is_what_changes(tmp_path: Path) -> None:
    counting, cut, _, clue = watching(loaded(tmp_path, COUNTING, STEPS, CLUES), 1.0, contents=False).watches
    told = {1.0: "0", 2.0: None, 3.0: "1", 4.0: "1 time", 5.0: "1", 6.0: "2", 7.0: "2", 8.0: "2"}
    assert said_in(counting, entries(counting, told)) == [Said(3, "1"), Said(6, "2")]
    yes = dict.fromkeys((2.0, 3.0, 6.0), "Yes")
    assert said_in(cut, entries(cut, {**yes, 4.0: None})) == [Said(2, "Yes"), Said(6, "Yes")]
    assert said_in(clue, entries(clue, {3.0: "Yes", 5.0: "Yes"})) == [Said(3, "Yes")]
    late = {key: {**entry, "round_trip_ms": 1500.0} for key, entry in entries(cut, yes).items()}
    assert [one.at_s for one in said_in(cut, late)] == [3.5, 7.5]


def scored(watch: Watch, *said: tuple[float, str]) -> Any:
    return measure([(watch, [Said(*one) for one in said])])[watch.task]


def test_the_score_falls_with_time() -> None:
    clue = Watch("CRR", "a", [Moment(4, 14, "Yes")], {}, True)
    assert scored(clue, (4, "Yes")).decayed == 100.0
    assert scored(clue, (6, "Yes")).decayed == pytest.approx(50.0)
    assert scored(clue, (3.9, "Yes")).decayed == scored(clue).decayed == 0.0
    counting = Watch("REC", "a", [Moment(2, 5, "1", math.exp(0.2)), Moment(5, 9, "2", math.exp(0.4))], {})
    weights = math.exp(0.2), math.exp(0.4)
    late = scored(counting, (3, "1"), (5, "2"))
    assert late.decayed == pytest.approx(100 * (weights[0] * 2**-0.05 + weights[1]) / sum(weights))
    assert late.delay_s == 0.5
    assert scored(counting, (5, "1"), (6, "2")).decayed == pytest.approx(100 * weights[1] * 2**-0.05 / sum(weights))


def test_false_alarms_repetitions_and_f1_within_two_seconds() -> None:
    steps = Watch("SSR", "a", [Moment(10, 20, "Yes"), Moment(30, 40, "Yes")], {})
    told = scored(steps, (9, "Yes"), (11, "Yes"), (15, "Yes"), (34, "Yes"))
    assert (told.said, told.false, told.repeated) == (4, 25.0, 25.0)
    assert told.f1 == pytest.approx(100 * 2 * 1 / (4 + 2))
    assert scored(steps, (12, "Yes"), (31, "Yes")).f1 == 100.0
    nothing = scored(Watch("CRR", "a", [], {}, True))
    assert (nothing.decayed, nothing.f1, nothing.false, nothing.pauc) == (None, None, None, None)
    assert scored(Watch("CRR", "a", [], {}, True), (3, "Yes")).f1 == 0.0


def test_the_area_under_what_stands_said() -> None:
    steps = Watch("SSR", "a", [Moment(10, 20, "Yes")], {})
    assert scored(steps).pauc == pytest.approx(25.0)
    assert scored(steps, (10, "Yes")).pauc == pytest.approx(100.0)
    assert scored(steps, (14, "Yes")).pauc == pytest.approx(100 * (2 * 0.5 + 8 * 2) / 20)
    count = Watch("REC", "a", [Moment(10, 20, "1")], {})
    assert scored(count, (10, "7")).pauc == 0.0


def test_who_speaks_without_looking_is_measured_by_the_same_rule(tmp_path: Path) -> None:
    watches: Sequence[Watch] = watching(loaded(tmp_path, COUNTING, STEPS, CLUES), 1.0, contents=False).watches
    told = blind(watches)
    assert set(told) == set(BLIND)
    assert all(one.decayed == 0.0 and one.said == 0 for one in told["never"].values())
    assert told["always"]["CRR"].decayed == 0.0
    assert told["always"]["SSR"].decayed == 100.0
    assert told["always"]["SSR"].repeated == pytest.approx(100 * 3 / 14)
    assert told["6 s after the question"]["CRR"].delay_s == 4.0
