"""Which events answer best: by likeness, words and time; then the few that together show most. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

import msgspec

from memory.timewords import Order


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts how much beside likeness (1): words, recency, nearness to the moment that is meant, being the first
    or last that shows it where that is asked for; crowd: the share of its score that a candidate loses where its moment
    is picked already.
    """

    words: float
    recency: float
    target: float
    order: float
    crowd: float


WEIGHTS: Final = msgspec.json.decode(resources.files("memory").joinpath("ranking.json").read_bytes(), type=Weights)
"""As `python -m training.rank` fitted them."""
LEAST_LIKENESS: Final = 0.35
LIKENESS_SHARE: Final = 0.5
"""A frame shows what is asked for if it is about as like as the likest one, and that one is like at all. In memories of
eight films of the procedural world, asked for "the red ring": the likest frame of what was there has 0.43 or more in 95
of 100, of what never was 0.26 in the middle. The bound denies 85 of 100 things that never were, and 2 of 100 that were.
Half of the likest is reached by 86 in 100 frames that show it (what is cut off or moves is less like) and by 2 in 100
others."""
NAMED_SHARE: Final = 0.9
"""How much a frame must stand out, in shares of the one that does most, where a question names one event by what it
shows: among thousands of frames the few in a hundred that are half as like are many. Of 88 notes in days of 86 400
frames, asked where they were last, 71 are the likest frame of all, 80 stand out most (`memory/background.py`). In films
of ten minutes "last" and "first" are found as often by either, and by 0.75 (`training.rank`).
"""
WORDS_SHARE: Final = 0.5
_RANK_SOFTNESS: Final = 10.0
_SAME_EVENT: Final = 0.8


@dataclass(eq=False)
class Candidate:
    """An event that may be recalled. vector: likeness of its best frame `n`, which was seen at `media_us`; salience:
    how that frame stands out from all that is remembered, towards what is asked for, where that is known.
    """

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
    salience: float | None = None
    score: float = 0.0
    picked: bool = False
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def standing(self) -> float | None:
        """What tells it from the others, where one is named: many share with the likest what many frames have."""
        return self.vector if self.salience is None else self.salience


@dataclass(frozen=True)
class Wanted:
    """What time says about the candidates: a moment that is meant, an order, the width of what is asked.

    targets_us: by stream, on its own clock. starts_us: wall time of each stream's media time 0; none: the same of all.
    """

    targets_us: Mapping[str, int]
    order: Order | None
    width_us: int
    starts_us: Mapping[str, int] = field(default_factory=dict)


def score(candidates: Sequence[Candidate], wanted: Wanted, weights: Weights = WEIGHTS) -> None:
    """Set scores in 0..1: weighted soft ranks, so that likenesses of any encoder compare."""
    by_vector = _soft_ranks(candidates, [one.vector for one in candidates])
    by_words = _soft_ranks(candidates, [one.words for one in candidates])
    times = [wanted.starts_us.get(one.stream, 0) + one.media_us for one in candidates]
    by_time, by_order = _soft_ranks(candidates, times), _in_order(candidates, times, wanted.order)
    total = 1.0 + weights.words * any(one.words is not None for one in candidates) + weights.recency
    total += weights.target * bool(wanted.targets_us) + weights.order * (wanted.order is not None)
    for n, one in enumerate(candidates):
        one.parts = {"vector": by_vector[n], "words": weights.words * by_words[n]}
        one.parts["recency"] = weights.recency * by_time[n]
        if wanted.order is not None:
            one.parts["order"] = weights.order * by_order[n]
        target_us = wanted.targets_us.get(one.stream)
        if target_us is not None:
            away = abs(one.media_us - target_us)
            if one.start_us <= target_us <= one.end_us:
                # What was seen last before a moment is what was there at that moment.
                away //= 10
            one.parts["target"] = weights.target * math.exp(-away / max(1, wanted.width_us))
        one.score = sum(one.parts.values()) / total


def _in_order(candidates: Sequence[Candidate], times: Sequence[int], order: Order | None) -> list[float]:
    """Soft ranks by time, from the end that is asked for, of those that show it alone."""
    shown = set(map(id, named(candidates)))
    sign = -1 if order == "first" else 1
    values = [sign * at if id(one) in shown else None for one, at in zip(candidates, times, strict=True)]
    return _soft_ranks(candidates, values)


def matching(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that show what is asked for, or say it."""
    return _alike(candidates, [one.vector for one in candidates], LIKENESS_SHARE)


def named(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that may be the one event that is named."""
    return _alike(candidates, [one.standing for one in candidates], NAMED_SHARE)


def _alike(candidates: Sequence[Candidate], standing: Sequence[float | None], share: float) -> list[Candidate]:
    """Of what shows it at all, all that has so large a share of the best standing; and what says it."""
    is_shown = max((one.vector for one in candidates if one.vector is not None), default=0.0) >= LEAST_LIKENESS
    best = max((one for one in standing if one is not None), default=0.0) if is_shown else math.inf
    wordiest = max((one.words for one in candidates if one.words is not None), default=0.0)
    return [
        one
        for one, value in zip(candidates, standing, strict=True)
        if (value is not None and value >= share * best)
        or (one.words is not None and one.words >= WORDS_SHARE * wordiest)
    ]


def _soft_ranks(candidates: Sequence[Candidate], values: Sequence[float | None]) -> list[float]:
    """1 for the best, falling with the rank; 0 where there is no value."""
    order = sorted((n for n, value in enumerate(values) if value is not None), key=lambda n: -(values[n] or 0.0))
    ranks = [0.0] * len(candidates)
    for rank, n in enumerate(order):
        ranks[n] = _RANK_SOFTNESS / (_RANK_SOFTNESS + rank)
    return ranks


def pick(candidates: Iterable[Candidate], limit: int, width_us: int, weights: Weights = WEIGHTS) -> list[Candidate]:
    """The best few, each at some distance in time from those picked before it."""
    left = sorted(candidates, key=lambda one: (-one.score, one.start_us))
    crowd = [0.0] * len(left)
    reach_us = max(1, width_us // max(1, 2 * limit))
    picked: list[Candidate] = []
    while left and len(picked) < limit:
        n = max(range(len(left)), key=lambda n: left[n].score * (1.0 - weights.crowd * crowd[n]))
        best = left.pop(n)
        del crowd[n]
        best.picked = True
        picked.append(best)
        crowd = [max(known, _crowd(one, best, reach_us)) for known, one in zip(crowd, left, strict=True)]
    return picked


def _crowd(one: Candidate, picked: Candidate, reach_us: int) -> float:
    """1 at the same moment of the same stream, less with distance; much within an event."""
    if one.stream != picked.stream:
        return 0.0
    near = math.exp(-abs(one.media_us - picked.media_us) / reach_us)
    return max(near, _SAME_EVENT) if one.seq == picked.seq else near
