"""Sets of times: half-open ranges [start, end) in, their union, what it covers and what it leaves out."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]


class Spans:
    """A union of ranges, kept sorted and apart; ranges that are at most `joint_us` from each other are one."""

    def __init__(self, spans: Iterable[Span] = (), joint_us: int = 0) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._joint_us = joint_us
        for start, end in spans:
            self.add(start, end)

    def copy(self) -> "Spans":
        """The same set, apart from this one."""
        made = Spans(joint_us=self._joint_us)
        made._starts, made._ends = self._starts.copy(), self._ends.copy()
        return made

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Span]:
        return iter(zip(self._starts, self._ends, strict=True))

    def add(self, start: int, end: int) -> None:
        """Take a range in; an empty one changes nothing."""
        if start >= end:
            return
        first = bisect_left(self._ends, start - self._joint_us)
        last = bisect_right(self._starts, end + self._joint_us)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take a range out."""
        if start >= end:
            return
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        kept = [
            (a, b)
            for s, e in zip(self._starts[first:last], self._ends[first:last], strict=True)
            for a, b in ((s, min(e, start)), (max(s, end), e))
            if a < b
        ]
        self._starts[first:last] = [a for a, _ in kept]
        self._ends[first:last] = [b for _, b in kept]

    def touches(self, start: int, end: int) -> bool:
        """Whether anything of [start, end) is in the set."""
        return bool(self.within(start, end))

    def holds(self, moment: int) -> bool:
        """Whether the moment is in the set."""
        at = bisect_right(self._starts, moment) - 1
        return at >= 0 and moment < self._ends[at]

    def within(self, start: int, end: int) -> list[Span]:
        """The parts of the set inside [start, end)."""
        if start >= end:
            return []
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        return [(max(self._starts[i], start), min(self._ends[i], end)) for i in range(first, last)]

    def without(self, start: int, end: int) -> list[Span]:
        """The parts of [start, end) that are not in the set."""
        missing, at = [], start
        for a, b in self.within(start, end):
            if a > at:
                missing.append((at, a))
            at = b
        if at < end:
            missing.append((at, end))
        return missing

    @property
    def span(self) -> Span | None:
        """From the first moment to the end of the last, None when empty."""
        return (self._starts[0], self._ends[-1]) if self._starts else None
