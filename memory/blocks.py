"""Some thousand vectors, searched as one: exactly, or by the signs of what tells each of them from their mean."""

from collections.abc import Iterator
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from memory.rows import Vector

faiss.omp_set_num_threads(1)  # One query is four times slower when two threads share it.

SIZE: Final = 8192
_PIECE: Final = 256
_WORTH: Final = 8
"""A vector that is picked out costs as much as so many that are compared in a row."""

Ids = NDArray[np.int64]
Rows = NDArray[np.int64]


def in_pieces(vectors: NDArray[np.float16]) -> Iterator[NDArray[np.float32]]:
    """As float32, some hundred at a time, each valid until the next: large copies would cost more than the sums."""
    room = np.empty((min(_PIECE, len(vectors)), vectors.shape[1]), dtype=np.float32)
    for first in range(0, len(vectors), _PIECE):
        piece = vectors[first : first + _PIECE]
        np.copyto(room[: len(piece)], piece)
        yield room[: len(piece)]


Signs = NDArray[np.uint8]


class Block:
    """Vectors with their ids, in the order in which they came, and signs to search them by.

    One that grows has its signs by the mean of the vectors before it, if there are any, when it is first searched by
    them; one that is full is sealed, and has them by its own.
    """

    def __init__(self, dim: int, mean: Vector | None = None) -> None:
        """mean: of vectors like those that will come."""
        self.ids: Ids = np.empty(0, dtype=np.int64)
        # Rows are float16: so is the block, which is as exact as they are and half as large.
        self._flat = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._dim = dim
        self._lowest, self._highest = 1 << 62, -1
        self._sealed = False
        self._signs: Signs = np.empty((0, -(-dim // 8)), dtype=np.uint8)
        self._seen: NDArray[np.float16] | None = None
        self.mean = mean
        """What signs are relative to; None: it has none."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def room(self) -> int:
        """How many more it takes."""
        return 0 if self._sealed else SIZE - len(self)

    def add(self, ids: Ids, vectors: NDArray[np.float16]) -> None:
        """Take in at most `room` vectors, one at least."""
        self.ids = np.concatenate([self.ids, ids])
        self._lowest, self._highest = min(self._lowest, int(ids.min())), max(self._highest, int(ids.max()))
        # Its codes are the halves themselves.
        self._flat.add_sa_codes(np.ascontiguousarray(vectors).view(np.uint8))
        self._seen = None
        if len(self) >= SIZE:
            self._seal()

    def _seal(self) -> None:
        total = np.zeros(self._dim, dtype=np.float64)
        for piece in in_pieces(self._halves()):
            total += piece.sum(axis=0, dtype=np.float64)
        self.mean = (total / len(self)).astype(np.float32)
        self._signs, self._sealed = _signs(self._halves(), self.mean), True

    def remove(self, gone: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Take rows out, for good; their vectors."""
        vectors = self._halves().copy()
        self.ids = self.ids[~gone]
        self._flat.reset()
        self._flat.add_sa_codes(np.ascontiguousarray(vectors[~gone]).view(np.uint8))
        self._seen = None
        self._signs = np.ascontiguousarray(self._signs[~gone[: len(self._signs)]])
        return vectors[gone].astype(np.float32)

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """[n, dim] of some rows."""
        return self._halves()[rows].astype(np.float32)

    def _halves(self) -> NDArray[np.float16]:
        """FAISS's own copy of the vectors, seen in place: valid until the next change."""
        if self._seen is None:
            codes: NDArray[np.uint8] = faiss.rev_swig_ptr(self._flat.codes.data(), len(self) * self._dim * 2)
            self._seen = codes.view(np.float16).reshape(len(self), self._dim)
        return self._seen

    def within(self, low: int, high: int) -> Rows:
        """Rows with ids of [low, high)."""
        if low <= self._lowest and high > self._highest:
            return np.arange(len(self))
        return np.flatnonzero((self.ids >= low) & (self.ids < high))

    def likest(self, query: Vector, count: int, rows: Rows, rough: int) -> tuple[Rows, NDArray[np.float32]]:
        """Those of some rows, at least one, in their order, with the largest inner products, and these; in no order.

        rough: so many that the signs speak for are looked at closely where there are signs; 0: all.
        """
        first, end = int(rows[0]), int(rows[-1]) + 1
        if end - first > len(rows):
            selector: faiss.IDSelector = faiss.IDSelectorBatch(rows)
        elif rough and self.mean is not None and len(rows) > _WORTH * rough:
            return self._by_signs(query, self.mean, count, rough, slice(first, end))
        elif len(rows) == len(self):
            return self._exact(query, count)
        else:
            selector = faiss.IDSelectorRange(first, end)
        return self._exact(query, min(count, len(rows)), faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]

    def _exact(
        self, query: Vector, count: int, params: faiss.SearchParameters | None = None
    ) -> tuple[Rows, NDArray[np.float32]]:
        scores, rows = self._flat.search(query[None, :], min(count, len(self)), params=params)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]

    def _by_signs(
        self, query: Vector, mean: Vector, count: int, rough: int, where: slice
    ) -> tuple[Rows, NDArray[np.float32]]:
        if len(self._signs) < len(self):
            # Not as they come: an index that is loaded would make those of every block twice.
            self._signs = np.concatenate([self._signs, _signs(self._halves()[len(self._signs) :], mean)])
        wanted = np.packbits((query > mean)[None, :], axis=1)
        _, places = faiss.knn_hamming(wanted, self._signs[where], rough)
        near: Rows = places[0] + where.start
        scores = self.vectors(near) @ query
        best = np.argpartition(-scores, count)[:count] if count < len(scores) else np.arange(len(scores))
        return near[best], scores[best]


def _signs(vectors: NDArray[np.float16], mean: Vector) -> Signs:
    """[n, dim / 8]: which numbers of each are above the mean's."""
    return np.concatenate([np.packbits(piece > mean, axis=1) for piece in in_pieces(vectors)])


class Joined:
    """All vectors of blocks that come and go, one behind the other; places count from the first."""

    def __init__(self, blocks: list[Block]) -> None:
        """blocks: changed in place."""
        self._blocks = blocks

    @property
    def ntotal(self) -> int:
        """How many there are."""
        return sum(len(block) for block in self._blocks)

    def ids(self) -> Ids:
        """Of all places."""
        return np.concatenate([block.ids for block in self._blocks])

    def vectors(self, first: int, count: int) -> NDArray[np.float32]:
        """[count, dim] from a place on."""
        found, at = [], 0
        for block in self._blocks:
            low, high = max(first - at, 0), min(first + count - at, len(block))
            if low < high:
                found.append(block.vectors(np.arange(low, high)))
            at += len(block)
        return np.concatenate(found)
