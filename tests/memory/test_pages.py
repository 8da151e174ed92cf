"""Pages of a list: together they are the list, each event once, whatever is damaged or not stored yet."""

from typing import Any

import numpy as np
import pytest

from memory import writing
from memory.messages import FOREVER_US, EventPage, GapRecord, ListEvents, Refused
from memory.rows import EventRow, Keyframe, to_half
from memory.stage import MemoryStage
from perception.messages import Barrier

S = 1_000_000


def page_of(stage: MemoryStage, tools: Any, q: str | None, limit: int, cursor: str | None) -> Any:
    asked = ListEvents(tools.stream, 7, q, 0, FOREVER_US, limit, cursor)
    return tools.only(tools.drive(stage, asked), EventPage)


def pages(stage: MemoryStage, tools: Any, q: str | None, limit: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = page_of(stage, tools, q, limit, cursor)
        found.append([one.id for one in page.events])
        cursor = page.next_cursor
        if cursor is None:
            return found


def fill(stage: MemoryStage, tools: Any, events: int, frames: int) -> None:
    """A stream of events that all look alike."""
    stream = stage._streams[tools.stream]
    half = to_half(tools.vector_of("grey"))
    stream.store.db.execute("BEGIN IMMEDIATE")
    for seq in range(1, events + 1):
        at = seq * 30 * S
        kept = tuple(Keyframe(n, at + n * S, seq * 10 + n, b"jpeg", half, at + n * S) for n in range(frames))
        writing.put_event(stream.store.db, EventRow(seq, f"e_{seq}", at, at + S, at, False, kept, (), b""))
        stream.index.add(seq, kept)
    stream.store.db.execute("COMMIT")


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_a_search_pages_through_every_event_once(stage: MemoryStage, tools: Any, limit: int) -> None:
    events = 30 if limit == 1 else 300
    fill(stage, tools, events, 3)
    found = pages(stage, tools, "something red", limit)
    assert {len(one) for one in found[:-1]} <= {limit}
    told = [one for page in found for one in page]
    assert len(told) == len(set(told)) == events
    assert told == pages(stage, tools, "something red", 1000)[0]


def test_a_search_ends_after_a_thousand_events(stage: MemoryStage, tools: Any) -> None:
    fill(stage, tools, 1100, 2)
    found = pages(stage, tools, "something red", 400)
    assert [len(one) for one in found] == [400, 400, 200]
    for cursor in ("r1000", "r999999999999"):
        refused = tools.only(tools.drive(stage, ListEvents(tools.stream, 7, "red", 0, FOREVER_US, 9, cursor)), Refused)
        assert refused.fault.param == "cursor"
    assert page_of(stage, tools, "red", 9, "r999").next_cursor is None


@pytest.mark.parametrize("limit", [1, 2, 5, 50])
def test_damaged_events_end_no_page_early(stage: MemoryStage, tools: Any, limit: int) -> None:
    fill(stage, tools, 20, 1)
    drawn = sorted(int(n) + 1 for n in np.random.default_rng(3).choice(20, 11, replace=False))
    store = stage._streams[tools.stream].store
    for seq in drawn:
        store.db.execute("UPDATE events SET crc = crc + 1 WHERE seq = ?", (seq,))
    good = [f"e_{seq}" for seq in range(20, 0, -1) if seq not in drawn]
    found = pages(stage, tools, None, limit)
    assert [one for page in found for one in page] == good
    assert {len(one) for one in found[:-1]} <= {limit}
    assert found[-1]
    assert sorted(one for page in pages(stage, tools, "red", limit) for one in page) == sorted(good)


def test_an_event_that_is_not_stored_takes_no_place_on_a_page(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, tools.percept(0, "grey"), tools.percept(9 * S, "green", cut_us=9 * S), Barrier(tools.stream, 1))
    for message in (
        tools.percept(20 * S, "red", cut_us=20 * S),
        ListEvents(tools.stream, 7, "red", 0, FOREVER_US, 2, None),
    ):
        stage.submit(message)
    page = tools.only(stage.step(), EventPage)
    assert len(page.events) == 2
    tools.drive(stage)


def test_more_events_than_sqlite_takes_values_are_read(stage: MemoryStage, tools: Any) -> None:
    fill(stage, tools, 3, 1)
    assert list(stage._streams[tools.stream].store.reader.by_seq(range(1, 70_000))) == [1, 2, 3]


def test_a_list_by_time_tells_the_gaps_and_what_was_forgotten(stage: MemoryStage, tools: Any) -> None:
    fill(stage, tools, 20, 1)
    stream = stage._streams[tools.stream]
    writing.put_gap(stream.store.db, GapRecord(100 * S, 110 * S, "offline"))
    stream.store.db.execute("COMMIT") if stream.store.db.in_transaction else None
    stream.forgotten.add(200 * S, 220 * S)
    first = page_of(stage, tools, None, 5, None)
    assert [(gap.start_us, gap.end_us, gap.reason) for gap in first.gaps] == [
        (100 * S, 110 * S, "offline"),
        (200 * S, 220 * S, "forgotten"),
    ]
    assert page_of(stage, tools, None, 5, first.next_cursor).gaps == []
    assert page_of(stage, tools, "something red", 5, None).gaps == []
