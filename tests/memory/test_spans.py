"""Spans against a set of moments."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memory.spans import Spans

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 12)), max_size=30)


@given(STEPS, st.integers(0, 45), st.integers(0, 20))
def test_it_is_the_set_that_was_added_and_removed(steps: list[tuple[bool, int, int]], start: int, length: int) -> None:
    spans, model = Spans(), set()
    for add, at, size in steps:
        moments = set(range(at, at + size))
        model = model | moments if add else model - moments
        (spans.add if add else spans.remove)(at, at + size)
    kept = list(spans)
    assert {t for a, b in kept for t in range(a, b)} == model
    assert all(a < b for a, b in kept)
    assert all(b < c for (_, b), (c, _) in pairwise(kept)) or not kept
    asked = set(range(start, start + length))
    assert {t for a, b in spans.within(start, start + length) for t in range(a, b)} == asked & model
    assert {t for a, b in spans.without(start, start + length) for t in range(a, b)} == asked - model
    assert spans.touches(start, start + length) == bool(asked & model)
    assert all(spans.holds(t) == (t in model) for t in range(50))
    assert spans.span == ((min(model), max(model) + 1) if model else None)


def test_ranges_that_nearly_meet_are_one() -> None:
    spans = Spans([(0, 10), (12, 20), (23, 30)], joint_us=2)
    assert list(spans) == [(0, 20), (23, 30)]
    spans.add(21, 22)
    assert list(spans) == [(0, 30)]
