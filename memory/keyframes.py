"""Which frames stand for an event: all that were encoded in, the few that tell most apart kept."""

from collections.abc import Callable, Collection
from typing import Final

import msgspec
import numpy as np

from memory.rows import Keyframe, from_half

_END: Final = 0.05
"""By how much, in cosine, the newest frame may be more like another one than the one that goes instead."""
NUMBER_BITS: Final = 20
"""More frames than an event of a day has at ten a second."""


class Keyframes:
    """At most `most` frames. The first stays; of the others the one goes that another one says best. How an event ends
    is worth a little more than what was between: the newest goes only where it is nearly the same as one that stays.

    A number is given once: it stands for the same picture wherever it is read. A frame that was shown to somebody
    (`pin`) is kept aside when it goes: its address holds, and which frames stand for the event is the same as if nobody
    had asked.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: list[Keyframe] = []
        self._next = 0
        self._pinned: set[int] = set()
        self._suspect: set[int] = set()
        self._aside: list[Keyframe] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frames(self) -> tuple[Keyframe, ...]:
        """In time order, those that are kept aside among them."""
        return tuple(sorted([*self._frames, *self._aside], key=lambda frame: frame.n))

    def pin(self, numbers: Collection[int]) -> None:
        """Keep these frames, aside at least."""
        self._pinned.update(numbers)

    def drop(self, is_dead: Callable[[int], bool]) -> bool:
        """Let go of pictures that were captured at a dead moment, pinned or not; whether there were any."""
        before = len(self._frames) + len(self._aside)
        self._frames = [frame for frame in self._frames if not is_dead(frame.captured_us)]
        self._aside = [frame for frame in self._aside if not is_dead(frame.captured_us)]
        return len(self._frames) + len(self._aside) < before

    def offer(
        self, media_us: int, picture: int, jpeg: bytes, vector: bytes, captured_us: int, *, suspect: bool = False
    ) -> None:
        """Consider a frame that is newer than all before. suspect: it stands for the event only for want of others."""
        if self._next >> NUMBER_BITS:
            return
        if suspect:
            self._suspect.add(self._next)
        self._frames.append(Keyframe(self._next, media_us, picture, jpeg, vector, captured_us))
        self._next += 1
        self._trim()

    def restore(self, frame: Keyframe) -> None:
        """Take back, aside, a frame that was let go of."""
        self._aside.append(_aside(frame))

    def _trim(self) -> None:
        """Let go of the frame that is nearest to another one; of the newer of two that are as near; of suspect ones
        first, which are like nothing."""
        if len(self._frames) <= max(1, self._most):
            return
        vectors = np.stack([from_half(frame.vector) for frame in self._frames])
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        nearest = likeness.max(axis=1)
        nearest[-1] -= _END
        suspects = [i for i, frame in enumerate(self._frames) if i > 0 and frame.n in self._suspect]
        gone = self._frames.pop(max(suspects or range(1, len(nearest)), key=lambda i: (round(float(nearest[i]), 6), i)))
        if gone.n in self._pinned:
            self._aside.append(_aside(gone))


def _aside(frame: Keyframe) -> Keyframe:
    """As it is kept where it no longer stands for its event: under a number of its own, and nothing to find it by."""
    return frame if frame.is_aside else msgspec.structs.replace(frame, picture=-frame.picture, vector=b"")
