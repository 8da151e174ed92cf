"""Fitting the weights of ranking: towards what finds the true moments, the same whenever it is run."""

import msgspec

from memory.ranking import WEIGHTS, Candidate, Wanted
from memory.recall import Ranked
from training.rank import FIT_SEEDS, HELD_OUT_SEEDS, START, fit, marks, mean, table
from training.recollections import Posed

S = 1_000_000
BENCHMARKS_FROM = (100_000, 200_000, 300_000, 500_000, 810_000)
"""First seeds of the benchmarks' films; none of them shows more than some thousand."""


def candidate(n: int, vector: float | None = None, words: float | None = None) -> Candidate:
    return Candidate("t/cam", n, f"e_{n}", 10 * n * S, 10 * (n + 1) * S, 0, 10 * n * S, vector, words)


def posed(kind: str, found: list[Candidate], *truths: int, limit: int = 1, order: str | None = None) -> Posed:
    wanted = Wanted({}, order, S)  # type: ignore[arg-type]
    return Posed(kind, "?", tuple((10 * n * S, 10 * n * S + 1) for n in truths), Ranked(found, wanted, limit, 100 * S))


def said() -> Posed:
    """Words alone lead to the truth; likeness leads away from it."""
    return posed("said", [candidate(n, 1.0 - 0.1 * n, 1.0 if n == 5 else None) for n in range(6)], 5)


def test_a_weight_without_which_the_truth_is_not_found_grows() -> None:
    start = msgspec.structs.replace(START, words=0.25)
    assert mean(marks([said()], start)) == 0
    fitted = fit([said()], start)
    assert fitted.words > start.words
    assert mean(marks([said()], fitted)) == 1
    assert fit([said()], start) == fitted


def test_where_nothing_is_gained_nothing_moves() -> None:
    assert fit([posed("thing", [candidate(0, 1.0)], 0)], START) == START


def test_of_all_times_each_that_is_shown_counts() -> None:
    found = [candidate(n, 0.9) for n in range(4)]
    assert marks([posed("all", found, 0, 1, 2, 3, limit=4)], START) == {"all": 1.0}
    half = marks([posed("all", found[:2], 0, 1, 2, 3, limit=4)], START)
    assert half == {"all": 0.75}
    assert marks([posed("thing", found, 2, limit=4)], START) == {"thing": 0.5}


def test_the_table_has_a_line_for_each_weight() -> None:
    lines = table([said()], START).splitlines()
    assert len(lines) == 3 + len(msgspec.structs.fields(START))
    assert lines[4].startswith("| no words | 0.000 |")


def test_no_film_is_shown_twice() -> None:
    assert not set(FIT_SEEDS) & set(HELD_OUT_SEEDS)
    for first in BENCHMARKS_FROM:
        assert not set(range(first, first + 10_000)) & {*FIT_SEEDS, *HELD_OUT_SEEDS}


def test_what_memory_reads_is_in_range() -> None:
    assert all(value >= 0 for value in msgspec.structs.astuple(WEIGHTS))
    assert WEIGHTS.crowd <= 1
