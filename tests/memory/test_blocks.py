"""The index in blocks against plain arithmetic: exact where it is small, near enough by signs where it is large."""

import numpy as np
import pytest

from memory import blocks
from memory.blocks import Block
from memory.index import Hit, VectorIndex
from memory.keyframes import NUMBER_BITS
from memory.rows import Keyframe

DIM = 64
COUNT = 1000


def units(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32) + 0.5
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(blocks, "SIZE", 128)
    monkeypatch.setattr(blocks, "_WORTH", 1)
    return units(COUNT, 1)


def filled(vectors: np.ndarray) -> VectorIndex:
    """Event n has the frame n."""
    index = VectorIndex(DIM, 0)
    for n, vector in enumerate(vectors):
        index.add(n, [Keyframe(0, n, n, b"", vector.astype(np.float16).tobytes(), n)])
    return index


def exactly(vectors: np.ndarray, query: np.ndarray, seqs: list[int], count: int) -> list[int]:
    scores = vectors[seqs] @ query
    return [seqs[n] for n in np.argsort(-scores, kind="stable")[:count]]


@pytest.mark.parametrize(("low", "high"), [(0, 100), (120, 140), (3, 950), (999, 1000), (500, 500)])
def test_a_range_is_searched(vectors: np.ndarray, low: int, high: int) -> None:
    index, query = filled(vectors), units(1, 2)[0]
    assert [hit.seq for hit in index.search(query, 600, low, high)] == exactly(
        vectors, query, list(range(low, high)), 600
    )


def test_the_best_few_are_found_by_signs(vectors: np.ndarray) -> None:
    index = filled(vectors)
    agree = [
        len({hit.seq for hit in index.search(query, 8)} & set(exactly(vectors, query, list(range(COUNT)), 8)))
        for query in units(40, 3)
    ]
    assert sum(agree) >= 0.97 * 40 * 8


@pytest.mark.parametrize(("low", "high"), [(896, COUNT), (130, 250), (900, 990), (50, 700)])
def test_signs_find_in_a_range_and_in_a_block_that_grows(vectors: np.ndarray, low: int, high: int) -> None:
    """A block that is not full has its signs by the mean of the one before it."""
    index, seqs = filled(vectors), list(range(low, high))
    agree = [
        len({hit.seq for hit in index.search(query, 8, low, high)} & set(exactly(vectors, query, seqs, 8)))
        for query in units(40, 6)
    ]
    # Of 64 numbers the signs say less than of some hundred.
    assert sum(agree) >= 0.9 * 40 * 8
    gone = seqs[::2]
    index.remove(gone)
    left = sorted(set(seqs) - set(gone))
    for query in units(10, 7):
        found = index.search(query, 8, low, high)
        assert {hit.seq for hit in found} <= set(left)
        assert found[0].seq == exactly(vectors, query, left, 1)[0]


def test_found_vectors_are_those_of_the_hits(vectors: np.ndarray) -> None:
    index, query = filled(vectors), units(1, 4)[0]
    hits, found = index.find(query, 50)
    assert np.array_equal(found, vectors[[hit.seq for hit in hits]])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert np.allclose([hit.score for hit in hits], found @ query, atol=1e-5)


def test_what_is_removed_is_not_found_and_its_bytes_go(vectors: np.ndarray) -> None:
    index = filled(vectors)
    gone = [n for n in range(COUNT) if n % 3 == 0 or 128 <= n < 256]
    index.remove(gone)
    kept = [n for n in range(COUNT) if n not in set(gone)]
    assert len(index) == len(kept)
    for query in (vectors[0], vectors[200], vectors[1]):
        assert {hit.seq for hit in index.search(query, 600, 0, COUNT)} <= set(kept)
    assert index.search(vectors[1], 1) == [Hit(1, 0, pytest.approx(1.0, abs=2e-3))]
    assert np.allclose(index.mean * (len(kept) + 8), vectors[kept].sum(axis=0), atol=1e-2)
    more = filled(vectors[:1])
    assert len(more) == 1


def test_a_full_block_takes_no_more() -> None:
    block = Block(DIM)
    ids = np.arange(blocks.SIZE, dtype=np.int64) << NUMBER_BITS
    block.add(ids, units(blocks.SIZE, 5).astype(np.float16))
    assert block.room == 0
    assert len(block) == blocks.SIZE
