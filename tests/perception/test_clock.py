"""The media clock: never back, anchored at arrivals, patient with wraps and jumps."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from perception.clock import RESYNC_US, MediaClock

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 2**40)), st.integers(0, 10**12)), max_size=60),
    st.sampled_from(["live", "fast", "file"]),
    st.sets(st.integers(0, 59)),
)
def test_time_never_goes_back(frames: list[tuple[int | None, int]], kind: str, sessions: set[int]) -> None:
    clock = MediaClock(kind, START, 0)  # type: ignore[arg-type]
    last = -1
    for n, (pts, arrival) in enumerate(frames):
        if n in sessions:
            clock.begin_session()
        media = clock.media_us(pts, START + arrival)
        assert media > last
        last = media


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=100))
def test_a_live_stamp_stays_near_its_arrival_whatever_the_sender_says(stamps: list[int | None]) -> None:
    clock = MediaClock("live", START, 0)
    for n, pts in enumerate(stamps):
        arrival = n * SECOND
        assert abs(clock.media_us(pts, START + arrival) - arrival) <= RESYNC_US + len(stamps)


def test_a_live_stream_follows_its_stamps_between_arrivals() -> None:
    clock = MediaClock("live", START, 0)
    arrivals = [0, 90_000, 95_000, 200_000]
    media = [clock.media_us(7_000_000 + n * 66_667, START + at) for n, at in enumerate(arrivals)]
    assert [b - a for a, b in pairwise(media)] == [66_667] * 3


def test_a_wrap_of_33_bits_is_no_jump_in_time() -> None:
    clock = MediaClock("live", START, 0)
    wrap = 2**33 * SECOND // 90_000
    before = clock.media_us(wrap - 40_000, START)
    after = clock.media_us(0, START + 40_000)
    assert 0 < after - before <= SECOND


def test_a_new_session_goes_on_at_its_arrival() -> None:
    clock = MediaClock("live", START, 0)
    clock.media_us(5, START + SECOND)
    clock.begin_session()
    assert clock.media_us(99, START + 60 * SECOND) == 60 * SECOND


def test_a_fast_session_goes_on_right_after_what_is_stored() -> None:
    clock = MediaClock("fast", START, 0)
    assert [clock.media_us(pts, START) for pts in (500, 1_000_500)] == [0, SECOND]
    clock.begin_session()
    assert clock.media_us(77, START) == SECOND + 1


def test_a_resumed_stream_never_goes_before_its_memory() -> None:
    assert MediaClock("fast", START, 9 * SECOND).media_us(0, START) == 9 * SECOND + 1
    assert MediaClock("live", START, 9 * SECOND).media_us(0, START) == 9 * SECOND + 1


def test_a_file_keeps_its_own_time() -> None:
    clock = MediaClock("file", START, 0)
    assert [clock.media_us(pts, START + 5 * SECOND) for pts in (0, 40_000, 80_000)] == [0, 40_000, 80_000]
