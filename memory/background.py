"""What a stream's vectors are like as a whole, and what tells one of them from that.

Among thousands of frames, many are about as like a text as the one that shows what it says: they share with it what
many frames have. An adaptive matched filter (Robey et al. 1992; radar finds a target in clutter so) looks along the
text where frames seldom differ, and less where they differ anyway.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.blocks import Ids, in_pieces
from memory.rows import Vector

_DIM: Final = 77
"""Of vectors of so many numbers each counts for how they vary; of longer ones fewer, by the power of 1.5: sums of
products of all would take longer than everything else that an index takes them in for."""
_FLOOR: Final = 0.03
"""Variance, in shares of the mean one, that each direction has at least."""
_STALE: Final = 20
"""What is known of directions holds until it comes from a 20th more vectors, or any is taken out."""
_HASH: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: neighbouring numbers fall far apart (Knuth's multiplicative hash)."""

Matrix = NDArray[np.float32]
"""2.4 MB for vectors of 768 numbers."""


class Background:
    """Sums over vectors that come and go."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._every = np.uint64(max(1, round((dim / _DIM) ** 1.5)))
        self._count = 0
        self._total = np.zeros(dim, dtype=np.float64)
        self._sampled = 0
        self._sum = np.zeros(dim, dtype=np.float64)
        self._products: Matrix = np.zeros((dim, dim), dtype=np.float32)
        self._known: tuple[int, Matrix] | None = None

    def add(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        """Count them in."""
        for piece in in_pieces(vectors):
            self._total += piece.sum(axis=0, dtype=np.float64)
        self._count += len(ids)
        sampled = vectors[self._is_sampled(ids)]
        for piece in in_pieces(sampled) if len(sampled) else ():
            self._sum += piece.sum(axis=0, dtype=np.float64)
            self._products += piece.T @ piece
        self._sampled += len(sampled)

    def remove(self, ids: Ids, vectors: NDArray[np.float32]) -> None:
        """Count out what was counted in."""
        self._count -= len(ids)
        self._total -= vectors.sum(axis=0, dtype=np.float64)
        sampled = vectors[self._is_sampled(ids)]
        self._sampled -= len(sampled)
        self._sum -= sampled.sum(axis=0, dtype=np.float64)
        self._products -= sampled.T @ sampled
        self._known = None

    def mean(self, prior: float) -> Vector:
        """What all have in common; as if there were `prior` more at zero."""
        return np.asarray(self._total / (self._count + prior), dtype=np.float32)

    def towards(self, apart: Vector) -> Vector:
        """[dim], unit length: along which vectors that show it stand out. apart: the query without the mean of all."""
        known = self._known
        if known is None or abs(self._sampled - known[0]) * _STALE > known[0]:
            known = self._known = (self._sampled, self._inverse())
        direction = known[1] @ apart
        return np.asarray(direction / max(float(np.linalg.norm(direction)), 1e-12), dtype=np.float32)

    def _inverse(self) -> Matrix:
        """Of the covariance. What few vectors say of it is drawn towards all directions being alike."""
        count, alike = self._sampled, np.eye(self._dim, dtype=np.float32)
        if count == 0:
            return alike
        mean = self._sum / count
        covariance = self._products.astype(np.float64) / count - np.outer(mean, mean)
        variance = float(np.trace(covariance)) / self._dim
        if variance < 1e-9:
            return alike
        drawn = (count * covariance / variance + self._dim * alike) / (count + self._dim)
        return np.asarray(np.linalg.inv(drawn + _FLOOR * alike), dtype=np.float32)

    def _is_sampled(self, ids: Ids) -> NDArray[np.bool_]:
        """By number alone, so that what was counted in is known when it goes."""
        spread = (ids.astype(np.uint64) * _HASH) >> np.uint64(32)
        sampled: NDArray[np.bool_] = spread % self._every == 0
        return sampled
