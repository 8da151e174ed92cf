"""Which events answer best: by likeness, words and time; then the few that together show most. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from memory.timewords import Order

VECTOR_WEIGHT: Final = 1.0
WORDS_WEIGHT: Final = 1.5
RECENCY_WEIGHT: Final = 0.15
TARGET_WEIGHT: Final = 2.0
ORDER_WEIGHT: Final = 0.5
CROWD_WEIGHT: Final = 0.6
"""Weights are chosen by hand, for want of a model to fit them with."""

_RANK_SOFTNESS: Final = 10.0


@dataclass(eq=False)
class Candidate:
    """An event that may be recalled. vector: likeness of its best frame `n`, which was seen at `media_us`."""

    stream: str
    seq: int
    event: str
    start_us: int
    end_us: int
    n: int
    media_us: int
    vector: float | None = None
    words: float | None = None
    merged: int = 1
    score: float = 0.0
    picked: bool = False
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What time says about the candidates: a moment that is meant, an order, the width of what is asked.

    targets_us: by stream, on its own clock. starts_us: wall time of each stream's media time 0; none: the same of all.
    """

    targets_us: Mapping[str, int]
    order: Order | None
    width_us: int
    starts_us: Mapping[str, int] = field(default_factory=dict)


def score(candidates: Sequence[Candidate], wanted: Wanted) -> None:
    """Set scores in 0..1: weighted soft ranks, so that likenesses of any encoder compare."""
    by_vector = _soft_ranks(candidates, [one.vector for one in candidates])
    by_words = _soft_ranks(candidates, [one.words for one in candidates])
    by_time = _soft_ranks(candidates, [wanted.starts_us.get(one.stream, 0) + one.start_us for one in candidates])
    total = VECTOR_WEIGHT + WORDS_WEIGHT * any(one.words is not None for one in candidates) + RECENCY_WEIGHT
    total += TARGET_WEIGHT * bool(wanted.targets_us) + ORDER_WEIGHT * (wanted.order == "first")
    for n, one in enumerate(candidates):
        one.parts = {"vector": VECTOR_WEIGHT * by_vector[n], "words": WORDS_WEIGHT * by_words[n]}
        one.parts["recency"] = RECENCY_WEIGHT * by_time[n]
        if wanted.order == "first":
            one.parts["order"] = ORDER_WEIGHT * (1.0 - by_time[n])
        target_us = wanted.targets_us.get(one.stream)
        if target_us is not None:
            away = abs(one.media_us - target_us)
            if one.start_us <= target_us <= one.end_us:
                # What was seen last before a moment is what was there at that moment.
                away //= 10
            one.parts["target"] = TARGET_WEIGHT * math.exp(-away / max(1, wanted.width_us))
        one.score = sum(one.parts.values()) / total


def _soft_ranks(candidates: Sequence[Candidate], values: Sequence[float | None]) -> list[float]:
    """1 for the best, falling with the rank; 0 where there is no value."""
    order = sorted((n for n, value in enumerate(values) if value is not None), key=lambda n: -(values[n] or 0.0))
    ranks = [0.0] * len(candidates)
    for rank, n in enumerate(order):
        ranks[n] = _RANK_SOFTNESS / (_RANK_SOFTNESS + rank)
    return ranks


def pick(candidates: Iterable[Candidate], limit: int, width_us: int) -> list[Candidate]:
    """The best few, each at some distance in time from those picked before it."""
    left = sorted(candidates, key=lambda one: (-one.score, one.start_us))
    reach_us = max(1, width_us // max(1, 2 * limit))
    picked: list[Candidate] = []
    while left and len(picked) < limit:
        best = max(left, key=lambda one: one.score - CROWD_WEIGHT * one.score * _crowd(one, picked, reach_us))
        left.remove(best)
        best.picked = True
        picked.append(best)
    return picked


def _crowd(one: Candidate, picked: Sequence[Candidate], reach_us: int) -> float:
    """1 where a picked one of the same stream is at the same moment, less with distance; much within an event."""
    near = [
        max(math.exp(-abs(one.media_us - other.media_us) / reach_us), 0.8 * (one.seq == other.seq))
        for other in picked
        if other.stream == one.stream
    ]
    return max(near, default=0.0)
