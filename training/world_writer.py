"""Writes scripts: a seed and a preset in, what happens out. One thing happens at a time; none is ever in the way."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeVar

import numpy as np

from training.world_script import (
    COLOURS,
    OPPOSITE,
    PLACES,
    ROOMS,
    SECOND,
    SHAPES,
    STEPS,
    UNSEEN_PAIRS,
    Appeared,
    Beeped,
    Cut,
    Direction,
    Entered,
    Event,
    Left,
    Moved,
    Script,
    SignShown,
    Spoke,
    Thing,
)

Pair = tuple[str, str]
Option = TypeVar("Option")
_HERTZ: Final = (440, 660, 880, 1320)
_REMEMBERED: Final = 16
"""A look comes back after this many others at the earliest, where there are enough of them."""


@dataclass(frozen=True)
class Preset:
    """How rich and how hard a world is. Ranges are drawn from evenly.

    things: most in view at once. speed: in cells a second. size: diameters as shares of a cell. noise: sigma of 255.
    quiet_s: nothing happens that long before a cut; end_quiet_s: before the end. pairs: which looks may occur.
    """

    duration_s: float = 30.0
    things: int = 3
    scene_s: tuple[float, float] = (8.0, 13.0)
    pause_s: tuple[float, float] = (0.7, 2.0)
    quiet_s: float = 0.8
    end_quiet_s: float = 2.5
    speed: tuple[float, float] = (0.7, 1.1)
    size: tuple[float, float] = (0.7, 0.88)
    light: tuple[float, float] = (0.75, 1.0)
    noise: float = 2.5
    signs: bool = True
    sounds: bool = True
    pairs: Literal["all", "seen", "unseen"] = "all"


PRESETS: Final = {
    "plain": Preset(),
    "many": Preset(things=5, pause_s=(0.5, 1.2), scene_s=(12.0, 18.0)),
    "dark": Preset(light=(0.45, 0.6), noise=5.0),
    "still": Preset(things=2, scene_s=(60.0, 90.0), pause_s=(15.0, 25.0), sounds=False),
}
"""`plain` is the usual world, `many` counts to five, `dark` is dim and noisy, in `still` little happens."""


def write_script(seed: int, preset: Preset) -> Script:
    """The script of this seed: always the same one."""
    stage = _Writer(np.random.default_rng([seed, 1]), preset).write()
    sounds = _sounds(np.random.default_rng([seed, 2]), preset.duration_s) if preset.sounds else []
    events = sorted([*stage, *sounds], key=lambda event: event.start_us)
    return Script(seed, round(preset.duration_s * SECOND), tuple(events), preset.noise)


class _Writer:
    """Keeps track of who stands where while the events are written down."""

    def __init__(self, dice: np.random.Generator, preset: Preset) -> None:
        self._dice = dice
        self._preset = preset
        allowed: dict[str, Callable[[Pair], bool]] = {
            "all": lambda pair: True,
            "seen": lambda pair: pair not in UNSEEN_PAIRS,
            "unseen": lambda pair: pair in UNSEEN_PAIRS,
        }
        self._pairs = [pair for pair in product(COLOURS, SHAPES) if allowed[preset.pairs](pair)]
        self._recent: deque[Pair] = deque(maxlen=min(_REMEMBERED, len(self._pairs) - preset.things))
        self._events: list[Event] = []
        self._number = 0
        self._room = ""
        self._standing: dict[int, Thing] = {}
        self._sign: tuple[int, int, str] | None = None

    def write(self) -> list[Event]:
        """All that can be seen."""
        duration_us = round(self._preset.duration_s * SECOND)
        now_us = 0
        while now_us < duration_us:
            end_us = now_us + self._time_us(self._preset.scene_s)
            last = duration_us - end_us < self._preset.scene_s[0] * SECOND
            end_us = duration_us if last else end_us
            quiet_s = self._preset.end_quiet_s if last else self._preset.quiet_s
            self._scene(now_us, end_us, end_us - round(quiet_s * SECOND))
            now_us = end_us
        return self._events

    def _scene(self, start_us: int, end_us: int, busy_until_us: int) -> None:
        self._room = self._pick([room for room in ROOMS if room != self._room])
        self._events.append(
            Cut(start_us, start_us, self._room, round(float(self._dice.uniform(*self._preset.light)), 3))
        )
        self._standing = {}
        for place in self._dice.permutation(len(PLACES))[: self._dice.integers(1, self._preset.things)]:
            self._standing[int(place)] = thing = self._new_thing()
            self._events.append(Appeared(start_us, start_us, thing, int(place)))
        now_us = start_us + self._time_us(self._preset.pause_s)
        while now_us < busy_until_us:
            now_us = self._act(now_us, busy_until_us) + self._time_us(self._preset.pause_s)
        self._take_down(end_us)

    def _act(self, now_us: int, until_us: int) -> int:
        """One thing happens, if it can end in time: when it is over."""
        actions = [action for action in self._actions() if self._dice.random() < 0.8]
        for n in self._dice.permutation(len(actions)):
            end_us: int | None = actions[n](now_us, until_us)
            if end_us is not None:
                return end_us
        return now_us

    def _actions(self) -> list[Callable[[int, int], int | None]]:
        actions: list[Callable[[int, int], int | None]] = [self._move]
        if len(self._standing) < self._preset.things:
            actions += [self._enter, self._enter]
        if len(self._standing) > 1:
            actions.append(self._leave)
        if self._preset.signs:
            actions.append(self._change_sign)
        return actions

    # ------------------------------------------------------------ what can happen: each tells when it is over, or None

    def _enter(self, now_us: int, until_us: int) -> int | None:
        ways = [(place, to) for place in range(9) for to in STEPS if self._free(self._to_edge(place, OPPOSITE[to]))]
        ways = [(place, to) for place, to in ways if self._free([place])]
        if not ways:
            return None
        place, direction = self._pick(ways)
        end_us = now_us + self._travel_us(len(self._to_edge(place, OPPOSITE[direction])) + 1)
        if end_us > until_us:
            return None
        self._standing[place] = thing = self._new_thing()
        self._events.append(Entered(now_us, end_us, thing, place, direction))
        return end_us

    def _leave(self, now_us: int, until_us: int) -> int | None:
        ways = [(place, to) for place in self._standing for to in STEPS if self._free(self._to_edge(place, to))]
        if not ways:
            return None
        place, direction = self._pick(ways)
        end_us = now_us + self._travel_us(len(self._to_edge(place, direction)) + 1)
        if end_us > until_us:
            return None
        self._events.append(Left(now_us, end_us, self._standing.pop(place), place, direction))
        return end_us

    def _move(self, now_us: int, until_us: int) -> int | None:
        ways: list[tuple[int, Direction, int]] = []
        for place, to in product(self._standing, STEPS):
            path = self._to_edge(place, to)
            ways += [(place, to, n) for n in range(1, len(path) + 1) if self._free(path[:n])]
        if not ways:
            return None
        place, direction, cells = self._pick(ways)
        end_us = now_us + self._travel_us(cells)
        if end_us > until_us:
            return None
        target = self._to_edge(place, direction)[cells - 1]
        self._standing[target] = thing = self._standing.pop(place)
        self._events.append(Moved(now_us, end_us, thing, place, target, direction))
        return end_us

    def _change_sign(self, now_us: int, until_us: int) -> int | None:
        """Hang up a sign, or take down the one that hangs."""
        if self._sign is not None:
            self._take_down(now_us)
            return now_us
        places = [place for place in range(9) if self._free([place])]
        if not places or until_us - now_us < SECOND:
            return None
        self._sign = (now_us, self._pick(places), f"{self._dice.integers(1000):03d}")
        return now_us + SECOND

    def _take_down(self, now_us: int) -> None:
        if self._sign is not None:
            start_us, place, text = self._sign
            self._events.append(SignShown(start_us, now_us, text, place))
            self._sign = None

    # ------------------------------------------------------------ helpers

    def _to_edge(self, place: int, direction: Direction) -> list[int]:
        """The places that one passes from here to the edge, without this one."""
        across, down = STEPS[direction]
        column, row = place % 3 + across, place // 3 + down
        path = []
        while 0 <= column < 3 and 0 <= row < 3:
            path.append(row * 3 + column)
            column, row = column + across, row + down
        return path

    def _free(self, places: Sequence[int]) -> bool:
        return not any(place in self._standing or (self._sign and self._sign[1] == place) for place in places)

    def _new_thing(self) -> Thing:
        colour, shape = self._pick(
            [pair for pair in self._pairs if pair not in self._recent and not self._in_view(pair)]
        )
        self._recent.append((colour, shape))
        self._number += 1
        return Thing(self._number, colour, shape, round(float(self._dice.uniform(*self._preset.size)), 3))

    def _in_view(self, pair: Pair) -> bool:
        return any((thing.colour, thing.shape) == pair for thing in self._standing.values())

    def _travel_us(self, cells: int) -> int:
        return round(cells / self._dice.uniform(*self._preset.speed) * SECOND)

    def _time_us(self, span_s: tuple[float, float]) -> int:
        return round(self._dice.uniform(*span_s) * SECOND)

    def _pick(self, options: Sequence[Option]) -> Option:
        return options[int(self._dice.integers(len(options)))]


def _sounds(dice: np.random.Generator, duration_s: float) -> list[Event]:
    """Beeps and voices, one after the other."""
    events: list[Event] = []
    now_s = float(dice.uniform(0.5, 3.0))
    while True:
        voice = dice.random() < 0.4
        length_s = float(dice.uniform(1.5, 3.0) if voice else dice.uniform(0.3, 0.8))
        if now_s + length_s > duration_s - 1.0:
            return events
        start_us, end_us = round(now_s * SECOND), round((now_s + length_s) * SECOND)
        events.append(Spoke(start_us, end_us) if voice else Beeped(start_us, end_us, int(dice.choice(_HERTZ))))
        now_s += length_s + float(dice.uniform(2.0, 5.0))
