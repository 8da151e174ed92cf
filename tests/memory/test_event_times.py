"""Questions whose time another event gives, and questions after when or how often: answered from the event list."""

import json
from typing import Any

import msgspec
import pytest

from memory.anchors import find
from memory.messages import Context, MemoryOptions, OpenMemory, Recall
from memory.occurrences import occurrences
from memory.ranking import Candidate, named
from memory.stage import MemoryStage
from perception.messages import Barrier, Speech

S = 1_000_000
SCENES = ["grey", "red", "grey", "green", "red", "blue", "grey", "red", "white"]
"""Ten seconds each."""


@pytest.fixture
def watched(stage: MemoryStage, tools: Any) -> MemoryStage:
    for n, scene in enumerate(SCENES):
        at = 10 * n * S
        tools.drive(stage, tools.percept(at, scene, cut_us=at if n else None), tools.percept(at + 5 * S, scene))
    tools.drive(stage, Speech(tools.stream, 52 * S, 53 * S, "the kettle whistles"), Barrier(tools.stream, 1))
    return stage


def ask(stage: MemoryStage, tools: Any, question: str, **more: Any) -> Context:
    message = Recall(9, [tools.stream], question, None, None, [90 * S], 4, **more)
    found: Context = tools.only(tools.drive(stage, message), Context)
    return found


@pytest.mark.parametrize(
    ("question", "since", "until"),
    [
        ("What was there before it was green?", 0, 30),
        ("Before the lamp went green, what was there?", 0, 30),
        ("What was there after the lamp was green?", 30, 91),
        ("What changed since the lamp went green?", 30, 91),
        ("What was there while the lamp was green?", 30, 40),
        ("What was there when the kettle whistles?", 50, 60),
        ("What was there after the last red?", 70, 91),
        ("What was there before the lamp was purple?", None, None),
        ("What was there before the lamp was red?", 0, 70),
        ("What was there before the first time that it was red?", 0, 10),
    ],
)
def test_a_range_by_an_event(
    watched: MemoryStage, tools: Any, question: str, since: int | None, until: int | None
) -> None:
    context = ask(watched, tools, question)
    # A candidate is cut off where its frames end; the bounds are those of events, give or take a sample.
    found = [None if one is None else one / S for one in (context.since_us, context.until_us)]
    if since is None:
        assert found == [None, None]
    else:
        assert found[0] == pytest.approx(since, abs=1.1)
        assert found[1] == pytest.approx(until, abs=1.1)
        assert any("green" in word or "red" in word or "kettle" in word for word in _words(context))
        assert all(one.start_us < until * S for one in context.evidence)


def _words(context: Context) -> list[str]:
    return list(json.loads(context.explain)["time_words"])


def test_how_often_counts_the_times_not_the_pictures(watched: MemoryStage, tools: Any) -> None:
    context = ask(watched, tools, "How many times was it red?")
    assert context.counted is not None
    assert [one.start_us // S for one in context.counted] == [10, 40, 70]
    assert {one.start_us // S for one in context.evidence} == {10, 40, 70}
    within = ask(watched, tools, "How often was it red in the last minute?")
    assert within.counted is not None
    assert [one.start_us // S for one in within.counted] == [40, 70]


def test_what_no_event_shows_is_not_counted(watched: MemoryStage, tools: Any) -> None:
    assert ask(watched, tools, "How many times was it purple?").counted is None
    assert ask(watched, tools, "Was it red?").counted is None


@pytest.mark.parametrize(
    ("question", "at"), [("When was it first red?", 10), ("When was it last red?", 70), ("When was the first red?", 10)]
)
def test_the_first_and_the_last_time_are_those_of_the_event_list(
    watched: MemoryStage, tools: Any, question: str, at: int
) -> None:
    (one,) = ask(watched, tools, question).evidence
    assert one.start_us // S == at


def test_since_the_question_before(watched: MemoryStage, tools: Any) -> None:
    start_wall_us = 1_772_618_400_000_000
    context = ask(watched, tools, "What changed since I asked?", asked_wall_us=start_wall_us + 65 * S)
    assert (context.since_us, context.until_us) == (65 * S, 90 * S + 1)
    assert ask(watched, tools, "What changed since I asked?").since_us is None


def test_an_event_of_one_camera_is_a_time_on_the_others(make_stage: Any, tools: Any) -> None:
    stage = make_stage()
    door, yard = "default/door", "default/yard"
    for key, begin in ((door, 0), (yard, 100)):
        tools.drive(stage, OpenMemory(key, (1_772_618_400 + begin) * S, "{}", MemoryOptions(), "UTC"))
        for n in range(10):
            at = (10 * n + 100 - begin) * S
            scene = "green" if key == door and n == 4 else f"{key}{n}"
            tools.drive(stage, msgspec.structs.replace(tools.percept(at, scene, cut_us=at if n else None), stream=key))
    message = Recall(9, [yard, door], "what was there while the light was green?", None, None, [100 * S, 200 * S], 9)
    context = tools.only(tools.drive(stage, message), Context)
    assert context.since_us == 40 * S
    assert {one.start_us // S for one in context.evidence if one.stream == yard} <= {30, 40, 50}


@pytest.mark.parametrize("question", ["What was there before that?", "When was it?", "before noon", "since the start"])
def test_what_names_no_event(question: str) -> None:
    assert find(question) is None


def candidate(seq: int, start: int, likeness: float | None = None, words: float | None = None) -> Candidate:
    return Candidate("cam", seq, f"e_{seq}", start * S, start * S + 9 * S, 0, start * S, likeness, words)


def test_neighbours_are_one_occurrence() -> None:
    found = occurrences([candidate(3, 40, 0.8), candidate(1, 0, 0.9), candidate(2, 10, 0.8), candidate(9, 90, 0.1)], {})
    assert [(one.start_us // S, one.end_us // S) for one in found] == [(0, 19), (40, 49)]


def test_what_is_named_is_not_what_is_only_half_as_like() -> None:
    seen = [candidate(1, 0, 0.9), candidate(2, 20, 0.83), candidate(3, 40, 0.5)]
    assert [one.best.seq for one in occurrences(seen, {})] == [1, 2, 3]
    assert [one.best.seq for one in occurrences(seen, {}, named)] == [1, 2]


def test_what_is_named_is_what_stands_out_where_that_is_known() -> None:
    seen = [candidate(1, 0, 0.9), candidate(2, 20, 0.83), candidate(3, 40, 0.5)]
    for one, salience in zip(seen, (0.2, 0.4, 0.1), strict=True):
        one.salience = salience
    assert [one.best.seq for one in occurrences(seen, {})] == [1, 2, 3]
    assert [one.best.seq for one in occurrences(seen, {}, named)] == [2]


def test_nothing_is_like_enough() -> None:
    assert occurrences([candidate(1, 0, 0.1), candidate(2, 10, 0.05)], {}) == []
    assert [one.best.seq for one in occurrences([candidate(1, 0, 0.1), candidate(2, 50, 0.05, words=2.0)], {})] == [2]
