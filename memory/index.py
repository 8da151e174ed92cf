"""Vectors of keyframes, searched by likeness: blocks in RAM, rebuilt from a store's rows whenever the index is new."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.background import Background
from memory.blocks import Block, Ids, Joined
from memory.gpu_index import GpuSearch
from memory.keyframes import NUMBER_BITS
from memory.reading import Reader
from memory.rows import Keyframe, Vector

_PRIOR: Final = 8.0
"""The mean of few vectors says little about what all have in common: it counts like this many more at zero."""
_CLOSELY: Final = 8
"""For each vector that is wanted, so many are looked at closely."""
_LEAST: Final = 48
"""So many at least in each block."""
_MOST_ROUGH: Final = 512
"""Who wants more than this wants a list, and all of it in the right order."""


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
        self._blocks: list[Block] = []
        self._index = Joined(self._blocks)
        self._gpu = GpuSearch(dim, self._index)
        self.background = Background(dim)
        self._floor = 0
        self._cursor: tuple[int, int] | None = (-1, -1)

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

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
            self._add(ids, np.stack([np.frombuffer(frame.vector, dtype=np.float16) for frame in kept]))

    def _add(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        self.background.add(ids, vectors)
        while len(ids):
            if not self._blocks or not self._blocks[-1].room:
                self._blocks.append(Block(self._dim, self._blocks[-1].mean if self._blocks else None))
            room = self._blocks[-1].room
            self._blocks[-1].add(ids[:room], vectors[:room])
            ids, vectors = ids[room:], vectors[room:]

    def remove(self, seqs: Iterable[int]) -> None:
        """Take events out."""
        wanted = np.array(list(seqs), dtype=np.int64)
        self._remove([np.isin(block.ids >> NUMBER_BITS, wanted) for block in self._blocks])

    def replace(self, seq: int, gone: int, frames: Iterable[Keyframe]) -> None:
        """Event `seq` took in event `gone`. What is still to be loaded of it is left to `load`."""
        self.remove([seq, gone])
        loaded = self._cursor
        self.add(seq, [one for one in frames if loaded is None or (seq, one.n) <= loaded])

    def remove_frames(self, frames: Iterable[tuple[int, int]]) -> None:
        """Take out frames (seq, n) of events that stay."""
        wanted = np.array([(seq << NUMBER_BITS) | n for seq, n in frames], dtype=np.int64)
        self._remove([np.isin(block.ids, wanted) for block in self._blocks])

    def _remove(self, gone: Iterable[NDArray[np.bool_]]) -> None:
        for block, rows in zip(self._blocks, gone, strict=True):
            if rows.any():
                ids = block.ids[rows]
                self.background.remove(ids, block.remove(rows))
                self._gpu.drop()
        self._blocks[:] = [block for block in self._blocks if len(block)]

    def forget_before(self, seq: int) -> None:
        """Events below this number are gone: hidden at once, taken out when they are many."""
        self._floor = max(self._floor, seq)
        hidden = [block.ids < self._floor << NUMBER_BITS for block in self._blocks]
        if sum(int(rows.sum()) for rows in hidden) > len(self) // 16 + 64:
            self._remove(hidden)

    @property
    def mean(self) -> Vector:
        """What all vectors have in common: it says nothing about any of them."""
        return self.background.mean(_PRIOR)

    def search(self, query: Vector, count: int, low: int = 0, high: int = 1 << 40) -> list[Hit]:
        """The likest keyframes of events [low, high), best first: inner products with `query`."""
        return self.find(query, count, low, high)[0]

    def find(self, query: Vector, count: int, low: int = 0, high: int = 1 << 40) -> tuple[list[Hit], Vector]:
        """The same with their vectors, [n, dim]."""
        low = max(low, self._floor)
        if len(self) == 0 or high <= low or len(query) != self._dim:
            return [], np.empty((0, self._dim), dtype=np.float32)
        copied = self._find_on_gpu(query, count, low, high)
        if copied is not None:
            return copied
        asked = [(block, block.within(low << NUMBER_BITS, high << NUMBER_BITS)) for block in self._blocks]
        asked = [(block, rows) for block, rows in asked if len(rows)]
        if not asked:
            return [], np.empty((0, self._dim), dtype=np.float32)
        rough = 0 if count > _MOST_ROUGH else max(_LEAST, _CLOSELY * count // len(asked))
        found = [block.likest(query, count, rows, rough) for block, rows in asked]
        scores = np.concatenate([block_scores for _, block_scores in found])
        best = np.argsort(-scores, kind="stable")[:count]
        block_of = np.repeat(np.arange(len(found)), [len(rows) for rows, _ in found])[best]
        rows = np.concatenate([rows for rows, _ in found])[best]
        ids = np.empty(len(best), dtype=np.int64)
        vectors = np.empty((len(best), self._dim), dtype=np.float32)
        for n in np.unique(block_of):
            block, here = asked[n][0], block_of == n
            ids[here] = block.ids[rows[here]]
            vectors[here] = block.vectors(rows[here])
        return [_hit(int(one), float(score)) for one, score in zip(ids, scores[best], strict=True)], vectors

    def _find_on_gpu(self, query: Vector, count: int, low: int, high: int) -> tuple[list[Hit], Vector] | None:
        """The same from the copy on the GPU, which knows no ranges: None where too few of its best lie in this one."""
        found = self._gpu.search(query, _MORE * count)
        if found is None:
            return None
        hits = _hits(*found, low, high)[:count]
        if len(hits) < count:
            return None
        place = {(hit.seq << NUMBER_BITS) | hit.n: n for n, hit in enumerate(hits)}
        wanted = np.array(list(place), dtype=np.int64)
        vectors = np.empty((count, self._dim), dtype=np.float32)
        for block in self._blocks:
            rows = np.flatnonzero(np.isin(block.ids, wanted))
            if len(rows):
                vectors[[place[int(one)] for one in block.ids[rows]]] = block.vectors(rows)
        return hits, vectors


def _hit(one: int, score: float) -> Hit:
    return Hit(one >> NUMBER_BITS, one & ((1 << NUMBER_BITS) - 1), score)


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
