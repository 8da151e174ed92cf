"""Ranking: the first or last of those that show it, some distance between those picked."""

import pytest

from memory.ranking import Candidate, Wanted, Weights, pick, score

S = 1_000_000
WEIGHTS = Weights(words=1.0, recency=0.1, target=2.0, order=2.0, crowd=0.6)


def candidate(n: int, vector: float, stream: str = "t/cam") -> Candidate:
    return Candidate(stream, n, f"{stream}{n}", 10 * n * S, 10 * (n + 1) * S, 0, 10 * n * S, vector)


@pytest.mark.parametrize(("order", "best"), [("first", 2), ("last", 7)])
def test_the_first_or_last_is_of_those_that_show_it(order: str, best: int) -> None:
    shown = {2: 0.6, 4: 0.65, 7: 0.6}
    found = [candidate(n, shown.get(n, 0.1)) for n in range(12)]
    score(found, Wanted({}, order, S), WEIGHTS)  # type: ignore[arg-type]
    assert max(found, key=lambda one: one.score).seq == best
    assert all(0 <= one.score <= 1 for one in found)


def test_what_is_half_as_like_is_not_the_last_that_shows_it() -> None:
    found = [candidate(2, 0.66), *(candidate(n, 0.37) for n in range(3, 12))]
    score(found, Wanted({}, "last", S), WEIGHTS)
    assert max(found, key=lambda one: one.score) is found[0]


def test_streams_are_ordered_by_the_wall_clock() -> None:
    found = [candidate(1, 0.6, "t/a"), candidate(0, 0.6, "t/b")]
    score(found, Wanted({}, "last", S, {"t/a": 0, "t/b": 100 * S}), WEIGHTS)
    assert max(found, key=lambda one: one.score).stream == "t/b"


def test_what_is_picked_stands_apart() -> None:
    found = [candidate(n, 0.6 - 0.01 * n) for n in range(9)]
    score(found, Wanted({}, None, S), WEIGHTS)
    near = [one.seq for one in pick(found, 3, 1, WEIGHTS)]
    apart = [one.seq for one in pick(found, 3, 600 * S, WEIGHTS)]
    assert near == [0, 1, 2]
    assert min(abs(one - other) for one in apart for other in apart if one != other) >= 2
    assert [one.seq for one in pick(found, 99, S, WEIGHTS)] != []
    assert len(pick(found, 99, S, WEIGHTS)) == 9
