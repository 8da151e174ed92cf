"""The media clock: never back, anchored at arrivals, patient with wraps and jumps, deaf to the wall clock's steps."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.clock import RESYNC_US, MediaClock

SECOND = 1_000_000
HOUR = 3600 * SECOND
START = 1_700_000_000 * SECOND
BOOTED = 5 * HOUR
"""Monotonic time at which these tests begin."""


def live(resume_us: int = 0, wall_us: int = START) -> MediaClock:
    """A live stream's clock whose first session begins when the stream does."""
    clock = MediaClock("live", START, resume_us)
    clock.begin_session(BOOTED, wall_us)
    return clock


STAMPS = st.one_of(st.none(), st.integers(-(2**40), 2**40))


@given(
    st.lists(st.tuples(STAMPS, st.integers(0, 10**12)), max_size=60),
    st.sampled_from(["live", "fast", "file"]),
    st.sets(st.integers(0, 59)),
    st.sets(st.integers(0, 59)),
    st.integers(-(10**12), 10**12),
)
def test_time_never_goes_back(
    packets: list[tuple[int | None, int]], kind: str, sessions: set[int], sounds: set[int], wall: int
) -> None:
    clock = MediaClock(kind, START, 0)  # type: ignore[arg-type]
    last = -1
    for n, (pts, arrival) in enumerate(packets):
        if n in sessions:
            clock.begin_session(arrival, START + wall)
        if n in sounds:
            assert clock.sound_us(pts, 20_000, arrival) >= 0
            continue
        media = clock.media_us(pts, arrival)
        assert media > last
        last = media


@given(st.lists(STAMPS, min_size=1, max_size=100), st.sets(st.integers(0, 99)))
def test_live_media_stays_near_its_arrival_whatever_the_sender_says(stamps: list[int | None], sounds: set[int]) -> None:
    clock = live()
    for n, pts in enumerate(stamps):
        arrival = n * SECOND
        if n in sounds:
            assert abs(clock.sound_us(pts, 20_000, BOOTED + arrival) - arrival) <= RESYNC_US + 20_000 + len(stamps)
        else:
            assert abs(clock.media_us(pts, BOOTED + arrival) - arrival) <= RESYNC_US + len(stamps)


def test_a_live_stream_follows_its_stamps_between_arrivals() -> None:
    clock = live()
    arrivals = [0, 90_000, 95_000, 200_000]
    media = [clock.media_us(7_000_000 + n * 66_667, BOOTED + at) for n, at in enumerate(arrivals)]
    assert [b - a for a, b in pairwise(media)] == [66_667] * 3


def test_a_wrap_of_33_bits_is_no_jump_in_time() -> None:
    clock = live()
    wrap = 2**33 * SECOND // 90_000
    before = clock.media_us(wrap - 40_000, BOOTED)
    after = clock.media_us(0, BOOTED + 40_000)
    assert 0 < after - before <= SECOND


def test_a_new_session_goes_on_at_its_arrival() -> None:
    clock = live()
    clock.media_us(5, BOOTED + SECOND)
    clock.begin_session(BOOTED + 60 * SECOND, START + 60 * SECOND)
    assert clock.media_us(99, BOOTED + 60 * SECOND) == 60 * SECOND


# ---------------------------------------------------------------- the wall clock


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_step_of_the_wall_clock_changes_nothing(step: int) -> None:
    clock = live()
    clock.media_us(0, BOOTED)
    clock.begin_session(BOOTED + SECOND, START + step)
    media = [clock.media_us(n * 40_000, BOOTED + SECOND + n * 40_000) for n in range(10_000)]
    assert media[0] == SECOND
    assert {b - a for a, b in pairwise(media)} == {40_000}


@pytest.mark.parametrize("stamped", [True, False])
def test_a_memory_that_is_ahead_of_the_wall_clock_goes_on_at_full_speed(stamped: bool) -> None:
    clock = live(resume_us=2 * HOUR)
    media = [clock.media_us(n * 40_000 if stamped else None, BOOTED + n * 40_000) for n in range(1000)]
    assert media == [2 * HOUR + 1 + n * 40_000 for n in range(1000)]


@pytest.mark.parametrize("stamped", [True, False])
def test_a_start_in_the_future_counts_from_the_first_session(stamped: bool) -> None:
    clock = live(wall_us=START - HOUR)
    media = [clock.media_us(n * 40_000 if stamped else None, BOOTED + n * 40_000) for n in range(1000)]
    assert media == [n * 40_000 for n in range(1000)]


# ---------------------------------------------------------------- fast senders and files


def test_a_fast_session_goes_on_right_after_what_is_stored() -> None:
    clock = MediaClock("fast", START, 0)
    assert [clock.media_us(pts, BOOTED) for pts in (500, 1_000_500)] == [0, SECOND]
    clock.begin_session(BOOTED, START)
    assert clock.media_us(77, BOOTED) == SECOND + 1


def test_a_resumed_stream_never_goes_before_its_memory() -> None:
    assert MediaClock("fast", START, 9 * SECOND).media_us(0, BOOTED) == 9 * SECOND + 1
    assert live(9 * SECOND).media_us(0, BOOTED) == 9 * SECOND + 1


def test_fast_frames_without_stamps_are_as_far_apart_as_they_arrive() -> None:
    clock = MediaClock("fast", START, 9 * SECOND)
    clock.begin_session(BOOTED - SECOND, START)
    assert [clock.media_us(None, BOOTED + at) for at in (0, 500_000, 700_000)] == [
        9 * SECOND + 1 + at for at in (0, 500_000, 700_000)
    ]


def test_fast_frames_without_stamps_go_on_from_those_with_stamps() -> None:
    clock = MediaClock("fast", START, 0)
    assert clock.media_us(0, BOOTED) == 0
    assert clock.media_us(HOUR, BOOTED + 1000) == HOUR
    assert clock.media_us(None, BOOTED + SECOND + 1000) == HOUR + SECOND


def test_a_file_keeps_its_own_time() -> None:
    clock = MediaClock("file", START, 0)
    assert [clock.media_us(pts, BOOTED) for pts in (0, 40_000, 80_000)] == [0, 40_000, 80_000]
    assert clock.sound_us(60_000, 20_000, BOOTED) == 60_000


def test_a_file_without_stamps_goes_on_frame_by_frame() -> None:
    clock = MediaClock("file", START, 0)
    media = [clock.media_us(None, BOOTED) for _ in range(4)]
    assert {b - a for a, b in pairwise(media)} == {40_000}


# ---------------------------------------------------------------- sound


@pytest.mark.parametrize("kind", ["live", "fast"])
def test_sound_without_stamps_is_where_it_arrived_less_what_it_lasts(kind: str) -> None:
    clock = MediaClock(kind, START, 0)  # type: ignore[arg-type]
    clock.begin_session(BOOTED, START)
    starts = [clock.sound_us(None, 20_000, BOOTED + n * 20_000) for n in range(1, 500)]
    assert starts[0] == pytest.approx(0, abs=20_000)
    assert {b - a for a, b in pairwise(starts)} == {20_000}


def test_sound_that_comes_in_bursts_is_laid_end_to_end_and_a_pause_is_kept() -> None:
    clock = live()
    bursts = [clock.sound_us(None, 20_000, BOOTED + 500_000 * (n // 25 + 1)) for n in range(100)]
    assert {b - a for a, b in pairwise(bursts)} == {20_000}
    assert clock.sound_us(None, 20_000, BOOTED + 60 * SECOND) == 60 * SECOND - 20_000


def test_sound_and_pictures_share_a_session_s_clock() -> None:
    clock = live()
    assert clock.sound_us(500_000, 20_000, BOOTED + SECOND) == SECOND
    assert clock.media_us(700_000, BOOTED + SECOND + 10_000) == SECOND + 200_000
    assert clock.sound_us(600_000, 20_000, BOOTED + SECOND + 20_000) == SECOND + 100_000


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_sound_that_jumps_stays_near_its_arrival_and_pictures_are_untouched(jump: int) -> None:
    clock = live()
    for n in range(100):
        at, pts = n * 20_000, 2 * HOUR + n * 20_000
        assert clock.media_us(pts, BOOTED + at) == at
        assert abs(clock.sound_us(pts + (jump if n >= 50 else 0), 20_000, BOOTED + at) - at) <= 20_000


def test_fast_sound_that_starts_over_goes_on_behind_what_was_heard() -> None:
    clock = MediaClock("fast", START, 0)
    first = [clock.sound_us(n * SECOND, SECOND, BOOTED) for n in range(60)]
    again = [clock.sound_us(n * SECOND, SECOND, BOOTED) for n in range(60)]
    assert first == [n * SECOND for n in range(60)]
    assert again == [60 * SECOND + 1 + n * SECOND for n in range(60)]
