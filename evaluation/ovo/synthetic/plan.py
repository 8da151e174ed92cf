"""What happens in a pair of films: the same story twice, told so that every question has another answer in each.

A film is a row of scenes of SCENE_S seconds. In each a thing, its lead, stands in the centre; round it stand a thing on
one side, one at the top right and, in the lower corners, clues that stay once they have come; signs hang at the top
left. In scenes of motion the lead walks to one side instead. The twin has what is asked about swapped between two
scenes, so that both films hold the same things, and no answer is likelier in one than in the other.
"""

import random
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, TypeVar

from training.world import COLOURS, ROOMS, SHAPES

Value = TypeVar("Value")

SCENE_S: Final = 6
STORY: Final = 14
"""Scenes of every film; fillers follow."""
SIDES: Final = ("left", "right", "top", "bottom")

MET: Final = (0, 2)
"""Scenes with a thing that is asked for later by its place (EPM)."""
DOUBTED: Final = (1, 3)
"""Scenes with a thing that is there in one of the two films only (HLD)."""
CURRENT: Final = (5, 10)
"""Scenes about which it is asked while they last; the ones before and after hold what would be stale or too early."""
MOVING: Final = (7, 12)
HEADING: Final = (8, 13)
"""Scenes of motion: which way the lead walks (ACR), where it will arrive (FPD)."""
FOLLOWING: Final = (2, 9)
"""Scenes whose leads are swapped: what came after the lead before (ASI), which one is being shown (SSR)."""
CLUES_FROM: Final = 4
CLUE_LATE: Final = 7
MOST_BURST: Final = 6
"""Signs in the first four scenes: 0 to so many."""


@dataclass(frozen=True)
class Plan:
    """One film. Looks are named as things are: `red square`; None: nothing.

    leads, sides (look and side), corners, rooms, heading: by scene; heading: the side that the lead walks to. signs:
    text, and its first and last second. clues: look and the first scene of it, for the left and the right corner.
    """

    number: int
    leads: tuple[str, ...]
    sides: tuple[tuple[str, str] | None, ...]
    corners: tuple[str | None, ...]
    heading: tuple[str | None, ...]
    clues: tuple[tuple[str, int] | None, tuple[str, int] | None]
    signs: tuple[tuple[str, int, int], ...]
    rooms: tuple[str, ...]

    @property
    def duration_s(self) -> int:
        """How long the film is."""
        return SCENE_S * len(self.leads)


@dataclass(frozen=True)
class Pair:
    """Two films, what both are asked about, and where the answers come in the order of the letters.

    met, doubted, clues: looks that are asked for. kind: the shape whose colour and side are asked. probes: it is asked
    at the last moment at which the answer still holds.
    """

    number: int
    films: tuple[Plan, Plan]
    met: tuple[str, str]
    doubted: tuple[str, str]
    clues: tuple[str, str]
    kind: str
    probes: bool


def make_pair(seed: int, number: int, fillers: int = 0) -> Pair:
    """Pair `number` of a set: films 2 * number and 2 * number + 1. fillers: scenes between the story and its end."""
    return _Writer(random.Random(f"{seed}/{number}"), number, fillers).write()


class _Writer:
    def __init__(self, dice: random.Random, number: int, fillers: int) -> None:
        self._dice = dice
        self._number = number
        self._scenes = STORY + fillers
        kinds = list(SHAPES)
        dice.shuffle(kinds)
        self._kind = kinds[0]
        looks = [f"{colour} {shape}" for colour, shape in product(COLOURS, kinds[1:])]
        dice.shuffle(looks)
        self._looks = looks

    def write(self) -> Pair:
        """Both films: what is rare is taken from the looks first, so that nothing that is asked for comes twice."""
        met = (self._new(), self._new())
        doubted, clues = [self._with_near() for _ in DOUBTED], [self._with_near() for _ in range(2)]
        corners = self._corners()
        leads = self._leads()
        first = Plan(
            number=2 * self._number,
            leads=tuple(leads),
            sides=tuple(self._sides(met, [doubted[0][0], doubted[1][1]])),
            corners=tuple(corners),
            heading=tuple(self._heading()),
            clues=((clues[0][0], CLUES_FROM), (clues[1][1], CLUES_FROM)),
            signs=tuple(self._signs()),
            rooms=tuple(self._rooms()),
        )
        second = self._twin(first, met, doubted, clues)
        return Pair(
            number=self._number,
            films=(first, second),
            met=met,
            doubted=(doubted[0][0], doubted[1][0]),
            clues=(clues[0][0], clues[1][0]),
            kind=self._kind,
            probes=self._number % 5 == 0,
        )

    def _twin(
        self, one: Plan, met: tuple[str, str], doubted: list[tuple[str, str]], clues: list[tuple[str, str]]
    ) -> Plan:
        sides = list(one.sides)
        for a, b in (MET, CURRENT):
            (look_a, side_a), (look_b, side_b) = sides[a] or ("", ""), sides[b] or ("", "")
            swapped = (look_b, look_a) if a in CURRENT else (look_a, look_b)
            sides[a], sides[b] = (swapped[0], side_b), (swapped[1], side_a)
        for n, scene in enumerate(DOUBTED):
            _, side = sides[scene] or ("", "")
            sides[scene] = (doubted[n][1 - n], side)
        heading = _swapped(_swapped(one.heading, *MOVING), *HEADING)
        return replace(
            one,
            number=one.number + 1,
            leads=_swapped(one.leads, *FOLLOWING),
            sides=tuple(sides),
            corners=_swapped(one.corners, *CURRENT),
            heading=heading,
            clues=((clues[0][0], CLUE_LATE), (clues[1][0], CLUES_FROM)),
            signs=tuple(self._twin_signs(one.signs)),
        )

    # ------------------------------------------------------------ things

    def _new(self) -> str:
        return self._looks.pop()

    def _with_near(self) -> tuple[str, str]:
        """A look and one that has the same colour."""
        look = self._new()
        near = next(one for one in self._looks if one.split()[0] == look.split()[0])
        self._looks.remove(near)
        return look, near

    def _leads(self) -> list[str]:
        """One comes back; fillers show again what was shown, but for what is asked about."""
        leads = [self._new() for _ in range(STORY)]
        leads[11] = leads[4]
        often = [lead for n, lead in enumerate(leads) if n in {0, 4, 5, 6, 7, 12}]
        for _ in range(self._scenes - STORY):
            leads.append(self._dice.choice([one for one in often if one != leads[-1]]))
        return leads

    def _sides(self, met: tuple[str, str], doubted: list[str]) -> list[tuple[str, str] | None]:
        """What stands at one of the sides. Round the CURRENT scenes things of one shape, each of its own colour."""
        sides: list[tuple[str, str] | None] = [None] * self._scenes
        for scenes, looks in ((MET, met), (DOUBTED, doubted)):
            places = self._dice.sample(SIDES, 2)
            for scene, look, place in zip(scenes, looks, places, strict=True):
                sides[scene] = (look, place)
        colours, places = self._dice.sample(COLOURS, 4), self._dice.sample(SIDES, 4)
        for n, scene in enumerate(CURRENT):
            for at, which in ((scene - 1, 2), (scene, n), (scene + 1, 3)):
                sides[at] = (f"{colours[which]} {self._kind}", places[which])
        return sides

    def _corners(self) -> list[str | None]:
        """At the top right: before, in and after the CURRENT scenes; before and after the same for both of them."""
        corners: list[str | None] = [None] * self._scenes
        before, after = self._new(), self._new()
        for scene in CURRENT:
            corners[scene - 1], corners[scene], corners[scene + 1] = before, self._new(), after
        return corners

    def _heading(self) -> list[str | None]:
        heading: list[str | None] = [None] * self._scenes
        for scenes in (MOVING, HEADING):
            for scene, side in zip(scenes, self._dice.sample(SIDES, 2), strict=True):
                heading[scene] = side
        return heading

    def _rooms(self) -> list[str]:
        rooms: list[str] = []
        while len(rooms) < self._scenes:
            rooms.append(self._dice.choice([room for room in ROOMS if room not in rooms[-1:]]))
        return rooms

    # ------------------------------------------------------------ signs

    def _signs(self) -> list[tuple[str, int, int]]:
        """A burst of short ones first; then before, in and after the CURRENT scenes."""
        signs = self._burst((2 * self._number) % (MOST_BURST + 1))
        # One character apart: who only half reads takes one for the other.
        tails = self._dice.sample(range(100), 3)
        heads = self._dice.sample(range(10), 2)
        before, after = (f"{heads[0]}{tail:02d}" for tail in tails[1:])
        for scene, head in zip(CURRENT, heads, strict=True):
            start = scene * SCENE_S
            signs.append((before, start - SCENE_S, start))
            signs.append((f"{head}{tails[0]:02d}", start + 2, start + SCENE_S))
            signs.append((after, start + SCENE_S, start + 2 * SCENE_S))
        return signs

    def _burst(self, count: int) -> list[tuple[str, int, int]]:
        starts = [scene * SCENE_S + at for scene in range(4) for at in (1, 4)]
        chosen = sorted(self._dice.sample(starts, count))
        return [(f"{self._dice.randrange(1000):03d}", start, start + 1) for start in chosen]

    def _twin_signs(self, signs: tuple[tuple[str, int, int], ...]) -> list[tuple[str, int, int]]:
        """One sign more or less in the burst, and the texts of the CURRENT scenes swapped."""
        burst = list(signs[:-6])
        if len(burst) == MOST_BURST:
            burst = []
        else:
            taken = {start for _, start, _ in burst}
            free = [scene * SCENE_S + at for scene in range(4) for at in (1, 4)]
            start = self._dice.choice([at for at in free if at not in taken])
            burst = sorted([*burst, (f"{self._dice.randrange(1000):03d}", start, start + 1)], key=lambda one: one[1])
        later = list(signs[-6:])
        (text_a, *span_a), (text_b, *span_b) = later[1], later[4]
        later[1], later[4] = (text_b, span_a[0], span_a[1]), (text_a, span_b[0], span_b[1])
        return [*burst, *later]


def _swapped(values: tuple[Value, ...], a: int, b: int) -> tuple[Value, ...]:
    mixed = list(values)
    mixed[a], mixed[b] = mixed[b], mixed[a]
    return tuple(mixed)
