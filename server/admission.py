"""Whether a question can be answered in time: foretold from what questions cost and from those that are open."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reasoning.costs import expected_tokens
from reasoning.messages import Costs

_WAIT_WEIGHT: Final = 2.0
"""How often a wait counts: it rests on what others do, and what is let in is to be answered, not to run out of time."""
_KEPT: Final = 0.9
"""Of what older answers count, with each new one."""
_LEAST, _MOST = 0.25, 16.0
_LONGEST_S: Final = 3600
_OPEN: Final = 1024


@dataclass(slots=True)
class Asked:
    """A question in the line. words: its own, in tokens; most: tokens that its answer may have; said: has so far.

    at_s: when it went to reasoning (a new one: when it came), by the monotonic clock; foretold_s: what the costs said
    then, 0: nothing.
    """

    stream: str
    words: float
    most: int
    at_s: float
    said: int = 0
    foretold_s: float = 0.0


@dataclass(frozen=True)
class Foretold:
    """Seconds until others have gone before, and what the question itself takes from then on."""

    wait_s: float
    own_s: float

    @property
    def end_s(self) -> float:
        """Until the answer is complete."""
        return self.wait_s + self.own_s


@dataclass(frozen=True)
class Late:
    """It cannot be answered in time. after_s: when it could be asked again; None: it would take too long even alone."""

    after_s: int | None
    takes_s: float


class Admission:
    """Knows what reasoning's work costs; what else takes time it learns from how right it was."""

    def __init__(self) -> None:
        self.costs: Costs | None = None
        self._taken_s = self._foretold_s = 1.0

    def forget(self) -> None:
        """Another process reasons from now on."""
        self.costs = None
        self._taken_s = self._foretold_s = 1.0

    def slowness(self, line: Sequence[Asked] = (), now_s: float = 0.0) -> float:
        """How much longer answers take than the costs alone say: those that were given, and those that are overdue."""
        usual = self._taken_s / self._foretold_s
        overdue = [one for one in line if 0 < one.foretold_s * usual < now_s - one.at_s]
        taken_s = self._taken_s + sum(now_s - one.at_s for one in overdue)
        foretold_s = self._foretold_s + sum(one.foretold_s for one in overdue)
        return min(max(taken_s / foretold_s, _LEAST), _MOST)

    def foretell(self, line: Sequence[Asked], new: Asked) -> Foretold | None:
        """When the answer would be complete by the costs alone; None while they are not known."""
        return None if self.costs is None else _foretell(self.costs, line, new)

    def learn(self, foretold_s: float, taken_s: float) -> None:
        """An answer that was foretold so has taken so long."""
        self._foretold_s = _KEPT * self._foretold_s + foretold_s
        self._taken_s = _KEPT * self._taken_s + taken_s

    def judge(self, line: Sequence[Asked], new: Asked, patience_s: float) -> Late | None:
        """None: let it in. One question always is: what it takes may correct what was measured in a bad hour."""
        foretold, alone = self.foretell(line, new), self.foretell([], new)
        if foretold is None or alone is None or not line:
            return None
        if alone.end_s > patience_s:
            return Late(None, alone.end_s)
        slowness = self.slowness(line, new.at_s)
        wait_s = foretold.wait_s * slowness
        may_wait_s = (patience_s - foretold.own_s * slowness) / _WAIT_WEIGHT
        if wait_s <= may_wait_s:
            return None
        # Where even no wait would do, the line must be gone.
        return Late(_whole(wait_s - max(0.0, may_wait_s)), foretold.end_s * slowness)

    def next_end_s(self, line: Sequence[Asked], now_s: float) -> int:
        """In how many seconds one of the open questions is likely to end."""
        if self.costs is None or not line:
            return 1
        turn_s = sum(_turn_s(self.costs, len(line), one) for one in line) / len(line)
        return _whole(turn_s * self.slowness(line, now_s))


def most_open(of_a_stream: int) -> int:
    """How many questions may be open about all streams together."""
    return max(_OPEN, of_a_stream)


def _whole(seconds: float) -> int:
    return min(max(1, math.ceil(seconds)), _LONGEST_S)


def _foretell(costs: Costs, line: Sequence[Asked], new: Asked) -> Foretold:
    """Prompts are read one after the other; then each takes part in the steps, as soon as a slot is free."""
    ahead = [one for one in line if one.said] + _ahead_of(new, [one for one in line if not one.said])
    slots = len(costs.step_s)
    read_s = sum(_read_s(costs, one) for one in ahead if not one.said)
    step_s = costs.step_s[min(slots, len(ahead) + 1) - 1]
    held_s = sum(_held_s(costs, step_s, one) for one in ahead) / max(1, len(ahead))
    ends_before = max(0, len(ahead) + 1 - slots)
    return Foretold(read_s + ends_before / slots * held_s, _read_s(costs, new) + _held_s(costs, step_s, new))


def _turn_s(costs: Costs, together: int, one: Asked) -> float:
    """What a question adds to the line."""
    slots = min(len(costs.step_s), together)
    return _read_s(costs, one) + _held_s(costs, costs.step_s[slots - 1], one) / slots


def _read_s(costs: Costs, one: Asked) -> float:
    return costs.encode_s + costs.read_s * (costs.tokens + one.words)


def _held_s(costs: Costs, step_s: float, one: Asked) -> float:
    """How long it holds its slot from when it has been read."""
    waits_s = 0.0 if one.said else costs.elsewhere_s
    return waits_s + step_s * expected_tokens(costs.end_rate, max(1, one.most - one.said))


def _ahead_of(new: Asked, waiting: Sequence[Asked]) -> list[Asked]:
    """Those that are begun before a new question: streams take turns, so of another stream no more than of its own."""
    turns = 1 + sum(one.stream == new.stream for one in waiting)
    ahead: list[Asked] = []
    seen: Counter[str] = Counter()
    for one in waiting:
        seen[one.stream] += 1
        if seen[one.stream] <= turns:
            ahead.append(one)
    return ahead
