"""What stands in each place of a frame, read off the script: what the vision encoder learns from."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.world import COLOURS, PLACES, SHAPES, Script

EMPTY: Final = 0
SIGN: Final = len(SHAPES) + 1
FOREIGN: Final = len(SHAPES) + 2
"""The picture is not of this world."""
UNSURE: Final = -1
"""Nothing is said of it: a thing is half in it, or there is nothing of the kind."""
KINDS: Final = len(SHAPES) + 3
DIGITS: Final = 3
_NEAR_EDGE: Final = 0.1
"""So close to the next place, in shares of a place, it is open in which of them a thing is."""
_LEAST_VISIBLE: Final = 0.3


@dataclass(frozen=True)
class Labels:
    """Of one frame, place by place. kinds, colours: [9]; digits: [9, 3]; middles: [9, 2], from the place's own middle.

    Numbers below 0 say nothing; middles count in places and say something where a shape is.
    """

    kinds: NDArray[np.int64]
    colours: NDArray[np.int64]
    digits: NDArray[np.int64]
    middles: NDArray[np.float32]


def blank_labels(kind: int = EMPTY) -> Labels:
    """Of a frame in which every place is alike."""
    places = len(PLACES)
    return Labels(
        np.full(places, kind, np.int64),
        np.full(places, UNSURE, np.int64),
        np.full((places, DIGITS), UNSURE, np.int64),
        np.zeros((places, 2), np.float32),
    )


def labels_of(script: Script, at_us: int, width: int, height: int) -> Labels:
    """Of the frame that is seen at a time, at any size of this shape."""
    found = blank_labels()
    scene = script.scene(at_us)
    sign = scene.sign(at_us)
    if sign is not None:
        found.kinds[sign.place] = SIGN
        found.digits[sign.place] = [int(digit) for digit in sign.text]
    for visit in scene.present(at_us):
        reach = visit.thing.size * min(width, height) / 6
        reaches = (reach / width, reach / height)
        place, middle, sure = _where(*visit.leg(at_us).position(at_us, *reaches), *reaches)
        for neighbour in place if not sure else ():
            found.kinds[neighbour] = UNSURE
        if sure:
            found.kinds[place[0]] = SHAPES.index(visit.thing.shape) + 1
            found.colours[place[0]] = COLOURS.index(visit.thing.colour)
            found.middles[place[0]] = middle
    return found


def _where(x: float, y: float, reach_x: float, reach_y: float) -> tuple[list[int], tuple[float, float], bool]:
    """The places that a thing may be in, its middle there, and whether it is certain which of them it is."""
    columns, column = _along(x)
    rows, row = _along(y)
    visible = _inside(x, reach_x) * _inside(y, reach_y)
    sure = len(columns) == len(rows) == 1 and visible > _LEAST_VISIBLE
    return [r * 3 + c for r in rows for c in columns], (x * 3 - column - 0.5, y * 3 - row - 0.5), sure


def _along(share: float) -> tuple[list[int], int]:
    """Columns or rows that a middle may count to, and the one that it lies in; beyond the edge, the outermost."""
    at = min(2.999, max(0.0, share * 3))
    own = int(at)
    near = {int(min(2.999, max(0.0, at + side))) for side in (-_NEAR_EDGE, _NEAR_EDGE)}
    return sorted(near), own


def _inside(middle: float, reach: float) -> float:
    """Share of a thing's breadth that is in the picture."""
    return max(0.0, min(1.0, middle + reach) - max(0.0, middle - reach)) / (2 * reach)
