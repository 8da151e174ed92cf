"""The pictures of haystacks and notes, drawn by the procedural world: FPS of them for each sampled frame."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.needle.looks import HAY_LOOKS
from evaluation.needle.plan import Note
from training.world import (
    PRESETS,
    ROOMS,
    SECOND,
    Appeared,
    Cut,
    Entered,
    Event,
    Left,
    Moved,
    Preset,
    Script,
    SignShown,
    Thing,
    World,
    frame,
)

Picture = NDArray[np.uint8]
"""RGB, [height, width, 3]."""

SEGMENT: Final = 512
"""Frames of one film of a haystack."""
SIZE: Final = (320, 240)
FPS: Final = 4
"""As few as show a shot's own movement, by which a cut is told from it."""
_FIRST_SEED: Final = 600_000
"""Of the held-out seeds that no other benchmark takes."""
_PRESET: Final[Preset] = replace(
    PRESETS["plain"], duration_s=float(SEGMENT), scene_s=(5.0, 40.0), signs=False, sounds=False, pairs="seen"
)


@lru_cache(maxsize=8)
def hay_script(segment: int) -> Script:
    """A walk through rooms with a cut every 5 to 40 s, without signs, without the things that name needles."""
    script = World(_FIRST_SEED + segment, _PRESET).script()
    return replace(script, events=tuple(_allowed(event) for event in script.events))


def _allowed(event: Event) -> Event:
    if not isinstance(event, Appeared | Entered | Moved | Left):
        return event
    thing = event.thing
    if (thing.colour, thing.shape) in HAY_LOOKS:
        return event
    colour, shape = HAY_LOOKS[thing.number * 7 % len(HAY_LOOKS)]
    return replace(event, thing=replace(thing, colour=colour, shape=shape))


def hay_pictures(segment: int) -> Iterator[Picture]:
    """All pictures of a segment, FPS for each of its frames."""
    return (_hay_picture(segment * SEGMENT * FPS + n) for n in range(SEGMENT * FPS))


def _hay_picture(number: int) -> Picture:
    segment, inside = divmod(number, SEGMENT * FPS)
    return frame(hay_script(segment), inside * SECOND // FPS, *SIZE)


def note_picture(note: Note, number: int) -> Picture:
    """Picture `number` of a note: a room, the thing, the sign."""
    dice = np.random.default_rng([note.room, 91])
    thing = Thing(1, *note.look, round(float(dice.uniform(*_PRESET.size)), 3))
    light = round(float(dice.uniform(*_PRESET.light)), 3)
    room = ROOMS[int(dice.integers(len(ROOMS)))]
    end_us = note.frames * SECOND
    sign = SignShown(0, end_us, note.code, note.sign_place)
    events: tuple[Event, ...] = (Cut(0, 0, room, light), Appeared(0, 0, thing, note.place), sign)
    return frame(Script(note.room, end_us, events, _PRESET.noise), number * SECOND // FPS, *SIZE)


def stretch(since: int, until: int, notes: Sequence[Note]) -> Iterator[Picture]:
    """Frames [since, until) of the haystack, with the notes that lie there in the place of what they hide."""
    shown = {note.index + n: (note, n) for note in notes for n in range(note.frames)}
    for number in range(since * FPS, until * FPS):
        index, part = divmod(number, FPS)
        if index in shown:
            note, n = shown[index]
            yield note_picture(note, n * FPS + part)
        else:
            yield _hay_picture(number)
