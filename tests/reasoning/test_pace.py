"""How much a step holds, and what is said before a long one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.pace import SMALLEST, STEP_S, Pace, fitting_chunk


@given(st.floats(min_value=0.1, max_value=1e6))
def test_a_chunk_is_read_within_its_time_where_that_is_possible(rate: float) -> None:
    chunk = fitting_chunk(rate)
    assert chunk & (chunk - 1) == 0
    assert chunk == SMALLEST or chunk <= 1.5 * rate * STEP_S


def test_quick_steps_are_not_worth_a_word() -> None:
    pace = Pace(512)
    assert pace.next_step_s() == 0.0
    pace.note(0.9)
    assert pace.next_step_s() == 0.0


@pytest.mark.parametrize(("slowest_s", "next_s"), [(2.87, 11.48), (12.0, 48.0), (4000.0, 120.0)])
def test_the_next_step_may_take_four_times_the_slowest(slowest_s: float, next_s: float) -> None:
    pace = Pace(512)
    for seconds in (0.8, slowest_s, 0.1):
        pace.note_chunk(512, seconds)
    assert pace.next_step_s() == pytest.approx(next_s)


def test_a_chunk_that_took_too_long_is_halved_down_to_the_smallest_and_grows_back() -> None:
    pace = Pace(256)
    chunks = []
    for seconds in (0.8, 2.7, 2.5, 2.7, 9.0, 9.0, 1.0, 0.3, 0.3, 0.3, 0.3):
        pace.note_chunk(pace.chunk, seconds)
        chunks.append(pace.chunk)
    assert chunks == [256, 128, 128, 64, 32, 32, 32, 64, 128, 256, 256]


def test_a_chunk_below_the_smallest_stays_as_it_was_set() -> None:
    pace = Pace(16)
    pace.note_chunk(16, 30.0)
    assert pace.chunk == 16


@given(st.sampled_from([32, 64, 512, 4096]), st.lists(st.floats(min_value=0.0, max_value=1000.0)))
def test_a_chunk_never_leaves_its_bounds(full: int, steps: list[float]) -> None:
    pace = Pace(full)
    for seconds in steps:
        pace.note_chunk(pace.chunk, seconds)
        assert SMALLEST <= pace.chunk <= full
    assert pace.next_step_s() >= min(120.0, 4 * max(steps, default=0.0)) or max(steps, default=0.0) <= 1.0


def test_a_machine_that_was_busy_when_it_was_measured_is_not_slow_for_ever() -> None:
    pace = Pace(32, most=4096)
    for _ in range(3):
        pace.note_chunk(pace.chunk, 0.1)
    assert pace.chunk == 256


def test_a_short_rest_says_nothing_about_a_whole_chunk() -> None:
    pace = Pace(256, most=4096)
    pace.note_chunk(20, 0.05)
    assert pace.chunk == 256
