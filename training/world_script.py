"""What happens in a procedural world: the words for it, its typed events, and how they add up to what is in view.

Times are integer microseconds from the script's beginning. Places are the cells of a grid of 3 x 3; positions are
shares of the picture's width and height, so that a script fits every size.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

SECOND: Final = 1_000_000

COLOURS: Final = ("red", "yellow", "green", "cyan", "blue", "pink", "white", "black")
SHAPES: Final = ("circle", "square", "triangle", "star", "cross", "ring")
PLACES: Final = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
"""Row by row, so that place n is column n % 3, row n // 3."""
ROOMS: Final = ("plain", "stripes", "planks", "tiles", "slope", "mist")
Direction = Literal["left", "right", "up", "down"]
STEPS: Final[dict[Direction, tuple[int, int]]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Columns and rows that one step goes."""
UNSEEN_PAIRS: Final = frozenset(
    {
        ("red", "star"),
        ("yellow", "ring"),
        ("green", "cross"),
        ("cyan", "circle"),
        ("blue", "triangle"),
        ("pink", "square"),
    }
)
"""Colours with shapes that a training set leaves out, to see whether a model takes the two apart."""


@dataclass(frozen=True)
class Thing:
    """A coloured shape. size: its diameter as a share of a cell. Two things of one look are told apart by `number`."""

    number: int
    colour: str
    shape: str
    size: float

    @property
    def name(self) -> str:
        """How one speaks of it: `red square`."""
        return f"{self.colour} {self.shape}"


# ---------------------------------------------------------------- events


@dataclass(frozen=True)
class Cut:
    """The picture changes to another room, at once. light: how bright it is there, 0..1."""

    start_us: int
    end_us: int
    room: str
    light: float


@dataclass(frozen=True)
class Appeared:
    """A thing is there when its scene begins."""

    start_us: int
    end_us: int
    thing: Thing
    place: int


@dataclass(frozen=True)
class Entered:
    """A thing comes into the picture, from its first visible edge until it rests at `place`."""

    start_us: int
    end_us: int
    thing: Thing
    place: int
    direction: Direction


@dataclass(frozen=True)
class Moved:
    """A thing goes from one place to another in a straight line."""

    start_us: int
    end_us: int
    thing: Thing
    origin: int
    place: int
    direction: Direction


@dataclass(frozen=True)
class Left:
    """A thing goes out of the picture from `place`; at `end_us` nothing of it is left."""

    start_us: int
    end_us: int
    thing: Thing
    place: int
    direction: Direction


@dataclass(frozen=True)
class SignShown:
    """A board with three characters hangs at a place from start to end."""

    start_us: int
    end_us: int
    text: str
    place: int


@dataclass(frozen=True)
class Beeped:
    """A tone sounds."""

    start_us: int
    end_us: int
    hertz: int


@dataclass(frozen=True)
class Spoke:
    """A voice babbles, without words."""

    start_us: int
    end_us: int


Event = Cut | Appeared | Entered | Moved | Left | SignShown | Beeped | Spoke

# ---------------------------------------------------------------- what they add up to


@dataclass(frozen=True)
class Stop:
    """Where a thing's middle may be: at the middle of a place, or just beyond the edge that lies that way from it."""

    place: int
    beyond: Direction | None = None

    def position(self, reach_x: float, reach_y: float) -> tuple[float, float]:
        """Shares of width and height. reach: half the thing's size, as such shares: beyond the edge it just hides."""
        x, y = (self.place % 3 + 0.5) / 3, (self.place // 3 + 0.5) / 3
        if self.beyond is None:
            return x, y
        across, down = STEPS[self.beyond]
        x = x if across == 0 else (0.5 + across * (0.5 + reach_x))
        y = y if down == 0 else (0.5 + down * (0.5 + reach_y))
        return x, y


@dataclass(frozen=True)
class Leg:
    """A straight way from one stop to another; it rests at one where both are the same."""

    start_us: int
    end_us: int
    origin: Stop
    target: Stop
    direction: Direction | None

    @property
    def cells(self) -> float:
        """How many cells it goes, an edge taken for the cell beyond."""
        (x, y), (to_x, to_y) = self.origin.position(1 / 6, 1 / 6), self.target.position(1 / 6, 1 / 6)
        return 3 * (abs(to_x - x) + abs(to_y - y))

    def position(self, at_us: int, reach_x: float, reach_y: float) -> tuple[float, float]:
        """Where the thing's middle is, as shares of width and height; reach as in `Stop.position`."""
        share = min(1.0, max(0.0, (at_us - self.start_us) / max(1, self.end_us - self.start_us)))
        x, y = self.origin.position(reach_x, reach_y)
        to_x, to_y = self.target.position(reach_x, reach_y)
        return x + (to_x - x) * share, y + (to_y - y) * share


@dataclass(frozen=True)
class Visit:
    """A thing's time in the picture: part of it is visible in [start_us, end_us), all in [whole_us, leaving_us)."""

    thing: Thing
    legs: tuple[Leg, ...]
    whole_us: int
    leaving_us: int

    @property
    def start_us(self) -> int:
        """First visible."""
        return self.legs[0].start_us

    @property
    def end_us(self) -> int:
        """Not visible any more."""
        return self.legs[-1].end_us

    def leg(self, at_us: int) -> Leg:
        """The leg at a time within the visit."""
        return self.legs[bisect_right(self.legs, at_us, key=lambda leg: leg.start_us) - 1]


@dataclass(frozen=True)
class Scene:
    """From one cut to the next: everything in view comes and goes within it."""

    start_us: int
    end_us: int
    cut: Cut
    visits: tuple[Visit, ...]
    signs: tuple[SignShown, ...]

    def present(self, at_us: int) -> tuple[Visit, ...]:
        """The things of which something is visible."""
        return tuple(visit for visit in self.visits if visit.start_us <= at_us < visit.end_us)

    def sign(self, at_us: int) -> SignShown | None:
        """The sign that hangs there."""
        return next((sign for sign in self.signs if sign.start_us <= at_us < sign.end_us), None)


@dataclass(frozen=True)
class Script:
    """All that happens, in order of its beginning, first a cut at 0. noise: of the camera, sigma of 255."""

    seed: int
    duration_us: int
    events: tuple[Event, ...]
    noise: float = 0.0

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """Its scenes, in order and without gaps."""
        cuts = [event for event in self.events if isinstance(event, Cut)]
        ends = [*(cut.start_us for cut in cuts[1:]), self.duration_us]
        grouped: list[list[Event]] = [[] for _ in cuts]
        starts = [cut.start_us for cut in cuts]
        for event in self.events:
            grouped[bisect_right(starts, event.start_us) - 1].append(event)
        return tuple(_scene(cut, end, inside) for cut, end, inside in zip(cuts, ends, grouped, strict=True))

    @cached_property
    def visits(self) -> tuple[Visit, ...]:
        """All visits of all things, by their beginning."""
        return tuple(visit for scene in self.scenes for visit in scene.visits)

    @cached_property
    def signs(self) -> tuple[SignShown, ...]:
        """All signs, by their beginning."""
        return tuple(event for event in self.events if isinstance(event, SignShown))

    def scene(self, at_us: int) -> Scene:
        """The scene at a time; beyond the ends, the first or last."""
        starts = self._starts
        return self.scenes[max(0, bisect_right(starts, at_us) - 1)]

    def until(self, at_us: int) -> "Script":
        """The same script, broken off: what begins later never happens."""
        return Script(self.seed, at_us, tuple(event for event in self.events if event.start_us < at_us), self.noise)

    @cached_property
    def _starts(self) -> list[int]:
        return [scene.start_us for scene in self.scenes]


OPPOSITE: Final[dict[Direction, Direction]] = {"left": "right", "right": "left", "up": "down", "down": "up"}


def _scene(cut: Cut, end_us: int, events: list[Event]) -> Scene:
    motions: dict[int, list[Appeared | Entered | Moved | Left]] = {}
    for event in events:
        if isinstance(event, Appeared | Entered | Moved | Left):
            motions.setdefault(event.thing.number, []).append(event)
    signs = tuple(event for event in events if isinstance(event, SignShown))
    return Scene(cut.start_us, end_us, cut, tuple(_visit(path, end_us) for path in motions.values()), signs)


def _visit(path: list[Appeared | Entered | Moved | Left], scene_end_us: int) -> Visit:
    legs: list[Leg] = []
    for event, following in zip(path, [*path[1:], None], strict=True):
        if not isinstance(event, Appeared):
            legs.append(_way(event))
        rest_us = scene_end_us if following is None else following.start_us
        if not isinstance(event, Left) and rest_us > event.end_us:
            here = Stop(event.place)
            legs.append(Leg(event.end_us, rest_us, here, here, None))
    first, last = path[0], path[-1]
    whole_us = first.start_us if isinstance(first, Appeared) else _inside_us(legs[0])
    leaving_us = _touching_us(legs[-1]) if isinstance(last, Left) else scene_end_us
    return Visit(first.thing, tuple(legs), whole_us, leaving_us)


def _way(event: Entered | Moved | Left) -> Leg:
    if isinstance(event, Entered):
        origin, target = Stop(event.place, OPPOSITE[event.direction]), Stop(event.place)
    elif isinstance(event, Moved):
        origin, target = Stop(event.origin), Stop(event.place)
    else:
        origin, target = Stop(event.place), Stop(event.place, event.direction)
    return Leg(event.start_us, event.end_us, origin, target, event.direction)


def _inside_us(leg: Leg) -> int:
    """When a thing that enters is inside at every size of picture: at the middle of the outermost place."""
    return leg.end_us - round((leg.end_us - leg.start_us) * (1 - 1 / leg.cells))


def _touching_us(leg: Leg) -> int:
    """When a thing that leaves may first touch the edge: at the middle of the outermost place."""
    return leg.start_us + round((leg.end_us - leg.start_us) * (1 - 1 / leg.cells))
