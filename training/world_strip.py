"""A script's state as a strip of light and dark blocks below a picture, and back: for programs that read pixels alone.

A strip survives H.264 and JPEG as cameras and servers write them, at the size at which it was drawn; a checksum tells
whether it did. What it carries of a moment is what a careful eye would know that had watched all the time.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.world_render import Picture
from training.world_script import COLOURS, PLACES, SECOND, SHAPES, Script

BLOCK: Final = 4
STRIP_ROWS: Final = 2
STRIP_HEIGHT: Final = BLOCK * STRIP_ROWS
STRIP_WIDTH: Final = 80 * BLOCK
"""A strip is as wide as this; wider pictures have it at their left."""
_TENTH: Final = SECOND // 10
_DARK, _LIGHT = 78, 178
_CENTRE: Final = PLACES.index("centre")
_NOWHERE: Final = 127
_WIDTHS: Final = (16, 15, *(6 for _ in PLACES), 11, 7, 7, 4, 6, 6)
_CHECK: Final = 16


@dataclass(frozen=True)
class StripState:
    """What is so at a moment. Looks are named as things are: `red square`; None: there is none.

    at_us: to the tenth of a second. cells: what rests at each place. mover: where the thing is that moves, as shares of
    width and height in hundredths. taken_down: how many signs have hung and hang no more. lead: what appeared in the
    centre when the scene began; before: the lead of the scene before.
    """

    film: int
    at_us: int
    cells: tuple[str | None, ...]
    sign: str | None
    mover: tuple[int, int] | None
    taken_down: int
    lead: str | None
    before: str | None


def strip_state(script: Script, at_us: int) -> StripState:
    """The state of a script at a time; its film number is the script's seed."""
    scene = script.scene(at_us)
    number = script.scenes.index(scene)
    cells: list[str | None] = [None] * len(PLACES)
    mover = None
    for visit in scene.present(at_us):
        leg = visit.leg(at_us)
        if leg.direction is None:
            cells[leg.origin.place] = visit.thing.name
        else:
            x, y = leg.position(at_us, 1 / 6, 1 / 6)
            mover = (min(100, max(0, round(100 * x))), min(100, max(0, round(100 * y))))
    sign = scene.sign(at_us)
    return StripState(
        film=script.seed,
        at_us=at_us // _TENTH * _TENTH,
        cells=tuple(cells),
        sign=sign.text if sign is not None else None,
        mover=mover,
        taken_down=sum(one.end_us <= at_us for one in script.signs),
        lead=_lead(script, number),
        before=_lead(script, number - 1) if number > 0 else None,
    )


def _lead(script: Script, number: int) -> str | None:
    for visit in script.scenes[number].visits:
        if visit.legs[0].origin.place == _CENTRE and visit.start_us == script.scenes[number].start_us:
            return visit.thing.name
    return None


# ---------------------------------------------------------------- numbers


def _numbers(state: StripState) -> Iterator[int]:
    yield state.film % (1 << 16)
    yield state.at_us // _TENTH
    yield from (_code(look) for look in state.cells)
    yield 0 if state.sign is None else 1 + int(state.sign)
    yield from state.mover or (_NOWHERE, _NOWHERE)
    yield state.taken_down
    yield _code(state.lead)
    yield _code(state.before)


def _state(numbers: list[int]) -> StripState:
    film, tenths, *rest = numbers
    cells, (sign, x, y, taken_down, lead, before) = rest[: len(PLACES)], rest[len(PLACES) :]
    return StripState(
        film=film,
        at_us=tenths * _TENTH,
        cells=tuple(_look(code) for code in cells),
        sign=f"{sign - 1:03d}" if sign else None,
        mover=(x, y) if x != _NOWHERE else None,
        taken_down=taken_down,
        lead=_look(lead),
        before=_look(before),
    )


def _code(look: str | None) -> int:
    if look is None:
        return 0
    colour, shape = look.split()
    return 1 + COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)


def _look(code: int) -> str | None:
    if not 1 <= code <= len(COLOURS) * len(SHAPES):
        return None
    colour, shape = divmod(code - 1, len(SHAPES))
    return f"{COLOURS[colour]} {SHAPES[shape]}"


# ---------------------------------------------------------------- blocks


def with_strip(picture: Picture, state: StripState) -> Picture:
    """The picture [height, width, 3] with the strip below: STRIP_HEIGHT rows more. It must be STRIP_WIDTH wide."""
    bits = "".join(f"{number:0{width}b}" for number, width in zip(_numbers(state), _WIDTHS, strict=True))
    if len(bits) != sum(_WIDTHS):
        raise ValueError("a number of the state is too large for the strip")
    bits += f"{_checksum(bits):0{_CHECK}b}"
    blocks = np.zeros(STRIP_ROWS * STRIP_WIDTH // BLOCK, np.uint8)
    blocks[: len(bits)] = [bit == "1" for bit in bits]
    strip = np.where(blocks.reshape(STRIP_ROWS, -1), _LIGHT, _DARK).astype(np.uint8)
    strip = np.pad(strip.repeat(BLOCK, 0).repeat(BLOCK, 1), ((0, 0), (0, picture.shape[1] - STRIP_WIDTH)))
    return np.concatenate([picture, np.repeat(strip[..., None], 3, axis=2)])


def read_strip(picture: Picture) -> StripState | None:
    """What the strip of a picture [height, width, 3] says; None where there is none that can be read."""
    if picture.shape[0] < STRIP_HEIGHT or picture.shape[1] < STRIP_WIDTH:
        return None
    strip = picture[-STRIP_HEIGHT:, :STRIP_WIDTH].mean(axis=2)
    means = strip.reshape(STRIP_ROWS, BLOCK, -1, BLOCK).mean(axis=(1, 3)).ravel()
    text = "".join("1" if mean > (_DARK + _LIGHT) / 2 else "0" for mean in means)
    bits, check = text[: sum(_WIDTHS)], text[sum(_WIDTHS) : sum(_WIDTHS) + _CHECK]
    if int(check, 2) != _checksum(bits):
        return None
    numbers, at = [], 0
    for width in _WIDTHS:
        numbers.append(int(bits[at : at + width], 2))
        at += width
    return _state(numbers)


def _checksum(bits: str) -> int:
    """Never that of an all dark strip."""
    return (zlib.crc32(bits.encode()) + 1) % (1 << _CHECK)
