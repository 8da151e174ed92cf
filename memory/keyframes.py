"""Which frames stand for an event: all that were encoded in, the few that tell most apart kept."""

from collections.abc import Collection

import numpy as np

from memory.rows import Keyframe, from_half


class Keyframes:
    """At most `most` frames. The first stays; of the others the one goes that its neighbours say best.

    A frame that was shown to somebody (`pin`) stays too: its address must go on giving the same picture.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: list[Keyframe] = []
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

    def offer(self, media_us: int, picture: int, jpeg: bytes, vector: bytes) -> None:
        """Consider a frame that is newer than all before."""
        free = next(n for n in range(self._most + 1) if all(frame.n != n for frame in self._frames))
        self._frames.append(Keyframe(free, media_us, picture, jpeg, vector))
        if len(self._frames) <= self._most:
            return
        dropped = self._least_telling()
        gone = self._frames.pop(dropped)
        if dropped != len(self._frames):
            # The newest takes over the number that became free, so that numbers stay below `most`.
            self._frames[-1] = Keyframe(gone.n, media_us, picture, jpeg, vector)

    def _least_telling(self) -> int:
        """Index of the unpinned frame that is nearest to another one; the newer of two that are as near."""
        vectors = np.stack([from_half(frame.vector) for frame in self._frames])
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        nearest = likeness.max(axis=1)
        free = [i for i, frame in enumerate(self._frames) if i > 0 and frame.n not in self._pinned]
        # The newest frame has just come and is free always.
        return max(free, key=lambda i: (round(float(nearest[i]), 6), i))
