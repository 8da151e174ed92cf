"""What is shown by those who keep no memory of this kind: which frames of a haystack they would put before a model."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""[frames, dim], unit length."""
THRESHOLD: Final = 0.3
_LEAST, _MOST, _LIKE = 3, 16, 0.9


def last_frames(length: int, count: int = 4) -> range:
    """The newest ones."""
    return range(max(0, length - count), length)


def uniform_frames(length: int, count: int = 64) -> list[int]:
    """Evenly over all of it, both ends among them."""
    return sorted({round(one) for one in np.linspace(0, length - 1, min(count, length))})


def clips(vectors: Vectors) -> list[range]:
    """InternLM-XComposer2.5-OmniLive's clips: one ends at 16 frames, or from 3 on where a frame is unlike the last."""
    found: list[range] = []
    since = 0
    likeness = (vectors[1:] * vectors[:-1]).sum(axis=1)
    for n in range(1, len(vectors)):
        length = n - since
        if length >= _MOST or (length >= _LEAST and likeness[n - 1] <= _LIKE):
            found.append(range(since, n))
            since = n
    return [*found, range(since, len(vectors))]


def clip_likeness(vectors: Vectors, among: Sequence[range], text: NDArray[np.float32]) -> NDArray[np.float32]:
    """How like a text each clip is, [clips]: the cosine with the mean of its frames."""
    means = np.stack([vectors[one.start : one.stop].mean(axis=0) for one in among])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    likeness: NDArray[np.float32] = means @ text
    return likeness


def first_over(likeness: NDArray[np.float32], threshold: float = THRESHOLD) -> int | None:
    """The earliest clip that is over the threshold, not the likest: what its live demonstration shows."""
    over = np.flatnonzero(likeness > threshold)
    return int(over[0]) if len(over) else None
