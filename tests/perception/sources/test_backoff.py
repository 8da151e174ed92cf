"""When a camera is tried again: bar I1's one attempt a second, its jitter and its cap of a minute."""

import random
from itertools import pairwise

import pytest

from perception.sources.backoff import MOST_S, Backoff


def attempts(backoff: Backoff, count: int, lasts_s: float) -> list[float]:
    """When each attempt begins, on a clock that starts with the first; none of them gives a picture."""
    found = [0.0]
    while len(found) < count:
        found.append(found[-1] + lasts_s + backoff.pause_s(lasts_s, gave_pictures=False))
    return found


def at_most(_: float, high: float) -> float:
    return high


@pytest.mark.parametrize("lasts_s", [0.0, 0.001, 0.9, 5.0])
@pytest.mark.parametrize("seed", range(20))
def test_there_is_at_most_one_attempt_a_second(lasts_s: float, seed: int) -> None:
    backoff = Backoff(random.Random(seed).uniform)
    begun = attempts(backoff, 30, lasts_s)
    begun += [begun[-1] + lasts_s + backoff.pause_s(lasts_s, gave_pictures=True)]
    assert min(later - one for one, later in pairwise(begun)) >= 1.0 - 1e-9


def test_pauses_double_up_to_a_minute() -> None:
    backoff = Backoff(at_most)
    pauses = [backoff.pause_s(0.1, gave_pictures=False) for _ in range(10)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert MOST_S == 60


@pytest.mark.parametrize("seed", range(20))
def test_no_pause_is_longer_than_a_minute_and_no_two_cameras_wait_alike(seed: int) -> None:
    one, other = Backoff(random.Random(seed).uniform), Backoff(random.Random(seed + 100).uniform)
    pauses = [(one.pause_s(0.0, gave_pictures=False), other.pause_s(0.0, gave_pictures=False)) for _ in range(50)]
    assert max(map(max, pauses)) <= 60
    assert min(map(min, pauses[6:])) >= 30
    assert all(mine != yours for mine, yours in pauses)


def test_a_camera_that_gave_a_picture_is_tried_soon() -> None:
    backoff = Backoff(at_most)
    for _ in range(10):
        backoff.pause_s(0.1, gave_pictures=False)
    assert backoff.pause_s(3600.0, gave_pictures=True) == 1.0
    assert backoff.pause_s(0.1, gave_pictures=False) == 2.0
