"""Search by likeness over one stream's keyframes: FAISS in RAM, made from the store's rows when it is needed."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from memory.events import Vector
from memory.store import VectorRow

# One query at a time is four times faster on one thread than on two.
faiss.omp_set_num_threads(1)

_search_parameters: Any = faiss.SearchParameters


@dataclass(frozen=True)
class Hit:
    """A keyframe and its likeness (cosine) to what was searched for."""

    event: str
    n: int
    media_us: int
    score: float


class VectorIndex:
    """Flat inner product, exact. Rows are numbered in order of arrival."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        self._rows: dict[int, tuple[str, int, int]] = {}
        self._by_frame: dict[tuple[str, int], int] = {}
        self._next = 0
        self._sum = np.zeros(dim, np.float64)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: list[VectorRow]) -> None:
        """Add keyframes; those of another length (another encoder's) and those that are there already are left out."""
        fresh = [row for row in rows if row.vector.size == self._dim and (row.event, row.n) not in self._by_frame]
        if not fresh:
            return
        matrix = np.stack([row.vector for row in fresh]).astype(np.float32)
        ids = np.arange(self._next, self._next + len(fresh), dtype=np.int64)
        self._next += len(fresh)
        self._index.add_with_ids(matrix, ids)
        self._sum += matrix.sum(axis=0)
        for number, row in zip(ids.tolist(), fresh, strict=True):
            self._rows[number] = (row.event, row.n, row.media_us)
            self._by_frame[row.event, row.n] = number

    def remove(self, events: set[str]) -> None:
        """Take out all keyframes of these events."""
        numbers = [number for number, (event, _, _) in self._rows.items() if event in events]
        self._drop(numbers)

    def keep_only(self, event: str, frames: set[int]) -> None:
        """An event's keyframes were chosen anew: take out those that are not among them."""
        self._drop([no for (name, n), no in self._by_frame.items() if name == event and n not in frames])

    def _drop(self, numbers: list[int]) -> None:
        if not numbers:
            return
        for number in numbers:
            self._sum -= self._index.reconstruct(number)
        self._index.remove_ids(faiss.IDSelectorBatch(np.array(numbers, dtype=np.int64)))
        for number in numbers:
            event, n, _ = self._rows.pop(number)
            del self._by_frame[event, n]

    def search(self, query: Vector, since_us: int, until_us: int, count: int, *, centred: bool = False) -> list[Hit]:
        """The keyframes of [since_us, until_us) that are most like the query, best first.

        centred: compare what sets pictures apart from the stream's mean picture. Frames of one camera share most of
        what an encoder sees; the shift does not change which rows there are, only the query's side of the product.
        """
        if not self._rows:
            return []
        inside = [number for number, (_, _, at) in self._rows.items() if since_us <= at < until_us]
        if not inside:
            return []
        if centred:
            return self._search_centred(query, inside, count)
        parameters: Any = None
        if len(inside) < len(self._rows):
            parameters = _search_parameters(sel=faiss.IDSelectorBatch(np.array(inside, dtype=np.int64)))
        scores, numbers = self._index.search(query.reshape(1, -1), min(count, len(inside)), params=parameters)
        return [
            self._hit(no, score) for no, score in zip(numbers[0].tolist(), scores[0].tolist(), strict=True) if no >= 0
        ]

    def _search_centred(self, query: Vector, inside: list[int], count: int) -> list[Hit]:
        mean = (self._sum / len(self._rows)).astype(np.float32)
        rows = np.stack([self._index.reconstruct(number) for number in inside])
        rows = rows - mean
        rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9
        aim = query - mean
        scores = rows @ (aim / (float(np.linalg.norm(aim)) + 1e-9))
        best = np.argsort(-scores)[:count]
        return [self._hit(inside[place], float(scores[place])) for place in best.tolist()]

    def _hit(self, number: int, score: float) -> Hit:
        return Hit(*self._rows[number], score)
