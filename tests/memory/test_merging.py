"""A full budget makes the old coarse before it deletes: what was remembered is found, at a grain that is told."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import writing
from memory.config import MemoryConfig
from memory.merging import COARSEST, Span, choose, merge
from memory.messages import (
    FOREVER_US,
    Context,
    EventPage,
    Forget,
    Forgotten,
    GapRecord,
    GetFrame,
    ListEvents,
    Recall,
    Refused,
)
from memory.retention import Budget, retain
from memory.rows import EventRow, Keyframe, Spoken, to_half
from memory.stage import MemoryStage
from memory.store import Store
from perception.messages import Barrier

S = 1_000_000
HOUR = 3600 * S


def event(seq: int, tools: Any, *, size: int = 20_000, text: str | None = None, length_s: int = 10) -> EventRow:
    start = seq * length_s * S
    frames = []
    for n in range(3):
        picture = 10 * seq + n
        data = f"<{picture}>".encode() + np.random.default_rng(picture).bytes(size)
        at = start + n * length_s * S // 3
        frames.append(Keyframe(n, at, picture, data, to_half(tools.vector_of(picture)), at))
    speech = (Spoken(start, start + S, text),) if text else ()
    end = start + length_s * S
    return EventRow(seq, f"e_{seq:06}", start, end, end, False, tuple(frames), speech, to_half(tools.vector_of(seq)))


def put(store: Store, rows: list[EventRow]) -> None:
    store.db.execute("BEGIN IMMEDIATE")
    for row in rows:
        writing.put_event(store.db, row)
    store.db.execute("COMMIT")


def stored(store: Store) -> list[EventRow]:
    return store.reader.oldest(0, FOREVER_US, 1000)


def test_two_events_become_one(store: Store, tools: Any) -> None:
    one, two = event(1, tools, text="good morning"), event(2, tools, text="good evening")
    put(store, [one, two, *(event(n, tools) for n in range(3, 40))])
    (made, *_) = merge(store.db, 400 * S, 1, 3)
    first = stored(store)[0]
    assert (first.id, first.merged, first.start_us, first.end_us) == (one.id, 2, one.start_us, two.end_us)
    assert first.transcript == "good morning good evening"
    assert [frame.n for frame in made.row.frames] == [frame.n for frame in first.frames]
    assert (first.frames[0].picture, first.frames[-1].picture, len(first.frames)) == (10, 22, 3)
    assert store.reader.jpeg(one.id, first.frames[-1].n) == two.frames[-1].jpeg
    assert store.reader.by_id(two.id) is None
    assert [seq for seq, _ in store.reader.matching(["evening"], 0, 99, 9)] == [1]
    kept = {picture for (picture,) in store.db.execute("SELECT id FROM pictures WHERE id < 30")}
    assert kept == {frame.picture for frame in first.frames}
    (size,) = store.db.execute("SELECT bytes FROM events WHERE seq = 1").fetchone()
    assert size == pytest.approx(3 * 5 * 4096 + 1700, abs=500)
    assert store.reader.totals().events == 38
    assert not store.reader.corrupt


def test_what_both_captions_say_is_kept_once(store: Store, tools: Any) -> None:
    told = ("A red circle. A sign says 12.", "A sign says 12. Nothing.")
    one, two = (msgspec.structs.replace(event(n + 1, tools), caption=text) for n, text in enumerate(told))
    put(store, [one, two, *(event(n, tools) for n in range(3, 40))])
    merge(store.db, 400 * S, 1, 3)
    assert stored(store)[0].caption == "A red circle. A sign says 12. Nothing."
    assert [seq for seq, _ in store.reader.matching(["nothing"], 0, 99, 9)] == [1]
    assert store.reader.matching(["nothing"], 0, 99, 9, said=True) == []


def test_a_frames_number_is_never_given_twice(store: Store, tools: Any) -> None:
    put(store, [event(n, tools, size=100) for n in range(1, 60)])
    seen: dict[tuple[str, int], int] = {}
    for _ in range(40):
        for row in stored(store):
            for frame in row.frames:
                assert seen.setdefault((row.id, frame.n), frame.picture) == frame.picture
        if not merge(store.db, 6000 * S, 4, 3):
            break
    assert len(stored(store)) < 15


def test_a_damaged_event_is_not_merged(store: Store, tools: Any) -> None:
    put(store, [event(n, tools, size=100) for n in range(1, 40)])
    store.db.execute("UPDATE events SET end_us = end_us + 1 WHERE seq = 2")
    merge(store.db, 400 * S, 1, 3)
    assert store.db.execute("SELECT count(*) FROM events WHERE seq = 2").fetchone() == (1,)


def test_events_with_a_gap_between_them_stay_apart() -> None:
    events = [Span(1, 0, 10 * S), Span(2, 20 * S, 30 * S)]
    assert choose(events, HOUR, 9) == []


SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), min_size=2, max_size=60)


@given(SPANS, st.integers(1, 8))
def test_pairs_are_neighbours_and_no_coarser_than_their_age_allows(lengths: list[tuple[int, int]], most: int) -> None:
    events, at = [], 0
    for seq, (length, hole) in enumerate(lengths):
        events.append(Span(seq, at * S, (at + length) * S))
        at += length + hole
    newest = at * S
    chosen = choose(events, newest, most)
    assert len(chosen) <= most
    assert len({seq for pair in chosen for seq in pair}) == 2 * len(chosen)
    for one, two in chosen:
        assert two == one + 1
        assert events[two].start_us - events[one].end_us <= 2 * S
        assert events[two].end_us - events[one].start_us <= COARSEST * (newest - events[two].end_us)


def test_a_budget_is_kept_by_merging_before_anything_is_deleted(store: Store, tools: Any) -> None:
    put(store, [event(n, tools) for n in range(1, 121)])
    full = store.used_bytes()
    while True:
        retained = retain(store, store.db, Budget(full // 2, 1 << 60))
        assert retained.gone == []
        if not retained.more:
            break
    rows = stored(store)
    assert store.used_bytes() <= full // 2
    assert (rows[0].start_us, rows[-1].end_us) == (10 * S, 1210 * S)
    assert sum(row.merged for row in rows) == 120
    lengths = [row.end_us - row.start_us for row in rows]
    assert lengths[-1] == 10 * S
    assert max(lengths[: len(lengths) // 2]) > 2 * max(lengths[-5:])


def test_where_nothing_may_get_coarser_the_oldest_goes(store: Store, tools: Any) -> None:
    put(store, [event(n, tools) for n in range(1, 6)])
    retained = retain(store, store.db, Budget(store.used_bytes() - 1, 1 << 60))
    assert ([one.seq for one in retained.gone], retained.merged) == ([1], [])


def test_a_jump_of_the_clock_merges_nothing_that_was_not_to_be(store: Store, tools: Any) -> None:
    put(store, [event(n, tools, size=100) for n in range(1, 20)])
    writing.put_gap(store.db, GapRecord(200 * S, 400 * 24 * HOUR, "clock"))
    late = event(1, tools, size=100)
    moved = EventRow(99, "e_late", 400 * 24 * HOUR, 400 * 24 * HOUR + S, 400 * 24 * HOUR, False, (), (), late.vector)
    put(store, [moved])
    retained = retain(store, store.db, Budget(1 << 40, HOUR))
    assert (retained.gone, retained.merged) == ([], [])
    assert len(stored(store)) == 20


@pytest.fixture
def old(stage: MemoryStage, config: MemoryConfig, tools: Any) -> MemoryStage:
    """Twenty minutes of scenes of ten seconds, within a budget of a third of them."""
    tools.drive(stage, tools.opening(max_bytes=1_000_000))
    for n in range(120):
        data = f"<jpeg of {n}>".encode() + np.random.default_rng(n).bytes(20_000)
        at = 10 * n * S
        tools.drive(stage, tools.percept(at, f"scene{n}", data, cut_us=at if n else None))
    tools.drive(stage, Barrier(tools.stream, 1))
    return stage


def listed(stage: MemoryStage, tools: Any) -> list[Any]:
    page = tools.only(tools.drive(stage, ListEvents(tools.stream, 7, None, 0, FOREVER_US, 500, None)), EventPage)
    return list(reversed(page.events))


def test_what_was_merged_is_found_and_its_grain_is_told(old: MemoryStage, tools: Any) -> None:
    events = listed(old, tools)
    assert events[0].merged > 1
    index = old._streams[tools.stream].index
    found = {(hit.seq, hit.n) for hit in index.search(tools.vector_of("scene1"), 1000)}
    assert len(found) == sum(len(one.frames) for one in events if not one.open)
    coarse = max(events, key=lambda one: one.merged)
    kept = coarse.frames[0].media_us // (10 * S)
    context = tools.only(
        tools.drive(old, Recall(9, [tools.stream], f"was there a scene{kept}", None, None, [1200 * S], 1)), Context
    )
    (one,) = context.evidence
    assert (one.event, one.media_us) == (coarse.id, coarse.frames[0].media_us)
    assert context.coverage[0].coverage.grain_us == coarse.end_us - coarse.start_us


def test_a_moment_of_which_no_frame_is_left_is_covered_in_part(old: MemoryStage, tools: Any) -> None:
    coarse = max(listed(old, tools), key=lambda one: one.end_us - one.start_us)
    moments = [frame.media_us for frame in coarse.frames]
    hole = next(at for at in range(coarse.start_us, coarse.end_us, S) if all(abs(at - one) > 5 * S for one in moments))
    message = Recall(9, [tools.stream], "what was there?", hole, hole + S, [1200 * S], 4)
    covered = tools.only(tools.drive(old, message), Context).coverage[0].coverage
    assert covered.covered == "partial"
    assert covered.gaps[-1] == GapRecord(hole, hole + S, "merged")


def test_a_merged_event_is_forgotten_whole(old: MemoryStage, config: MemoryConfig, tools: Any) -> None:
    coarse = max(listed(old, tools), key=lambda one: one.merged)
    gone = tools.only(tools.drive(old, Forget(tools.stream, 4, coarse.id, 0, 0)), Forgotten)
    assert gone.events == [coarse.id]
    frame = GetFrame(tools.stream, 5, coarse.id, coarse.frames[0].n)
    tools.only(tools.drive(old, frame), Refused)
    content = b"".join(path.read_bytes() for path in Path(config.streams_folder).rglob("*") if path.is_file())
    for moment in range(coarse.start_us, coarse.end_us, 10 * S):
        assert f"<jpeg of {moment // (10 * S)}>".encode() not in content
