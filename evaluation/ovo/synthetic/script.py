"""Plans as scripts of the procedural world."""

from collections.abc import Iterator
from typing import Final

from evaluation.ovo.synthetic.plan import SCENE_S, Plan
from training.world import PLACES, SECOND, Appeared, Cut, Event, Moved, Script, SignShown, Thing

CENTRE: Final = PLACES.index("centre")
SIGN_PLACE: Final = PLACES.index("top left")
CORNER: Final = PLACES.index("top right")
CLUE_PLACES: Final = (PLACES.index("bottom left"), PLACES.index("bottom right"))
CLUES_UNTIL: Final = 9
"""The first scene in which the clues are gone."""
WAYS: Final = {"left": "left", "right": "right", "top": "up", "bottom": "down"}
"""The direction that leads from the centre to a side."""
_SIZE: Final = 0.8
_LIGHT: Final = 0.9
_STEPS_OFF_US: Final = SECOND // 2


def script_of(plan: Plan) -> Script:
    """The whole film; its seed is the film's number, which the strip shows."""
    events = sorted(_Events(plan).write(), key=lambda event: event.start_us)
    return Script(plan.number, plan.duration_s * SECOND, tuple(events))


class _Events:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._things = 0

    def write(self) -> Iterator[Event]:
        for scene, room in enumerate(self._plan.rooms):
            start_us = scene * SCENE_S * SECOND
            yield Cut(start_us, start_us, room, _LIGHT)
            yield from self._lead(scene, start_us)
            for look, place in self._standing(scene):
                yield Appeared(start_us, start_us, self._thing(look), place)
        for text, since_s, until_s in self._plan.signs:
            yield SignShown(since_s * SECOND, until_s * SECOND, text, SIGN_PLACE)

    def _lead(self, scene: int, start_us: int) -> Iterator[Event]:
        lead = self._thing(self._plan.leads[scene])
        yield Appeared(start_us, start_us, lead, CENTRE)
        side = self._plan.heading[scene]
        if side is not None:
            leaves_us, arrives_us = start_us + _STEPS_OFF_US, start_us + SCENE_S * SECOND - _STEPS_OFF_US
            yield Moved(leaves_us, arrives_us, lead, CENTRE, PLACES.index(side), WAYS[side])  # type: ignore[arg-type]

    def _standing(self, scene: int) -> Iterator[tuple[str, int]]:
        side, corner = self._plan.sides[scene], self._plan.corners[scene]
        if side is not None:
            yield side[0], PLACES.index(side[1])
        if corner is not None:
            yield corner, CORNER
        for clue, place in zip(self._plan.clues, CLUE_PLACES, strict=True):
            if clue is not None and clue[1] <= scene < CLUES_UNTIL:
                yield clue[0], place

    def _thing(self, look: str) -> Thing:
        self._things += 1
        colour, shape = look.split()
        return Thing(self._things, colour, shape, _SIZE)
