"""A disk that is full for a while: what is forgotten stays so, what failed is tried again, what is lost is told."""

from typing import Any

from memory.messages import (
    FOREVER_US,
    EventCommitted,
    EventPage,
    Forget,
    Forgotten,
    GetFrame,
    ListEvents,
    Refused,
)
from memory.stage import MemoryStage

S = 1_000_000
LONG = 1 << 40


def listing(stream: str) -> ListEvents:
    return ListEvents(stream, 7, None, 0, FOREVER_US, 50, None)


def test_what_was_forgotten_before_its_commit_failed_never_comes_back(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, tools.percept(0, "red"))
    (event,) = tools.only(tools.drive(disk_stage, listing(tools.stream)), EventPage).events
    disk.free_bytes = 0
    outputs = tools.drive(
        disk_stage, tools.percept(2 * S, "blue", cut_us=2 * S), Forget(tools.stream, 4, None, 0, 2 * S)
    )
    assert tools.only(outputs, Forgotten).events == [event.id]
    frame = tools.only(tools.drive(disk_stage, GetFrame(tools.stream, 5, event.id, 0)), Refused)
    assert frame.fault.code == "event_not_found"
    disk.free_bytes = LONG
    clock.now_us += 60 * S
    outputs = tools.drive(disk_stage)
    assert [one for one in outputs if isinstance(one, EventCommitted)] == []
    assert event.id not in {
        one.id for one in tools.only(tools.drive(disk_stage, listing(tools.stream)), EventPage).events
    }


def test_an_event_that_is_forgotten_while_it_is_committed_is_not_told(stage: MemoryStage, tools: Any) -> None:
    outputs = tools.drive(
        stage, tools.percept(0, "red"), tools.percept(2 * S, "blue", cut_us=2 * S),
        Forget(tools.stream, 4, None, 0, 2 * S),
    )  # fmt: skip
    assert len(tools.only(outputs, Forgotten).events) == 1
    assert [one for one in outputs if isinstance(one, EventCommitted)] == []
