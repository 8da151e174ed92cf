"""A disk that is full for a while: what is forgotten stays so, what failed is tried again, what is lost is told."""

import sqlite3
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from memory import writing
from memory.messages import (
    FOREVER_US,
    BarrierReached,
    Context,
    EventCommitted,
    EventPage,
    Forget,
    Forgotten,
    GetFrame,
    ListEvents,
    Recall,
    Refused,
    SearchPicture,
)
from memory.stage import MemoryStage
from memory.store import put_settings
from perception.messages import Barrier, Gap, Speech

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


def events_of(stage: MemoryStage, tools: Any) -> list[Any]:
    return list(tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events)


def test_a_barrier_says_that_events_are_not_stored_until_they_are(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, tools.percept(0, "red"))
    disk.free_bytes = 0
    outputs = tools.drive(
        disk_stage, tools.percept(2 * S, "blue", cut_us=2 * S), Gap(tools.stream, 2 * S, 5 * S, "offline"),
        Barrier(tools.stream, 1),
    )  # fmt: skip
    assert tools.only(outputs, BarrierReached).fault.code == "storage_full"
    outputs = tools.drive(disk_stage, Barrier(tools.stream, 2))
    assert tools.only(outputs, BarrierReached).fault.code == "storage_full"
    disk.free_bytes = LONG
    clock.now_us += 3 * S
    told = tools.drive(disk_stage)
    assert [one.event.start_us for one in told if isinstance(one, EventCommitted)] == [0, 2 * S]
    assert tools.only(tools.drive(disk_stage, Barrier(tools.stream, 3)), BarrierReached).fault is None


def test_what_failed_is_tried_again_however_busy_the_stream_is(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, tools.percept(0, "red"))
    disk.free_bytes = 0
    tools.drive(disk_stage, tools.percept(2 * S, "blue", cut_us=2 * S), Barrier(tools.stream, 1))
    disk.free_bytes = LONG
    committed = []
    for second in range(3, 8):
        clock.now_us += S
        outputs = tools.drive(disk_stage, tools.percept(second * S, str(second)), Barrier(tools.stream, second))
        committed += [one.event.start_us for one in outputs if isinstance(one, EventCommitted)]
    assert committed == [0]


def test_an_open_event_whose_commit_failed_is_tried_again_unchanged(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    disk.free_bytes = 0
    tools.drive(disk_stage, tools.percept(0, "red"))
    disk.free_bytes = LONG
    clock.now_us += 5 * S
    tools.drive(disk_stage)
    assert [one.start_us for one in events_of(disk_stage, tools)] == [0]


def test_events_that_found_no_room_become_a_gap_and_none_stays_open(
    disk_stage: MemoryStage, make_stage: Any, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, tools.percept(0, "0"))
    disk.free_bytes = 0
    for n in range(1, 15):
        tools.drive(disk_stage, tools.percept(10 * n * S, str(n), cut_us=10 * n * S))
    disk.free_bytes = LONG
    clock.now_us += 5 * S
    tools.drive(disk_stage, Barrier(tools.stream, 1))
    events = events_of(disk_stage, tools)
    assert [(one.start_us // S, one.open) for one in events] == [
        (140, True), *((10 * n, False) for n in range(13, 5, -1)), (0, False)
    ]  # fmt: skip
    asked = Recall(9, [tools.stream], "was there a 0?", 0, 150 * S, [140 * S], 4)
    context = tools.only(tools.drive(disk_stage, asked), Context)
    gaps = context.coverage[0].coverage.gaps
    assert [(gap.start_us, gap.end_us, gap.reason) for gap in gaps] == [(1, 60 * S, "storage_full")]
    picture = SearchPicture(tools.stream, 3, tools.picture((220, 30, 30)), 0, 5 * S, 10)
    assert [one.id for one in tools.only(tools.drive(disk_stage, picture), EventPage).events] == [events[-1].id]
    covered = list(disk_stage._streams[tools.stream].covered)
    disk_stage.close()
    restored = make_stage()
    tools.drive(restored)
    assert [one.id for one in events_of(restored, tools)] == [one.id for one in events]
    assert covered[0] == next(iter(restored._streams[tools.stream].covered)) == (0, 1)


def test_small_changes_that_failed_are_tried_again(
    stage: MemoryStage, clock: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.drive(stage, tools.percept(0, "red"), tools.percept(10 * S, "blue", cut_us=10 * S), Barrier(tools.stream, 1))
    said = Speech(tools.stream, 5 * S, 8 * S, "the parcel has arrived")
    busy = [True]

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any) -> Any:
            if busy[0]:
                raise sqlite3.OperationalError("busy")
            return function(*values)

        return run

    monkeypatch.setattr("memory.writing.put_gap", failing(writing.put_gap))
    monkeypatch.setattr("memory.writing.add_speech", failing(writing.add_speech))
    monkeypatch.setattr("memory.keeping.put_settings", failing(put_settings))
    gap = Gap(tools.stream, 10 * S, 20 * S, "offline")
    outputs = tools.drive(stage, said, gap, tools.opening(max_event_us=5 * S), Barrier(tools.stream, 2))
    assert tools.only(outputs, BarrierReached).fault.code == "internal_error"
    busy[0] = False
    clock.now_us += 5 * S
    tools.drive(stage)
    assert tools.only(tools.drive(stage, Barrier(tools.stream, 3)), BarrierReached).fault is None
    assert events_of(stage, tools)[-1].transcript == "the parcel has arrived"
    store = stage._streams[tools.stream].store
    assert store.reader.totals().gaps == 1
    assert store.settings().options.max_event_us == 5 * S


def test_speech_of_an_event_that_is_not_stored_yet_is_stored_with_it(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any
) -> None:
    tools.drive(disk_stage, tools.percept(0, "red"))
    (first,) = events_of(disk_stage, tools)
    tools.drive(disk_stage, Forget(tools.stream, 4, first.id, 0, 0))
    disk.free_bytes = 0
    said = Speech(tools.stream, 2 * S, 4 * S, "hello")
    tools.drive(disk_stage, tools.percept(S, "red"), tools.percept(5 * S, "blue", cut_us=5 * S), said)
    disk.free_bytes = LONG
    clock.now_us += 5 * S
    tools.drive(disk_stage)
    assert [(one.start_us, one.transcript) for one in events_of(disk_stage, tools)] == [(5 * S, None), (S, "hello")]


def test_events_that_are_lost_on_a_disk_that_stays_bad_leave_no_pictures_in_ram(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, tools.opening(), tools.percept(0, "red"), Barrier(tools.stream, 1))
    stage._streams[tools.stream].store.broken = True
    tracemalloc.start()
    for n in range(1, 120):
        jpeg = bytes([n]) * 200_000
        tools.drive(stage, tools.percept(n * 10 * S, str(n), jpeg=jpeg, cut_us=n * 10 * S), Barrier(tools.stream, n))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stage._streams[tools.stream].again) > 90
    assert kept < 20 * 200_000
