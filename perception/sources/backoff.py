"""How long to wait before a camera is tried again: what became of an attempt in, seconds out."""

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 1.0
MOST_S: Final = 60.0
_LEAST: Final = 0.5
"""A pause is this share of the backoff at least, drawn: cameras that died together are not tried together."""
_APART_S: Final = 1.0
"""Between the beginnings of two attempts, at least."""


class Backoff:
    """Of one camera. The longer it gives no picture, the longer it is left alone."""

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        """draw: a number between two."""
        self._draw = draw
        self._backoff_s = FIRST_S

    def pause_s(self, lasted_s: float, *, gave_pictures: bool) -> float:
        """How long to wait after an attempt that lasted so long, until it ended."""
        self._backoff_s = FIRST_S if gave_pictures else min(MOST_S, self._backoff_s * 2)
        return max(_APART_S - lasted_s, self._backoff_s * self._draw(_LEAST, 1.0))
