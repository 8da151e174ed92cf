"""Whether a question can be answered in time: foretold from what questions cost and from those that are open."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reasoning.costs import expected_tokens, words_of
from reasoning.messages import Costs

_SURE: Final = 0.8
"""Of its time, what a question may be expected to take: what is let in is to be answered, not to run out of time."""
_KEPT: Final = 0.9
"""Of what older answers count, with each new one."""
_LEAST, _MOST = 0.25, 16.0
_LONGEST_S: Final = 3600
_OPEN: Final = 1024


@dataclass(frozen=True)
class Asked:
    """A question, open or new. said: tokens of its answer so far; most: that it may have."""

    stream: str
    question: str
    most: int
    said: int = 0


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

    @property
    def slowness(self) -> float:
        """How much longer answers take than the costs alone say."""
        return min(max(self._taken_s / self._foretold_s, _LEAST), _MOST)

    def foretell(self, line: Sequence[Asked], new: Asked) -> float | None:
        """In how many seconds the answer would be complete by the costs alone; None while they are not known."""
        return None if self.costs is None else _finish_s(self.costs, line, new)

    def learn(self, foretold_s: float, taken_s: float) -> None:
        """An answer that was foretold so has taken so long."""
        self._foretold_s = _KEPT * self._foretold_s + foretold_s
        self._taken_s = _KEPT * self._taken_s + taken_s

    def judge(self, line: Sequence[Asked], new: Asked, patience_s: float) -> Late | None:
        """None: let it in. One question always is: what it takes may correct what was measured in a bad hour."""
        foretold_s = self.foretell(line, new)
        if foretold_s is None or not line:
            return None
        takes_s = foretold_s * self.slowness
        if takes_s <= _SURE * patience_s:
            return None
        alone_s = self.foretell([], new) or 0.0
        if alone_s > patience_s:
            return Late(None, alone_s)
        return Late(_whole(takes_s - max(_SURE * patience_s, alone_s * self.slowness)), takes_s)

    def next_end_s(self, line: Sequence[Asked]) -> int:
        """In how many seconds one of the open questions is likely to end."""
        if self.costs is None or not line:
            return 1
        turn_s = sum(_turn_s(self.costs, len(line), one) for one in line) / len(line)
        return _whole(turn_s * self.slowness)


def most_open(of_a_stream: int) -> int:
    """How many questions may be open about all streams together."""
    return max(_OPEN, of_a_stream)


def _whole(seconds: float) -> int:
    return min(max(1, math.ceil(seconds)), _LONGEST_S)


def _finish_s(costs: Costs, line: Sequence[Asked], new: Asked) -> float:
    """Prompts are read one after the other; then each takes part in the steps, as soon as a slot is free."""
    ahead = [one for one in line if one.said] + _ahead_of(new, [one for one in line if not one.said])
    slots = len(costs.step_s)
    read_s = sum(_read_s(costs, one) for one in (*ahead, new) if not one.said)
    step_s = costs.step_s[min(slots, len(ahead) + 1) - 1]
    held_s = sum(_held_s(costs, step_s, one) for one in ahead) / max(1, len(ahead))
    ends_before = max(0, len(ahead) + 1 - slots)
    return read_s + ends_before / slots * held_s + _held_s(costs, step_s, new)


def _turn_s(costs: Costs, together: int, one: Asked) -> float:
    """What a question adds to the line."""
    slots = min(len(costs.step_s), together)
    return _read_s(costs, one) + _held_s(costs, costs.step_s[slots - 1], one) / slots


def _read_s(costs: Costs, one: Asked) -> float:
    return costs.encode_s + costs.read_s * (costs.tokens + words_of(one.question))


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
