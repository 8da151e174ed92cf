"""Which frames stand for an event: all that were encoded in, the few that tell most apart kept."""

from collections.abc import Callable, Collection
from typing import Final

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
    (`pin`) stays.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: list[Keyframe] = []
        self._next = 0
        self._pinned: set[int] = set()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frames(self) -> tuple[Keyframe, ...]:
        """In time order."""
        return tuple(self._frames)

    def pin(self, numbers: Collection[int]) -> None:
        """Keep these frames for good."""
        self._pinned.update(numbers)

    def drop(self, is_dead: Callable[[int], bool]) -> bool:
        """Let go of pictures that were captured at a dead moment, pinned or not; whether there were any."""
        kept = [frame for frame in self._frames if not is_dead(frame.captured_us)]
        dropped, self._frames = len(kept) < len(self._frames), kept
        return dropped

    def offer(self, media_us: int, picture: int, jpeg: bytes, vector: bytes, captured_us: int) -> None:
        """Consider a frame that is newer than all before."""
        if self._next >> NUMBER_BITS:
            return
        self._frames.append(Keyframe(self._next, media_us, picture, jpeg, vector, captured_us))
        self._next += 1
        self._trim()

    def restore(self, frame: Keyframe) -> None:
        """Take back a frame that was let go of, for good."""
        self._pinned.add(frame.n)
        self._frames = sorted([*self._frames, frame], key=lambda kept: kept.n)
        self._trim()

    def _trim(self) -> None:
        """Let go of the unpinned frame that is nearest to another one; of the newer of two that are as near."""
        free = [i for i, frame in enumerate(self._frames) if i > 0 and frame.n not in self._pinned]
        if len(self._frames) <= self._most or not free:
            return
        vectors = np.stack([from_half(frame.vector) for frame in self._frames])
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        nearest = likeness.max(axis=1)
        nearest[-1] -= _END
        self._frames.pop(max(free, key=lambda i: (round(float(nearest[i]), 6), i)))
