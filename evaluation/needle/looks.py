"""Which things name needles, and which are in haystacks: no colour with its shape is both."""

from itertools import product
from typing import Final

from training.world import COLOURS, SHAPES, UNSEEN_PAIRS

Look = tuple[str, str]
"""A colour and a shape."""


def _is_kept_apart(colour: str, shape: str) -> bool:
    return (COLOURS.index(colour) + SHAPES.index(shape)) % 8 in {1, 4, 7}


_KNOWN: Final = [pair for pair in product(COLOURS, SHAPES) if pair not in UNSEEN_PAIRS]
NEEDLE_LOOKS: Final[tuple[Look, ...]] = tuple(pair for pair in _KNOWN if _is_kept_apart(*pair))
HAY_LOOKS: Final[tuple[Look, ...]] = tuple(pair for pair in _KNOWN if not _is_kept_apart(*pair))
