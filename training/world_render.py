"""Draws scripts: frames at any size and rate, RGB. The same script and size give the same bytes."""

from collections.abc import Iterator
from functools import lru_cache
from math import cos, pi, sin
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.world_script import SECOND, Scene, Script, SignShown, Thing

Picture = NDArray[np.uint8]
"""RGB, [height, width, 3]."""
Box = tuple[float, float, float, float]
Plane = NDArray[np.float64]

PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "red": (222, 36, 40),
    "yellow": (238, 216, 40),
    "green": (34, 160, 60),
    "cyan": (52, 204, 214),
    "blue": (40, 72, 216),
    "pink": (232, 84, 190),
    "white": (238, 238, 238),
    "black": (26, 26, 26),
}
_ROOM_COLOURS: Final = {
    "plain": ((142, 138, 128), (142, 138, 128)),
    "stripes": ((112, 124, 138), (134, 144, 154)),
    "planks": ((138, 116, 96), (122, 102, 86)),
    "tiles": ((158, 154, 148), (134, 132, 130)),
    "slope": ((96, 112, 104), (152, 162, 150)),
    "mist": ((118, 104, 118), (152, 138, 150)),
}
_EDGE: Final = 0.06
"""Width of a thing's outline as a share of its diameter."""
_FINE: Final = 4
"""Shapes are drawn this many times larger and averaged down, for smooth edges."""
_NOISE_PEAK: Final = 12
"""Noise never goes beyond this, so that it can be added without clipping: no colour lies closer to black or white."""
_DRIFT: Final = 0.03
"""Share by which the light of a room comes and goes."""
_DRIFT_S: Final = 11.0
_NO_PLACE_LEFT: Final = 255 - _NOISE_PEAK

_DIGITS: Final = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
}
"""Seven rows of five dots: no font is needed, and every machine draws the same."""


def _star() -> list[tuple[float, float]]:
    """Ten corners, outer and inner in turn, stretched to fill the square of 1 x 1."""
    turns = [(0.5 if n % 2 == 0 else 0.21, pi * n / 5) for n in range(10)]
    round_ones = [(radius * sin(turn), -radius * cos(turn)) for radius, turn in turns]
    width, low, high = 2 * 0.5 * sin(2 * pi / 5), -0.5, -0.5 * cos(4 * pi / 5)
    return [(x / width + 0.5, (y - low) / (high - low)) for x, y in round_ones]


_TRIANGLE: Final = [(0.5, 0.0), (1.0, 1.0), (0.0, 1.0)]
_STAR: Final = _star()


def frame_times(duration_us: int, fps: float) -> Iterator[int]:
    """When the frames of a video are shown, in microseconds from its beginning."""
    number = 0
    while (at_us := round(number * SECOND / fps)) < duration_us:
        yield at_us
        number += 1


def frames(script: Script, width: int, height: int, fps: float) -> Iterator[Picture]:
    """All frames, in order."""
    for at_us in frame_times(script.duration_us, fps):
        yield frame(script, at_us, width, height)


def frame(script: Script, at_us: int, width: int, height: int) -> Picture:
    """What the camera sees at a time."""
    scene = script.scene(at_us)
    picture = _room(scene.cut.room, width, height, script.seed + scene.start_us).copy()
    sign = scene.sign(at_us)
    if sign is not None:
        _paste(picture, _sign(sign.text, *_cell(width, height)), *_sign_middle(sign, width, height))
    for visit in scene.present(at_us):
        sprite = _sprite(visit.thing, min(_cell(width, height)))
        reach = sprite[0].shape[0] / 2
        x, y = visit.leg(at_us).position(at_us, reach / width, reach / height)
        _paste(picture, sprite, x * width, y * height)
    lit = _lighting(scene, at_us)[picture]
    return _with_noise(lit, script, at_us) if script.noise > 0 else lit


# ---------------------------------------------------------------- light and noise


def _lighting(scene: Scene, at_us: int) -> Picture:
    """What becomes of each brightness: a table of 256."""
    drift = 1 + _DRIFT * (sin(2 * pi * (at_us - scene.start_us) / SECOND / _DRIFT_S) - 1) / 2
    return _light_table(round(scene.cut.light * drift * 512))


@lru_cache(maxsize=1024)
def _light_table(gain: int) -> Picture:
    levels = np.arange(256) * gain / 512
    return np.clip(np.round(levels), _NOISE_PEAK, _NO_PLACE_LEFT).astype(np.uint8)


def _with_noise(picture: Picture, script: Script, at_us: int) -> Picture:
    """Each frame has a window of its own in a large field of noise."""
    height, width = picture.shape[:2]
    field = _noise_field(script.seed, script.noise, height, width)
    dice = np.random.default_rng([script.seed, 3, at_us])
    top, left = dice.integers(field.shape[0] - height + 1), dice.integers(field.shape[1] - width + 1)
    # Brightness keeps a distance from 0 and 255, so that adding bytes cannot wrap round.
    noisy: Picture = picture + field[top : top + height, left : left + width]
    return noisy


@lru_cache(maxsize=2)
def _noise_field(seed: int, sigma: float, height: int, width: int) -> Picture:
    drawn = np.random.default_rng([seed, 4]).normal(0, sigma, (height + 61, width + 67, 3))
    return np.clip(np.round(drawn), -_NOISE_PEAK, _NOISE_PEAK).astype(np.int8).view(np.uint8)


# ---------------------------------------------------------------- things and signs


def _cell(width: int, height: int) -> tuple[float, float]:
    return width / 3, height / 3


def _paste(picture: Picture, sprite: tuple[Picture, Picture], x: float, y: float) -> None:
    """Lay a sprite (its colours times its cover, and 255 minus its cover) over the picture, its middle at x, y."""
    colours, clear = sprite
    size_y, size_x = colours.shape[:2]
    height, width = picture.shape[:2]
    left, top = round(x - size_x / 2), round(y - size_y / 2)
    from_x, from_y = max(0, -left), max(0, -top)
    to_x, to_y = min(size_x, width - left), min(size_y, height - top)
    if from_x >= to_x or from_y >= to_y:
        return
    under = picture[top + from_y : top + to_y, left + from_x : left + to_x]
    shining = under.astype(np.uint16) * clear[from_y:to_y, from_x:to_x] // 255
    under[:] = shining.astype(np.uint8) + colours[from_y:to_y, from_x:to_x]


def _sprite(thing: Thing, cell: float) -> tuple[Picture, Picture]:
    return _shape(thing.shape, thing.colour, max(4, round(thing.size * cell)))


@lru_cache(maxsize=512)
def _shape(shape: str, colour: str, diameter: int) -> tuple[Picture, Picture]:
    """A shape that fills its square, with a thin outline that sets it off from every background."""
    outline = (26, 26, 26) if colour != "black" else (226, 226, 226)
    size = diameter * _FINE
    fine = Image.new("RGBA", (size, size), (*outline, 0))
    draw = ImageDraw.Draw(fine)
    edge = size * max(_EDGE, 1 / diameter)
    _draw(draw, shape, (0, 0, size - 1, size - 1), (*outline, 255))
    _draw(draw, shape, _inner(shape, size, edge), (*PALETTE[colour], 255))
    if shape == "ring":
        _draw(draw, "circle", _box(size, size * 0.25), (*outline, 255))
        _draw(draw, "circle", _box(size, size * 0.25 + edge), (*outline, 0))
    return _finished(fine)


def _box(size: float, inset: float) -> Box:
    return inset, inset, size - 1 - inset, size - 1 - inset


def _inner(shape: str, size: float, edge: float) -> Box:
    """The box of the same shape within the outline: pointed ones need more room at their points."""
    if shape == "triangle":
        return edge * 1.6, edge * 2.2, size - 1 - edge * 1.6, size - 1 - edge
    return _box(size, edge * 2 if shape == "star" else edge)


def _draw(draw: ImageDraw.ImageDraw, shape: str, box: Box, fill: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    if shape in {"circle", "ring"}:
        draw.ellipse(box, fill=fill)
    elif shape == "square":
        draw.rectangle(box, fill=fill)
    elif shape == "cross":
        # The arm's sides move in with the box, by as much as its ends do.
        arm = (draw.im.size[0] - 1) * 0.31 + left
        draw.rectangle((arm, top, left + right - arm, bottom), fill=fill)
        draw.rectangle((left, arm, right, top + bottom - arm), fill=fill)
    else:
        corners = _TRIANGLE if shape == "triangle" else _STAR
        draw.polygon([(left + x * (right - left), top + y * (bottom - top)) for x, y in corners], fill=fill)


def _sign_middle(sign: SignShown, width: int, height: int) -> tuple[float, float]:
    return (sign.place % 3 + 0.5) / 3 * width, (sign.place // 3 + 0.5) / 3 * height


@lru_cache(maxsize=64)
def _sign(text: str, cell_x: float, cell_y: float) -> tuple[Picture, Picture]:
    """A light board with dark characters, as large as its place allows."""
    rows = [" ".join(_DIGITS[character].split()[row] for character in text) for row in range(7)]
    dots = np.array([[dot == "1" for dot in f" {row} ".replace(" ", "0")] for row in rows])
    board = np.pad(dots, 1)[:, 1:-1]
    step = min(cell_x * 0.98 / board.shape[1], cell_y * 0.98 / board.shape[0])
    size = (max(1, round(board.shape[1] * step)), max(1, round(board.shape[0] * step)))
    ink = Image.fromarray(np.where(board, 26, 238).astype(np.uint8)).resize(
        (board.shape[1] * 16, board.shape[0] * 16), Image.Resampling.NEAREST
    )
    fine = ink.resize((size[0] * _FINE, size[1] * _FINE), Image.Resampling.BOX).convert("RGBA")
    ImageDraw.Draw(fine).rectangle((0, 0, fine.width - 1, fine.height - 1), outline=(26, 26, 26, 255), width=_FINE)
    return _finished(fine)


def _finished(fine: Image.Image) -> tuple[Picture, Picture]:
    """Averaged down: colours times cover, and 255 minus cover, each [height, width, 3] or [height, width, 1]."""
    small = np.asarray(fine.reduce(_FINE), np.uint16)
    cover = small[..., 3:]
    return (small[..., :3] * cover // 255).astype(np.uint8), (255 - cover).astype(np.uint8)


# ---------------------------------------------------------------- rooms


@lru_cache(maxsize=16)
def _room(room: str, width: int, height: int, seed: int) -> Picture:
    """An empty room: two dull tones in the room's own pattern, which no thing's colour comes near."""
    tone, other = (np.array(colour, np.float64) for colour in _ROOM_COLOURS[room])
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    mixed = _pattern(room, x, y, np.random.default_rng([seed, 5]))[..., None]
    return np.round(tone + (other - tone) * mixed).astype(np.uint8)


def _pattern(room: str, x: Plane, y: Plane, dice: np.random.Generator) -> Plane:
    """How much of the second tone there is, 0..1, [height, width]."""
    if room == "plain":
        return np.zeros_like(x)
    if room == "stripes":
        return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (x * 0.8 + y * 0.5) * 9))
    if room == "planks":
        return (np.abs(y * 11 % 1 - 0.5) > 0.42).astype(np.float64)
    if room == "tiles":
        return np.asarray((np.floor(x * 9) + np.floor(y * 9)) % 2)
    if room == "slope":
        return np.clip(y * 1.2, 0, 1)
    waves = [np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in dice.uniform((-2, -2, 0), (2, 2, 6), (4, 3))]
    return np.asarray(0.5 + sum(waves) / 8)
