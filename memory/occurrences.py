"""The event list as an answer: which events show what is asked for, one entry for each time that it was so. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memory.ranking import Candidate

LEAST_LIKENESS: Final = 0.3
LIKENESS_SHARE: Final = 0.5
"""A frame shows what is asked for if it is about as like as the likest one, and that one is like at all. On 12 films of
the procedural world: the likest frame of what was there has 0.37 or more in 95 of 100; half of the likest is reached by
66 % of the frames that show it and by 3 % of the others."""
WORDS_SHARE: Final = 0.5
_JOINT_US: Final = 2_000_000
"""Events closer than this show one occurrence, which goes on."""


@dataclass(frozen=True)
class Occurrence:
    """A stretch of neighbouring events that show it. best: the candidate that shows it first."""

    stream: str
    start_us: int
    end_us: int
    best: Candidate


def occurrences(candidates: Sequence[Candidate], starts_us: Mapping[str, int]) -> list[Occurrence]:
    """In order of wall time. starts_us: wall time of each stream's media time 0."""
    runs: list[list[Candidate]] = []
    for one in sorted(_matching(candidates), key=lambda one: (one.stream, one.media_us)):
        last = runs[-1][-1] if runs else None
        if last is not None and one.stream == last.stream and _is_next(last, one):
            runs[-1].append(one)
        else:
            runs.append([one])
    found = [Occurrence(run[0].stream, run[0].start_us, max(one.end_us for one in run), run[0]) for run in runs]
    return sorted(found, key=lambda one: starts_us.get(one.stream, 0) + one.start_us)


def _is_next(last: Candidate, one: Candidate) -> bool:
    return one.seq == last.seq or one.start_us - last.end_us <= _JOINT_US


def _matching(candidates: Sequence[Candidate]) -> list[Candidate]:
    likest = max((one.vector for one in candidates if one.vector is not None), default=0.0)
    wordiest = max((one.words for one in candidates if one.words is not None), default=0.0)
    if likest < LEAST_LIKENESS:
        likest = float("inf")
    return [
        one
        for one in candidates
        if (one.vector is not None and one.vector >= LIKENESS_SHARE * likest)
        or (one.words is not None and one.words >= WORDS_SHARE * wordiest)
    ]
