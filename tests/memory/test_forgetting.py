"""Forgetting where events share pictures: a still scene is one picture, seen for long and captured once."""

from pathlib import Path
from typing import Any

import pytest

from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    Context,
    EventFound,
    EventPage,
    Forget,
    Forgotten,
    FrameFound,
    GetEvent,
    GetFrame,
    ListEvents,
    Recall,
    Refused,
    SearchPicture,
)
from memory.stage import MemoryStage
from perception.messages import Barrier, Gap, Unchanged

S = 1_000_000


def listing(stream: str) -> ListEvents:
    return ListEvents(stream, 7, None, 0, FOREVER_US, 50, None)


def still_scene(tools: Any, seconds: int = 64) -> list[Any]:
    return [tools.percept(0, "red"), *(Unchanged(tools.stream, n * S, 0) for n in range(1, seconds))]


def events_of(stage: MemoryStage, tools: Any) -> list[Any]:
    return list(tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events)


@pytest.mark.parametrize("committed", [True, False])
def test_a_picture_of_a_forgotten_moment_goes_from_all_events(
    stage: MemoryStage, config: MemoryConfig, tools: Any, committed: bool
) -> None:
    tools.drive(stage, *still_scene(tools), *([Barrier(tools.stream, 1)] if committed else []))
    before = events_of(stage, tools)
    assert [len(one.frames) for one in before] == [1, 1, 1]
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, None, 0, 10 * S)), Forgotten)
    assert gone.events == [before[2].id]
    assert gone.changed == sorted(one.id for one in before[:2])
    for one in before[:2]:
        assert tools.only(tools.drive(stage, GetEvent(tools.stream, 1, one.id)), EventFound).event.frames == []
        tools.only(tools.drive(stage, GetFrame(tools.stream, 5, one.id, one.frames[0].n)), Refused)
    context = tools.only(tools.drive(stage, Recall(9, [tools.stream], "was it red", None, None, [64 * S], 4)), Context)
    assert context.evidence == []
    picture = SearchPicture(tools.stream, 3, tools.picture((220, 30, 30)), 0, FOREVER_US, 10)
    assert tools.only(tools.drive(stage, picture), EventPage).events == []
    files = [path for path in Path(config.streams_folder).rglob("*") if path.is_file()]
    assert b"jpeg of red" not in b"".join(path.read_bytes() for path in files)


def test_a_forgotten_picture_is_not_shown_again(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *still_scene(tools), Barrier(tools.stream, 1), Forget(tools.stream, 4, None, 0, 10 * S))
    unseen = [Unchanged(tools.stream, n * S, 0) for n in range(64, 95)]
    tools.drive(stage, *unseen, tools.percept(95 * S, "white"), Barrier(tools.stream, 2))
    assert [(one.start_us, len(one.frames)) for one in events_of(stage, tools)] == [
        (90 * S, 1),
        (60 * S, 0),
        (30 * S, 0),
    ]


def test_a_neighbour_of_a_forgotten_event_keeps_its_picture(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *still_scene(tools), Barrier(tools.stream, 1))
    last, middle, first = events_of(stage, tools)
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, middle.id, 0, 0)), Forgotten)
    assert (gone.events, gone.changed) == ([middle.id], [])
    for one in (last, first):
        frame = GetFrame(tools.stream, 5, one.id, one.frames[0].n)
        assert tools.only(tools.drive(stage, frame), FrameFound).jpeg == b"<jpeg of red at 0>"
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, first.id, 0, 0)), Forgotten)
    assert (gone.events, gone.changed) == ([first.id], [last.id])
    tools.only(tools.drive(stage, GetFrame(tools.stream, 5, last.id, last.frames[0].n)), Refused)


def test_events_that_close_behind_a_forget_bring_nothing_back(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *still_scene(tools, 40), Barrier(tools.stream, 1))
    outputs = tools.drive(
        stage, Forget(tools.stream, 4, None, 0, 10 * S), tools.percept(42 * S, "white", cut_us=42 * S),
        Barrier(tools.stream, 2),
    )  # fmt: skip
    assert len(tools.only(outputs, Forgotten).events) == 1
    assert [(one.start_us, len(one.frames)) for one in events_of(stage, tools)] == [(42 * S, 1), (30 * S, 0)]
    picture = SearchPicture(tools.stream, 3, tools.picture((220, 30, 30)), 0, FOREVER_US, 10)
    assert [one.start_us for one in tools.only(tools.drive(stage, picture), EventPage).events] == [42 * S]


def test_events_whose_commit_failed_lose_the_picture_too(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, *still_scene(tools, 40), Barrier(tools.stream, 1))
    disk.free_bytes = 0
    tools.drive(disk_stage, tools.percept(42 * S, "white", cut_us=42 * S), Forget(tools.stream, 4, None, 0, 10 * S))
    disk.free_bytes = 1 << 40
    clock.now_us += 60 * S
    tools.drive(disk_stage, Barrier(tools.stream, 2))
    assert [(one.start_us, len(one.frames)) for one in events_of(disk_stage, tools)] == [(42 * S, 1), (30 * S, 0)]


def test_the_last_picture_before_a_gap_belongs_to_the_event_that_it_ends(stage: MemoryStage, tools: Any) -> None:
    records = [tools.percept(0, "red"), tools.percept(5 * S, "blue"), Gap(tools.stream, 5 * S, 9 * S, "offline")]
    tools.drive(stage, *records, Unchanged(tools.stream, 9 * S, 0), Barrier(tools.stream, 1))
    second, first = events_of(stage, tools)
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, first.id, 0, 0)), Forgotten)
    assert gone.changed == [second.id]
