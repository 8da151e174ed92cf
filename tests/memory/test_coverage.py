"""What memory says it covers, where something short is missing or was forgotten."""

from typing import Any

import pytest

from memory.coverage import cover
from memory.messages import FOREVER_US, Context, Coverage, Forget, Recall
from memory.spans import Spans
from memory.stage import MemoryStage
from perception.messages import Barrier, Gap, Speech, Unchanged

S = 1_000_000


def covered(stage: MemoryStage, tools: Any, since: int, until: int) -> Coverage:
    asked = Recall(9, [tools.stream], "what was that?", since, until, [20 * S], 4)
    coverage: Coverage = tools.only(tools.drive(stage, asked), Context).coverage[0].coverage
    return coverage


def two_events(tools: Any) -> list[Any]:
    """[0, 10] and [11.5, 20], both closed."""
    return [
        tools.percept(0, "red"), Unchanged(tools.stream, 10 * S, 0),
        Gap(tools.stream, 10 * S, 11_500_000, "overload"), tools.percept(11_500_000, "blue"),
        Unchanged(tools.stream, 20 * S, 0), Gap(tools.stream, 20 * S, 21 * S, "overload"), Barrier(tools.stream, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("until", [FOREVER_US, 30 * S])
def test_nothing_is_covered_once_all_is_forgotten(make_stage: Any, tools: Any, until: int) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening(), *two_events(tools))
    assert covered(stage, tools, 0, 20 * S).covered == "full"
    assert covered(stage, tools, 10_500_000, 11 * S).covered == "full"
    tools.drive(stage, Forget(tools.stream, 4, None, 0, until))
    assert list(stage._streams[tools.stream].covered) == []
    assert covered(stage, tools, 0, 20 * S) == Coverage("none", -1, -1, [], 0)


def test_what_was_said_beyond_a_forgotten_event_takes_no_time_from_the_next(make_stage: Any, tools: Any) -> None:
    stage = make_stage()
    tools.drive(
        stage, tools.opening(), tools.percept(0, "red"), Unchanged(tools.stream, 9 * S, 0),
        tools.percept(10 * S, "blue", cut_us=10 * S), Speech(tools.stream, 4 * S, 14 * S, "a story"),
        Unchanged(tools.stream, 12 * S, 0), Unchanged(tools.stream, 20 * S, 0),
        Gap(tools.stream, 20 * S, 21 * S, "overload"), Barrier(tools.stream, 1),
    )  # fmt: skip
    assert stage._streams[tools.stream].store.reader.newest(0, FOREVER_US, 1 << 40, 9)[1].reach[1] == 14 * S
    tools.drive(stage, Forget(tools.stream, 4, None, 0, S))
    assert list(stage._streams[tools.stream].covered) == [(10 * S, 20 * S)]
    assert covered(stage, tools, 10 * S, 20 * S).covered == "full"
    assert covered(stage, tools, 0, 10 * S).covered == "none"
    stage.close()
    assert list(make_stage()._streams[tools.stream].covered) == [(10 * S, 20 * S)]


def test_a_short_event_that_was_forgotten_is_no_time_between_samples() -> None:
    spans, forgotten = Spans([(0, 10 * S), (11 * S, 20 * S)]), Spans([(10 * S, 11 * S)])
    asked = (10 * S, 11 * S)
    assert cover(spans, asked, 20 * S, [], forgotten, 0).covered == "none"
    assert cover(spans, asked, 20 * S, [], Spans(), 0).covered == "full"
    assert cover(spans, (5 * S, 15 * S), 20 * S, [], forgotten, 0).covered == "full"
