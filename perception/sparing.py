"""Which live streams are watched by their keyframes alone: their cost and lag in, the names of those to spare out.

A stage that cannot decode all that comes falls further and further behind. Keyframes cost a fraction: each stands for
itself, and there is one in a second or two. All that cost about the same are spared together, so that none is watched
less than its neighbours; a single costly stream is spared alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Spared = Literal["none", "costly", "all"]

LOOK_US: Final = 1_000_000
"""Between two looks."""
BEHIND_US: Final = 1_000_000
"""Media that waits for so long: the stage does not keep up."""
_ABREAST_US: Final = 300_000
_COSTLY: Final = 0.5
"""A share of the mean cost."""
_ESCALATE_US: Final = 5_000_000
"""Still behind after so long: the costly ones were not enough."""
_MOST_BUSY: Final = 0.6
"""Share of the time that the stage would work, as far as is known, for everything to be tried again: with more pictures
there is more to encode, too."""
_TRY_US: Final = 5_000_000
_TRY_MOST_US: Final = 300_000_000
"""How long there has to be room before everything is tried again: longer each time that this was in vain."""
_ANYWAY: Final = 10
_ANYWAY_US: Final = 300_000_000
"""So many times as long, and so long at least, it is not tried where there seems to be no room; then it is anyway: what
is known of the costs grows old."""
_HELD_US: Final = 60_000_000
"""Decoding everything for so long has held."""
_SMOOTH: Final = 0.3
_WORTH: Final = 0.2
"""A share of the time that decoding must take: where it takes less, sparing it would not help."""
_PROVEN: Final = 2
"""Looks in a row that find the stage behind: one long step is no overload."""


@dataclass(frozen=True)
class Spent:
    """What a stream took since the last look, in microseconds. whole: all of it was decoded."""

    keyframes_us: int
    rest_us: int
    whole: bool = True


@dataclass
class _Cost:
    """Of one stream, in shares of the time.

    rest: what lies between its keyframes, when that was decoded last; keyframes_then: what these took then. The clock
    goes on while other processes have the machine: what keyframes take now says how much of it there is today.
    """

    keyframes: float = 0.0
    rest: float = 0.0
    keyframes_then: float = 0.0

    def learn(self, spent: Spent, passed_us: int) -> None:
        self.keyframes = _smoothed(self.keyframes, spent.keyframes_us / passed_us)
        if spent.whole:
            self.rest, self.keyframes_then = _smoothed(self.rest, spent.rest_us / passed_us), self.keyframes

    @property
    def whole(self) -> float:
        """Of all of the stream."""
        slower = self.keyframes / self.keyframes_then if self.keyframes_then > 0 else 1.0
        return self.keyframes + self.rest * slower


def _smoothed(known: float, new: float) -> float:
    return known + _SMOOTH * (new - known) if known else new


class Sparing:
    """Decides once a second. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._level: Spared = "none"
        self._since_us = 0
        self._room_since_us: int | None = None
        self._patience_us = _TRY_US
        self._looked_us: int | None = None
        self._busy = self._more = 0.0
        self._behind_looks = 0
        self._costs: dict[str, _Cost] = {}
        self._spared: set[str] = set()

    def due(self, now_us: int) -> bool:
        """Whether it is time for a look."""
        return self._looked_us is None or now_us - self._looked_us >= LOOK_US

    def look(self, spent: Mapping[str, Spent], behind_us: int, worked_us: int, now_us: int) -> Collection[str]:
        """The streams to spare.

        spent: what decoding each live stream has taken since the last look. behind_us: how long the oldest of their
        media has waited. worked_us: how long the stage has worked since then.
        """
        passed_us = now_us - (now_us if self._looked_us is None else self._looked_us)
        self._looked_us = now_us
        if passed_us > 0:
            self._learn(spent, passed_us)
            self._busy += _SMOOTH * (min(1.0, worked_us / passed_us) - self._busy)
        self._decide(behind_us, now_us)
        self._choose()
        return self._spared

    def _learn(self, spent: Mapping[str, Spent], passed_us: int) -> None:
        """What each stream costs when all of it is decoded, and how much more that would be."""
        self._costs = {name: self._costs.get(name, _Cost()) for name in spent}
        for name, took in spent.items():
            self._costs[name].learn(took, passed_us)
        self._more = sum(
            self._costs[name].whole - (took.keyframes_us + took.rest_us) / passed_us
            for name, took in spent.items()
            if not took.whole
        )

    def _decide(self, behind_us: int, now_us: int) -> None:
        self._behind_looks = self._behind_looks + 1 if behind_us > BEHIND_US else 0
        self._room_since_us = self._has_room_since(now_us)
        if self._behind_looks >= _PROVEN:
            self._spare_more(now_us - self._since_us, now_us)
        elif self._level != "none" and behind_us < _ABREAST_US and self._is_time(now_us):
            self._level, self._since_us = "none", now_us

    def _has_room_since(self, now_us: int) -> int | None:
        """Since when everything could be decoded, by what is measured; None: it could not."""
        if self._level == "none" or self._busy + self._more >= _MOST_BUSY:
            return None
        return now_us if self._room_since_us is None else self._room_since_us

    def _is_time(self, now_us: int) -> bool:
        """Whether everything is to be tried again."""
        if self._room_since_us is not None and now_us - self._room_since_us >= self._patience_us:
            return True
        return now_us - self._since_us > max(_ANYWAY_US, _ANYWAY * self._patience_us)

    def _spare_more(self, lasted_us: int, now_us: int) -> None:
        if self._level == "none" and sum(cost.whole for cost in self._costs.values()) > _WORTH:
            in_vain = self._since_us > 0 and lasted_us < _HELD_US
            self._patience_us = min(_TRY_MOST_US, 2 * self._patience_us) if in_vain else _TRY_US
            self._level, self._since_us = "costly", now_us
        elif self._level == "costly" and lasted_us > _ESCALATE_US:
            self._level = "all"

    def _choose(self) -> None:
        if self._level == "none" or not self._costs:
            self._spared = set()
            return
        costs = {name: cost.whole for name, cost in self._costs.items()}
        least = 0.0 if self._level == "all" else _COSTLY * sum(costs.values()) / len(costs)
        # Whoever is spared stays so, whatever its neighbours cost now.
        self._spared = {name for name, cost in costs.items() if name in self._spared or cost >= least}
