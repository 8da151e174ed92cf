"""The event list as an answer: which events show what is asked for, one entry for each time that it was so. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memory.ranking import Candidate, matching

_JOINT_US: Final = 2_000_000
"""Events closer than this show one occurrence, which goes on."""


@dataclass(frozen=True)
class Occurrence:
    """A stretch of neighbouring events that show it. best: the candidate that shows it first."""

    stream: str
    start_us: int
    end_us: int
    best: Candidate


def occurrences(
    candidates: Sequence[Candidate],
    starts_us: Mapping[str, int],
    shown: Callable[[Sequence[Candidate]], list[Candidate]] = matching,
) -> list[Occurrence]:
    """In order of wall time. starts_us: wall time of each stream's media time 0. shown: those of them that show it."""
    runs: list[list[Candidate]] = []
    for one in sorted(shown(candidates), key=lambda one: (one.stream, one.media_us)):
        last = runs[-1][-1] if runs else None
        if last is not None and one.stream == last.stream and _is_next(last, one):
            runs[-1].append(one)
        else:
            runs.append([one])
    found = [Occurrence(run[0].stream, run[0].start_us, max(one.end_us for one in run), run[0]) for run in runs]
    return sorted(found, key=lambda one: starts_us.get(one.stream, 0) + one.start_us)


def _is_next(last: Candidate, one: Candidate) -> bool:
    return one.seq == last.seq or one.start_us - last.end_us <= _JOINT_US
