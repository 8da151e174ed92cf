"""The statistics that figures are reported with: medians, intervals of shares and differences, robust slopes."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

Z95 = 1.959963984540054
"""Half the width of a 95 % interval of the normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Slope:
    """A robust slope (units of y per unit of x) with its 95 % interval."""

    value: float
    interval: Interval


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle. Raises ValueError for none at all."""
    if not values:
        raise ValueError("the median of nothing")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's interval of a share; (0, 1) where nothing was tried."""
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials}")
    if trials == 0:
        return Interval(0.0, 1.0)
    share, square = successes / trials, Z95 * Z95
    scale = 1 + square / trials
    centre = (share + square / (2 * trials)) / scale
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / scale
    low = 0.0 if successes == 0 else centre - half
    return Interval(low, 1.0 if successes == trials else centre + half)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, with linear interpolation."""
    if not values:
        raise ValueError("a quantile of nothing")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[Sequence[float]], float] = median,
    rounds: int = 2000,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a statistic over resamples of the values; the same for the same seed."""
    if not values:
        raise ValueError("nothing to resample")
    dice = random.Random(seed)
    drawn = [statistic(dice.choices(values, k=len(values))) for _ in range(rounds)]
    return Interval(quantile(drawn, 0.025), quantile(drawn, 0.975))


def theil_sen(xs: Sequence[float], ys: Sequence[float]) -> Slope:
    """The median of the slopes of all pairs of points, with Sen's interval (by ranks, free of any distribution).

    Raises ValueError unless there are three points or more with different x.
    """
    pairs = combinations(zip(xs, ys, strict=True), 2)
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x1 != x2)
    n = len(xs)
    if n < 3 or not slopes:
        raise ValueError("a slope needs three points")
    spread = Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(median(slopes), Interval(slopes[low], slopes[high]))
