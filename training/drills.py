"""Sheets put together from calm frames of many films: only its time tells one frame of such a sheet from another.

A film's own sheets settle few questions that name a time, and what a film repeats answers half of them without looking
at the time. Here every frame shows something else, and all of them are asked about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from reasoning.prompt import age
from training.lessons import LETTERED_LATE, Item, Level, told
from training.world import (
    COLOURS,
    NUMBERS,
    PLACES,
    SECOND,
    SHAPES,
    Script,
    Sheet,
    Shown,
    WorldQuestion,
    as_letters,
    like_sign,
    with_shuffled_choices,
)

QUESTIONS: Final = 36
_CALM_US: Final = 400_000
"""A frame whose neighbours in time so near show the same: what it shows is at rest and wholly in view."""
_SIGNED: Final = 0.6
"""Share of frames with a sign: it is what least can be answered without the time."""
_JITTER_US: Final = 700_000
"""How far from a frame the moment may lie that is asked about, where no other frame is nearer."""
_THEMES: Final = {"times": 0.5, "letters": 0.3, "all": 0.2}
"""Shares of sheets. times: every frame has a sign, and what it said at which time is all that is asked, with the count,
and when things came; as one of many kinds of questions it was not learnt in 500 steps. letters: what is told by letters
late.
"""
_LETTERED: Final = 0.5
_ORDERS: Final = 4
"""How often the same is asked with other choices in another order, where letters are the theme."""
_WHENS: Final = 8
"""Of a sheet, at most: there are more than of the rest."""
_AGES: Final = (0.4, 100.0)
"""Seconds ago, of the oldest frames."""


@dataclass(frozen=True)
class Still:
    """A frame at rest: its row on the shelf, what stands where by name, and what the sign says."""

    row: int
    places: tuple[tuple[str, str], ...]
    sign: str | None


def stills_of(script: Script, times: Sequence[int], first: int) -> Iterator[Still]:
    """The calm frames of a film whose row on the shelf begins at `first`."""
    for index, at_us in enumerate(times):
        scene = script.scene(at_us)
        if at_us - _CALM_US < scene.start_us or at_us + _CALM_US >= scene.end_us:
            continue
        visits = scene.present(at_us)
        around = (at_us - _CALM_US, at_us + _CALM_US)
        calm = all(visit.leg(at_us).direction is None for visit in visits) and all(
            scene.present(near) == visits
            and [visit.leg(near) for visit in visits] == [visit.leg(at_us) for visit in visits]
            and scene.sign(near) == scene.sign(at_us)
            for near in around
        )
        names = {visit.thing.name for visit in visits}
        if calm and len(names) == len(visits):
            sign = scene.sign(at_us)
            places = tuple((visit.thing.name, PLACES[visit.leg(at_us).origin.place]) for visit in visits)
            yield Still(first + index, places, sign.text if sign else None)


class Drills:
    """Draws sheets from stills, and asks about all that they show."""

    def __init__(self, stills: Sequence[Still]) -> None:
        self._signed = [one for one in stills if one.sign is not None]
        self._stills = list(stills)

    def draw(self, dice: np.random.Generator, level: Level) -> tuple[Sheet, list[Item]]:
        """A sheet of at most so many frames as the level shows, and its questions."""
        theme = str(dice.choice(list(_THEMES), p=list(_THEMES.values()))) if level.past else "letters"
        windowed = int(dice.integers(1, level.window + 1))
        count = windowed + (int(dice.integers(1, level.evidence + 1)) if level.evidence else 0)
        stills = [self._pick(dice, 1.0 if theme == "times" else _SIGNED) for _ in range(count)]
        now_us = 1000 * SECOND
        shown = [Shown(one.row, now_us - ago) for one, ago in zip(stills, _ages(dice, count), strict=True)]
        sheet = Sheet(tuple(shown[:-windowed]), tuple(shown[-windowed:]), now_us)
        asked = [*_now(stills[-1], sheet), *(_past(dice, stills, sheet) if level.past else ())]
        found = [asked[n] for n in dice.permutation(len(asked))]
        return sheet, list(_items(dice, theme, found))[:QUESTIONS]

    def _pick(self, dice: np.random.Generator, signed: float) -> Still:
        among = self._signed if self._signed and dice.random() < signed else self._stills
        return among[int(dice.integers(len(among)))]


def _items(dice: np.random.Generator, theme: str, found: Sequence[WorldQuestion]) -> Iterator[Item]:
    for question in found:
        late = question.kind in LETTERED_LATE
        by_time = question.kind == "when" or (question.timed and question.kind != "place")
        if theme == "all" or (theme == "times" and by_time):
            yield _drilled(told(question))
        times = _ORDERS * late if theme == "letters" else int(theme == "all" and dice.random() < _LETTERED)
        for _ in range(times):
            other = as_letters(_among_fewer(with_shuffled_choices(question, dice), dice))
            if other is not None:
                yield Item(other.text, other.answer, f"drill.letter.{question.kind}")


def _among_fewer(question: WorldQuestion, dice: np.random.Generator) -> WorldQuestion:
    """With two to all of its choices: between two, what an answer has to be compared with is told more plainly."""
    wrong = [choice for choice in question.choices if choice != question.answer]
    gone = {wrong[n] for n in dice.permutation(len(wrong))[int(dice.integers(1, len(wrong) + 1)) :]} if wrong else set()
    return replace(question, choices=tuple(choice for choice in question.choices if choice not in gone))


def _drilled(item: Item) -> Item:
    return replace(item, skill=f"drill.{item.skill}")


def _ages(dice: np.random.Generator, count: int) -> list[int]:
    """Microseconds ago, falling, no two of them nearer than half a second."""
    oldest = np.exp(dice.uniform(np.log(3.0 + 0.5 * count), np.log(_AGES[1])))
    free = np.sort(dice.uniform(0, max(oldest - 0.5 * count, 0.1), count))[::-1]
    apart = free + 0.5 * np.arange(count - 1, -1, -1)
    newest = dice.uniform(0, _AGES[0])
    return [round((float(value) - float(apart[-1]) + newest) * SECOND) for value in apart]


def _now(still: Still, sheet: Sheet) -> Iterator[WorldQuestion]:
    span = (sheet.window[-1].media_us, sheet.now_us + 1)
    names = [name for name, _ in still.places]
    yield WorldQuestion("count", "How many objects are there now?", NUMBERS[len(names)], "now", *span, NUMBERS[:6])
    if still.sign is not None:
        yield WorldQuestion("sign", "What does the sign say now?", still.sign, "now", *span, like_sign(still.sign))
    for name, place in still.places:
        colour, shape = name.split()
        yield WorldQuestion("place", f"Where is the {name} now?", place, "now", *span, PLACES)
        if sum(other.endswith(shape) for other in names) == 1:
            yield WorldQuestion("colour", f"What colour is the {shape} now?", colour, "now", *span, COLOURS)
        if sum(other.startswith(colour) for other in names) == 1:
            yield WorldQuestion("shape", f"What shape is the {colour} object now?", shape, "now", *span, SHAPES)


def _past(dice: np.random.Generator, stills: Sequence[Still], sheet: Sheet) -> Iterator[WorldQuestion]:
    frames = sheet.frames
    for still, shown in zip(stills, frames, strict=True):
        at_us = shown.media_us + int(dice.integers(-_JITTER_US, _JITTER_US))
        ago = round((sheet.now_us - at_us) / SECOND)
        asked_us = sheet.now_us - ago * SECOND
        nearest = sorted(abs(one.media_us - asked_us) for one in frames)
        alone = abs(shown.media_us - asked_us) == nearest[0] and (len(frames) == 1 or nearest[1] > nearest[0] + 100_000)
        if ago >= 2 and alone:
            yield from _at(still, ago, (asked_us - SECOND, asked_us + SECOND))
    yield from _firsts(dice, stills, sheet)


def _at(still: Still, ago: int, span: tuple[int, int]) -> Iterator[WorldQuestion]:
    count, text = NUMBERS[len(still.places)], f"How many objects were there {ago} s ago?"
    yield WorldQuestion("count", text, count, "past", *span, NUMBERS[:6], timed=True)
    if still.sign is not None:
        text = f"What did the sign say {ago} s ago?"
        yield WorldQuestion("sign", text, still.sign, "past", *span, like_sign(still.sign), timed=True)
    for name, place in still.places:
        yield WorldQuestion("place", f"Where was the {name} {ago} s ago?", place, "past", *span, PLACES, timed=True)


def _firsts(dice: np.random.Generator, stills: Sequence[Still], sheet: Sheet) -> Iterator[WorldQuestion]:
    """When a thing came, and which of two came first."""
    first: dict[str, int] = {}
    for still, shown in zip(stills, sheet.frames, strict=True):
        for name, _ in still.places:
            first.setdefault(name, shown.media_us)
    names = [list(first)[n] for n in dice.permutation(len(first))]
    for name in names[:_WHENS]:
        media_us = first[name]
        answer = age(sheet.now_us - media_us)
        yield WorldQuestion("when", f"When did the {name} first appear?", answer, "past", media_us, media_us + 1)
    for one, other in zip(names[::2], names[1::2], strict=False):
        if first[one] != first[other]:
            came = min(one, other, key=first.__getitem__)
            text = f"Which came first, the {one} or the {other}?"
            yield WorldQuestion("order", text, came, "past", first[came], first[came] + 1, (one, other))
