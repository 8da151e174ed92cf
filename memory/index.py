"""Vectors of keyframes, searched by likeness: a FAISS index in RAM, rebuilt from a store's rows whenever it is new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from memory.gpu_index import GpuSearch
from memory.keyframes import NUMBER_BITS
from memory.reading import Reader
from memory.rows import Keyframe, Vector, from_half

faiss.omp_set_num_threads(1)  # One query is four times slower when two threads share it.

_PRIOR: Final = 8.0
"""The mean of few vectors says little about what all have in common: it counts like this many more at zero."""


_MORE: Final = 4
"""How many times as many hits are asked of the GPU, so that enough of them lie in the range."""


@dataclass(frozen=True)
class Hit:
    """Keyframe `n` of event `seq`, and how alike it is."""

    seq: int
    n: int
    score: float


class VectorIndex:
    """The closed events' keyframes of one stream. Until `ready`, `load` has to be called."""

    def __init__(self, dim: int, below: int) -> None:
        """below: events from this number on are handed in by `add`; older ones are loaded."""
        self._dim = dim
        self._below = below
        # Rows are float16: so is the index, which is as exact as they are and half as large.
        flat = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index = faiss.IndexIDMap2(flat)
        self._gpu = GpuSearch(dim, self._index)
        self._total = np.zeros(dim, dtype=np.float64)
        self._floor = 0
        self._cursor: tuple[int, int] | None = (-1, -1)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def ready(self) -> bool:
        """Whether all stored vectors are in it."""
        return self._cursor is None

    def load(self, reader: Reader, limit: int) -> None:
        """Take in up to so many vectors from the rows."""
        if self._cursor is None:
            return
        batch = reader.vectors(self._cursor, self._below, self._dim, limit)
        if len(batch.keys):
            self._add((batch.keys[:, 0] << NUMBER_BITS) | batch.keys[:, 1], batch.vectors)
        self._cursor = batch.last

    def give_up(self) -> None:
        """Be ready with what could be loaded."""
        self._cursor = None

    def add(self, seq: int, frames: Iterable[Keyframe]) -> None:
        """Take in the keyframes of an event that was closed; those of another encoder's length are left out."""
        kept = [frame for frame in frames if len(frame.vector) == 2 * self._dim]
        if kept:
            ids = np.array([(seq << NUMBER_BITS) | frame.n for frame in kept], dtype=np.int64)
            self._add(ids, np.stack([from_half(frame.vector) for frame in kept]))

    def _add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        self._index.add_with_ids(np.ascontiguousarray(vectors), ids)
        self._total += vectors.sum(axis=0, dtype=np.float64)

    def remove(self, seqs: Iterable[int]) -> None:
        """Take events out."""
        ids = faiss.vector_to_array(self._index.id_map)
        self._remove(ids[np.isin(ids >> NUMBER_BITS, np.array(list(seqs), dtype=np.int64))])

    def remove_frames(self, frames: Iterable[tuple[int, int]]) -> None:
        """Take out frames (seq, n) of events that stay."""
        wanted = np.array([(seq << NUMBER_BITS) | n for seq, n in frames], dtype=np.int64)
        ids = faiss.vector_to_array(self._index.id_map)
        self._remove(ids[np.isin(ids, wanted)])

    def _remove(self, doomed: NDArray[np.int64]) -> None:
        if len(doomed):
            self._total -= self._index.reconstruct_batch(doomed).sum(axis=0, dtype=np.float64)
            self._index.remove_ids(faiss.IDSelectorBatch(doomed))
            self._gpu.drop()

    def forget_before(self, seq: int) -> None:
        """Events below this number are gone: hidden at once, taken out when they are many."""
        self._floor = max(self._floor, seq)
        ids = faiss.vector_to_array(self._index.id_map)
        hidden = np.unique(ids[ids < self._floor << NUMBER_BITS] >> NUMBER_BITS)
        if len(hidden) > len(ids) // 16 + 64:
            self.remove(int(one) for one in hidden)

    @property
    def mean(self) -> Vector:
        """What all vectors have in common: it says nothing about any of them."""
        return np.asarray(self._total / (len(self) + _PRIOR), dtype=np.float32)

    def search(self, query: Vector, count: int, low: int = 0, high: int = 1 << 40) -> list[Hit]:
        """The likest keyframes of events [low, high), best first: inner products with `query`."""
        low = max(low, self._floor)
        if len(self) == 0 or high <= low or len(query) != self._dim:
            return []
        found = self._search_gpu(query, count, low, high)
        if found is not None:
            return found
        selector = faiss.IDSelectorRange(low << NUMBER_BITS, high << NUMBER_BITS)
        everything = low <= 0 and high >= 1 << 40
        params = None if everything else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, ids = self._index.search(query[None, :], min(count, len(self)), params=params)
        return _hits(scores[0], ids[0], low, high)

    def _search_gpu(self, query: Vector, count: int, low: int, high: int) -> list[Hit] | None:
        """The same from the copy on the GPU, which knows no ranges: None where too few of its best lie in this one."""
        found = self._gpu.search(query, _MORE * count)
        if found is None:
            return None
        hits = _hits(*found, low, high)
        return hits[:count] if len(hits) >= count else None

    def vectors(self, hits: Sequence[Hit]) -> NDArray[np.float32]:
        """[n, dim] of what `search` found."""
        ids = np.array([(hit.seq << NUMBER_BITS) | hit.n for hit in hits], dtype=np.int64)
        found: NDArray[np.float32] = self._index.reconstruct_batch(ids)
        return found


def _hits(scores: NDArray[np.float32], ids: NDArray[np.int64], low: int, high: int) -> list[Hit]:
    return [
        Hit(int(one) >> NUMBER_BITS, int(one) & ((1 << NUMBER_BITS) - 1), float(score))
        for one, score in zip(ids, scores, strict=True)
        if one >= 0 and low <= int(one) >> NUMBER_BITS < high
    ]


def centred(vectors: NDArray[np.float32], mean: Vector) -> NDArray[np.float32]:
    """[n, dim] without what all have in common, at unit length."""
    apart = vectors - mean
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    result: NDArray[np.float32] = apart / np.maximum(lengths, np.float32(1e-6))
    return result
