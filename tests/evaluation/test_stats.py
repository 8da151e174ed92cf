"""Intervals and slopes, against values computed elsewhere."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.stats import bootstrap, median, quantile, theil_sen, wilson


def test_median_of_odd_and_even() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5
    with pytest.raises(ValueError, match="nothing"):
        median([])


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
    [(10, 20, 0.299298, 0.700702), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0), (198, 200, 0.964278, 0.997253)],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert interval.low == pytest.approx(low, abs=2e-6)
    assert interval.high == pytest.approx(high, abs=2e-6)


def test_wilson_at_its_edges() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts: tuple[int, int]) -> None:
    interval = wilson(*counts)
    assert 0 <= interval.low <= counts[0] / counts[1] <= interval.high <= 1


def test_quantile_interpolates() -> None:
    assert quantile([0, 10], 0.25) == 2.5
    assert quantile([5], 0.9) == 5


def test_bootstrap_repeats_and_narrows() -> None:
    dice = random.Random(1)
    few = [dice.gauss(10, 1) for _ in range(20)]
    many = [dice.gauss(10, 1) for _ in range(500)]
    assert bootstrap(few, seed=3) == bootstrap(few, seed=3)
    wide, narrow = bootstrap(few, rounds=300), bootstrap(many, rounds=300)
    assert wide.low < 10 < wide.high
    assert narrow.high - narrow.low < wide.high - wide.low


def test_theil_sen_is_not_moved_by_outliers() -> None:
    xs = [float(n) for n in range(60)]
    ys = [100 + 0.25 * x for x in xs]
    for place in range(5, 60, 10):
        ys[place] += 500
    slope = theil_sen(xs, ys)
    assert slope.value == pytest.approx(0.25, abs=1e-9)
    assert slope.interval.low <= 0.25 <= slope.interval.high


def test_theil_sen_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        dice = random.Random(seed)
        xs = [float(n) for n in range(18)]
        interval = theil_sen(xs, [dice.gauss(0.5 * x, 2.0) for x in xs]).interval
        covered += interval.low <= 0.5 <= interval.high
    assert 180 <= covered <= 199


def test_a_slope_needs_three_points() -> None:
    with pytest.raises(ValueError, match="three"):
        theil_sen([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="three"):
        theil_sen([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
