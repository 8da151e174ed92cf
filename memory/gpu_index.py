"""A copy of a large stream's vectors on the GPU, where all of them are searched in a fraction of a millisecond.

The index in RAM stays what counts: it takes out, it gives back, and it answers whenever the copy cannot.
"""

import functools
import logging
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from memory.blocks import Joined
from memory.rows import Vector

log = logging.getLogger(__name__)

ABOVE: Final = 200_000
"""From so many vectors on there is a copy: below, one thread of a processor needs less than 10 ms for all of them."""
PIECE: Final = 50_000
"""Vectors that are copied in one go, so that no question waits for all of them."""
MOST: Final = 2048
"""The most hits that a search on the GPU gives."""
_SCRATCH_BYTES: Final = 64 * 2**20


@functools.cache
def gpu_resources() -> Any | None:
    """What searches on the GPU share; None where there is none, or FAISS was installed without it."""
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    resources = faiss.StandardGpuResources()
    # Models live on the same device: FAISS would take 1.5 GiB at once.
    resources.setTempMemory(_SCRATCH_BYTES)
    return resources


class GpuCopy:
    """Vectors in the order of the index in RAM, as float16 like there."""

    def __init__(self, dim: int, resources: Any) -> None:
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        self._index = faiss.GpuIndexFlatIP(resources, dim, config)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """[n, dim], behind those that are there. Raises RuntimeError where the device is full or lost."""
        self._index.add(np.ascontiguousarray(vectors))

    def search(self, query: Vector, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and places of the likest, best first. Raises RuntimeError as above."""
        scores, places = self._index.search(query[None, :], min(count, MOST, len(self)))
        found = places[0] >= 0
        return scores[0][found], places[0][found]


class GpuSearch:
    """Keeps the copy of one index as far as it can, piece by piece, and searches it once it is whole."""

    def __init__(self, dim: int, index: Joined, above: int = ABOVE, piece: int = PIECE) -> None:
        """index: the vectors in RAM, which may change between calls."""
        self._dim, self._index, self._above, self._piece = dim, index, above, piece
        self._copy: GpuCopy | None = None
        self._given_up = False

    def drop(self) -> None:
        """Vectors were taken out: the copy begins anew, and holds nothing of them meanwhile."""
        self._copy = None

    def search(self, query: Vector, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Scores and ids of the likest of all, best first; None where the index in RAM has to be asked."""
        resources = gpu_resources()
        if resources is None or self._given_up or self._index.ntotal < self._above:
            return None
        try:
            if not self._catch_up(resources):
                return None
            assert self._copy is not None
            scores, places = self._copy.search(query, count)
        except RuntimeError as error:
            log.warning(
                "the GPU does not take the vectors of a stream: they are searched in RAM (%s)", type(error).__name__
            )
            self._copy, self._given_up = None, True
            return None
        return scores, self._index.ids()[places]

    def _catch_up(self, resources: Any) -> bool:
        """Copy a piece of what is missing. Returns whether all is there."""
        if self._copy is None:
            self._copy = GpuCopy(self._dim, resources)
        first, total = len(self._copy), int(self._index.ntotal)
        if first < total:
            self._copy.add(self._index.vectors(first, min(self._piece, total - first)))
        return len(self._copy) == total
