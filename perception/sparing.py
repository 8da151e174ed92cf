"""Which live streams are watched by their keyframes alone: their cost and lag in, the names of those to spare out.

A stage that cannot decode all that comes falls further and further behind. Keyframes cost a fraction: each stands for
itself, and there is one in a second or two. All that cost about the same are spared together, so that none is watched
less than its neighbours; a single costly stream is spared alone.
"""

from collections.abc import Collection, Mapping
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
_TRY_US: Final = 30_000_000
_TRY_MOST_US: Final = 960_000_000
"""How long streams are spared before everything is tried again: longer each time that this was in vain."""
_ANYWAY: Final = 10
"""So many times as long before it is tried although it does not look so: what is known of the costs grows old."""
_HELD_US: Final = 60_000_000
"""Decoding everything for so long has held."""
_SMOOTH: Final = 0.3
_WORTH: Final = 0.2
"""A share of the time that decoding must take: where it takes less, sparing it would not help."""
_PROVEN: Final = 2
"""Looks in a row that find the stage behind: one long step is no overload."""


class Sparing:
    """Decides once a second. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._level: Spared = "none"
        self._since_us = 0
        self._patience_us = _TRY_US
        self._looked_us: int | None = None
        self._busy = self._more = 0.0
        self._behind_looks = 0
        self._costs: dict[str, float] = {}
        self._spared: set[str] = set()

    def due(self, now_us: int) -> bool:
        """Whether it is time for a look."""
        return self._looked_us is None or now_us - self._looked_us >= LOOK_US

    def look(self, spent_us: Mapping[str, int], behind_us: int, worked_us: int, now_us: int) -> Collection[str]:
        """The streams to spare.

        spent_us: what decoding each live stream has taken since the last look. behind_us: how long the oldest of their
        media has waited. worked_us: how long the stage has worked since then.
        """
        passed_us = now_us - (now_us if self._looked_us is None else self._looked_us)
        self._looked_us = now_us
        if passed_us > 0:
            self._learn(spent_us, passed_us)
            self._busy += _SMOOTH * (min(1.0, worked_us / passed_us) - self._busy)
        self._decide(behind_us, now_us)
        self._choose()
        return self._spared

    def _learn(self, spent_us: Mapping[str, int], passed_us: int) -> None:
        """What each stream costs when all of it is decoded."""
        self._costs = {name: self._costs.get(name, 0.0) for name in spent_us}
        for name, spent in spent_us.items():
            if name not in self._spared:
                share, known = spent / passed_us, self._costs[name]
                self._costs[name] = known + _SMOOTH * (share - known) if known else share
        self._more = sum(self._costs[name] - spent_us[name] / passed_us for name in self._spared if name in spent_us)

    def _decide(self, behind_us: int, now_us: int) -> None:
        self._behind_looks = self._behind_looks + 1 if behind_us > BEHIND_US else 0
        lasted_us = now_us - self._since_us
        if self._behind_looks >= _PROVEN:
            self._spare_more(lasted_us, now_us)
        elif self._level != "none" and behind_us < _ABREAST_US and self._is_time(lasted_us):
            self._level, self._since_us = "none", now_us

    def _is_time(self, lasted_us: int) -> bool:
        """Whether everything is to be tried again."""
        enough = lasted_us > self._patience_us and self._busy + self._more < _MOST_BUSY
        return enough or lasted_us > _ANYWAY * self._patience_us

    def _spare_more(self, lasted_us: int, now_us: int) -> None:
        if self._level == "none" and sum(self._costs.values()) > _WORTH:
            in_vain = self._since_us > 0 and lasted_us < _HELD_US
            self._patience_us = min(_TRY_MOST_US, 2 * self._patience_us) if in_vain else _TRY_US
            self._level, self._since_us = "costly", now_us
        elif self._level == "costly" and lasted_us > _ESCALATE_US:
            self._level = "all"

    def _choose(self) -> None:
        if self._level == "none" or not self._costs:
            self._spared = set()
            return
        least = 0.0 if self._level == "all" else _COSTLY * sum(self._costs.values()) / len(self._costs)
        # Whoever is spared stays so: what it costs now says nothing.
        self._spared = {name for name, cost in self._costs.items() if name in self._spared or cost >= least}
