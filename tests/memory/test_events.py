"""Where events begin and end, and that whatever comes they follow each other and hold their frames."""

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.events import AddSpeech, Bounds, EventBuilder, Outcome, Resume
from memory.messages import GapRecord
from memory.rows import EventRow
from memory.spans import Spans
from perception.messages import Gap, Percept, Speech, StreamEnded, Unchanged

S = 1_000_000
BOUNDS = Bounds(max_event_us=30 * S, min_event_us=S, speech_event_us=3 * S, keyframes=3)


def builder(bounds: Bounds = BOUNDS, resume: Resume | None = None, forgotten: Spans | None = None) -> EventBuilder:
    return EventBuilder(bounds, resume or Resume(), forgotten or Spans())


def feed(one: EventBuilder, *records: Any) -> list[Outcome]:
    return [outcome for record in records for outcome in one.take(record)]


def closed(outcomes: list[Outcome]) -> list[tuple[int, int]]:
    return [(one.start_us, one.end_us) for one in outcomes if isinstance(one, EventRow) and not one.open]


def still(stream: str, start: int, end: int) -> list[Unchanged]:
    return [Unchanged(stream, t, 0) for t in range(start, end, S // 2)]


def test_a_cut_ends_one_event_and_begins_the_next_there(tools: Any) -> None:
    one = builder()
    outcomes = feed(one, tools.percept(0), tools.percept(5 * S), tools.percept(8 * S, "b", cut_us=7_300_000))
    assert closed(outcomes) == [(0, 7_300_000)]
    row = one.row()
    assert row is not None
    assert (row.start_us, [frame.media_us for frame in row.frames]) == (7_300_000, [8 * S])


def test_a_cut_that_was_seen_too_early_or_late_is_moved_between_the_frames(tools: Any) -> None:
    one = builder()
    outcomes = feed(one, tools.percept(0), tools.percept(5 * S), tools.percept(8 * S, "b", cut_us=2 * S))
    outcomes += feed(one, tools.percept(20 * S, "c", cut_us=90 * S))
    assert closed(outcomes) == [(0, 5 * S), (5 * S, 20 * S)]


def test_cuts_close_together_are_one_event(tools: Any) -> None:
    one = builder()
    records = [tools.percept(n * S // 4, str(n), cut_us=n * S // 4 if n else None) for n in range(9)]
    assert closed(feed(one, *records)) == [(0, S), (S, 2 * S)]


def test_a_cut_soon_after_the_greatest_length_still_counts(tools: Any) -> None:
    one = builder()
    cut = tools.percept(30 * S + S // 2, "b", cut_us=30 * S + S // 2)
    outcomes = feed(one, tools.percept(0), *still(tools.stream, S, 30 * S + 1), cut)
    assert closed(outcomes) == [(0, 30 * S), (30 * S, 30 * S + S // 2)]


def test_no_event_is_longer_than_allowed_and_a_still_scene_is_stored_once(tools: Any) -> None:
    one = builder()
    outcomes = feed(one, tools.percept(0), *still(tools.stream, S // 2, 125 * S))
    assert closed(outcomes) == [(n * 30 * S, (n + 1) * 30 * S) for n in range(4)]
    pictures = {frame.picture for row in outcomes if isinstance(row, EventRow) for frame in row.frames}
    assert len(pictures) == 1


def test_long_speech_ends_an_event_short_speech_does_not(tools: Any) -> None:
    one = builder()
    outcomes = feed(one, tools.percept(0), *still(tools.stream, S, 5 * S), Speech(tools.stream, S, 2 * S, None))
    outcomes += feed(one, *still(tools.stream, 5 * S, 9 * S), Speech(tools.stream, 5 * S, 9 * S, "a story"))
    outcomes += feed(one, *still(tools.stream, 9 * S, 12 * S))
    rows = [row for row in outcomes if isinstance(row, EventRow) and not row.open]
    assert [(row.start_us, row.end_us, row.transcript) for row in rows] == [(0, 9 * S, "a story")]
    assert [said.start_us for said in rows[0].speech] == [S, 5 * S]


def test_speech_belongs_to_the_event_that_holds_most_of_it(tools: Any) -> None:
    one = builder()
    feed(one, tools.percept(0), *still(tools.stream, S, 10 * S), tools.percept(10 * S, "b", cut_us=10 * S))
    late = feed(one, Speech(tools.stream, 7 * S, 10 * S + 1, "about a"))
    assert [(type(x), x.seq) for x in late if isinstance(x, AddSpeech)] == [(AddSpeech, 1)]
    assert feed(one, Speech(tools.stream, 9 * S, 12 * S, "about b")) == []
    row = one.row()
    assert row is not None
    assert row.transcript == "about b"
    assert row.reach == (9 * S, 12 * S)


def test_speech_before_the_first_frame_waits_for_it(tools: Any) -> None:
    one = builder()
    assert feed(one, Speech(tools.stream, 0, S, "hello")) == []
    (row,) = feed(one, tools.percept(2 * S))
    assert isinstance(row, EventRow)
    assert row.transcript == "hello"


def test_a_gap_ends_the_event_and_is_told(tools: Any) -> None:
    one = builder()
    outcomes = feed(
        one, tools.percept(0), Unchanged(tools.stream, 4 * S, 0), Gap(tools.stream, 4 * S, 60 * S, "offline")
    )
    assert closed(outcomes) == [(0, 4 * S)]
    assert outcomes[-1] == GapRecord(4 * S, 60 * S, "offline")
    assert one.row() is None
    feed(one, Unchanged(tools.stream, 60 * S, 0))
    row = one.row()
    assert row is not None
    assert row.start_us == 60 * S


def test_after_the_stream_ended_nothing_lasts_unseen(tools: Any) -> None:
    one = builder()
    outcomes = feed(one, tools.percept(0), StreamEnded(tools.stream, S, True), Unchanged(tools.stream, 2 * S, 0))
    assert closed(outcomes) == [(0, S)]
    assert one.row() is None


def test_records_of_a_forgotten_time_are_dropped(tools: Any) -> None:
    one = builder(forgotten=Spans([(5 * S, 8 * S)]))
    outcomes = feed(one, tools.percept(5 * S), Speech(tools.stream, 7 * S, 9 * S, "x"), tools.percept(8 * S - 1))
    assert outcomes == []
    assert one.dropped == 2
    assert len(feed(one, tools.percept(8 * S))) == 1


def test_a_clock_that_jumps_ends_the_event(tools: Any) -> None:
    one = builder()
    hour = 3600 * S
    outcomes = feed(one, tools.percept(0), Unchanged(tools.stream, S, 0), Unchanged(tools.stream, hour, 0))
    assert closed(outcomes) == [(0, S)]
    assert outcomes[2] == GapRecord(S, hour, "clock")


def test_keyframes_are_the_first_and_those_that_differ_most(tools: Any) -> None:
    one = builder()
    scenes = ["a", "a", "a", "b", "a", "a", "b", "c", "c", "a"]
    feed(one, *(tools.percept(n * S, scene) for n, scene in enumerate(scenes)))
    row = one.row()
    assert row is not None
    assert [scenes[frame.media_us // S] for frame in row.frames] == ["a", "b", "c"]
    assert row.frames[0].media_us == 0
    assert [frame.n for frame in row.frames] == [0, 3, 8]


def test_a_suspect_frame_stands_for_an_event_only_for_want_of_others(tools: Any) -> None:
    one = builder()
    feed(one, tools.percept(0, "a"))
    feed(one, *(msgspec.structs.replace(tools.percept(n * S, f"torn {n}"), suspect=True) for n in range(1, 9)))
    row = one.row()
    assert row is not None
    assert len(row.frames) == 3
    feed(one, tools.percept(9 * S, "b"), tools.percept(10 * S, "a"))
    row = one.row()
    assert row is not None
    assert [frame.media_us // S for frame in row.frames] == [0, 9, 10]


def test_how_an_event_ends_is_kept_where_all_of_it_is_nearly_alike(tools: Any) -> None:
    one = builder()
    still, dice = tools.vector_of("still"), np.random.default_rng(3)
    for n in range(20):
        near = still + 0.02 * dice.standard_normal(tools.dim).astype(np.float32)
        unit = (near / np.linalg.norm(near)).astype(np.float32)
        feed(one, msgspec.structs.replace(tools.percept(n * S), vector=unit.tobytes()))
    row = one.row()
    assert row is not None
    assert (row.frames[0].media_us, row.frames[-1].media_us) == (0, 19 * S)


def test_frames_that_were_shown_keep_number_and_picture(tools: Any) -> None:
    one = builder()
    feed(one, *(tools.percept(n * S, "same") for n in range(3)))
    row = one.row()
    assert row is not None
    one.pin(row.id, [2])
    feed(one, *(tools.percept(n * S, str(n)) for n in range(3, 20)))
    after = one.row()
    assert after is not None
    [before], [kept] = ([frame for frame in one.frames if frame.n == 2] for one in (row, after))
    assert kept == msgspec.structs.replace(before, picture=-before.picture, vector=b"")


TIMES = st.lists(st.tuples(st.integers(0, 40 * S), st.sampled_from("pPuSgEf")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(TIMES, st.integers(1, 40), st.integers(0, 4))
def test_events_never_overlap_and_hold_their_frames(tools: Any, steps: Any, longest: int, resume: int) -> None:
    bounds = Bounds(longest * S, S, 3 * S, 3)
    forgotten = Spans([(50 * S, 60 * S)])
    one = builder(bounds, Resume(5, 9, resume * 10 * S), forgotten)
    now, outcomes = 0, []
    for delta, kind in steps:
        now += delta
        record: Any = {
            "p": tools.percept(now, str(now % 5)),
            "P": tools.percept(now, str(now % 5), cut_us=max(0, now - S // 3)),
            "u": Unchanged(tools.stream, now, 0),
            "S": Speech(tools.stream, max(0, now - 4 * S), now, None),
            "g": Gap(tools.stream, now, now + S, "overload"),
            "E": StreamEnded(tools.stream, now, False),
            "f": tools.percept(max(0, now - 30 * S)),
        }[kind]
        outcomes += one.take(record)
    outcomes += one.close()
    rows = {row.seq: row for row in outcomes if isinstance(row, EventRow)}
    ordered = [rows[seq] for seq in sorted(rows)]
    assert all(not row.open for row in ordered)
    for row in ordered:
        assert row.start_us <= row.end_us
        assert row.frames
        assert len(row.frames) <= 3
        assert all(row.start_us <= frame.media_us <= row.observed_us <= row.end_us for frame in row.frames)
        assert not any(forgotten.holds(frame.media_us) for frame in row.frames)
        assert len({frame.n for frame in row.frames}) == len(row.frames)
    for before, after in pairwise(ordered):
        assert before.end_us <= after.start_us


@pytest.mark.parametrize("kind", [Percept, Unchanged])
def test_time_zero_is_a_time(tools: Any, kind: type) -> None:
    one = builder()
    record = tools.percept(0, cut_us=0) if kind is Percept else Unchanged(tools.stream, 0, 0)
    assert len(feed(one, record)) == (kind is Percept)
