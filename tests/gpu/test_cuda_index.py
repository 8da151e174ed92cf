"""FAISS on the GPU finds what an exact search of all vectors finds."""

import faiss
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memory.gpu_index import PIECE, gpu_resources
from memory.index import Hit, VectorIndex
from memory.keyframes import NUMBER_BITS

pytestmark = pytest.mark.gpu

DIM, COUNT, WANTED = 768, 250_000, 32
NEAR = 2e-3
"""Between two scores nearer than this float16 cannot tell."""
LEFT = 32 * 2**20
"""Less than a piece needs, in bytes."""


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float16]:
    """More than the copy needs, of unit length."""
    dice = np.random.default_rng(0)
    drawn = dice.standard_normal((COUNT, DIM), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn.astype(np.float16)


@pytest.fixture
def index(vectors: NDArray[np.float16]) -> VectorIndex:
    """Three keyframes an event."""
    if gpu_resources() is None:
        pytest.skip("FAISS was installed without the GPU: the extra `gpu` brings it")
    index = VectorIndex(DIM, 1)
    places = np.arange(COUNT)
    index._add((places // 3 << NUMBER_BITS) | places % 3, vectors)
    return index


def queries(count: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(1).standard_normal((count, DIM), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def copied(index: VectorIndex) -> VectorIndex:
    """A question copies a piece."""
    for query in queries(-(-COUNT // PIECE)):
        index.search(query, WANTED)
    assert index._gpu._copy is not None
    assert len(index._gpu._copy) == len(index)
    return index


def judge(found: list[Hit], scores: NDArray[np.float32]) -> None:
    """scores: of all vectors; those that are out of question lowest."""
    order = np.argsort(-scores)
    assert [hit.score for hit in found] == pytest.approx(scores[order[:WANTED]].tolist(), abs=NEAR)
    # Of those that are as alike as the first that is left out, either may be found.
    firmly = {int(place) for place in order[:WANTED] if scores[place] > scores[order[WANTED]] + NEAR}
    assert firmly <= {3 * hit.seq + hit.n for hit in found}


def test_the_same_is_found_and_scored_alike(index: VectorIndex, vectors: NDArray[np.float16]) -> None:
    exact = vectors.astype(np.float32) @ queries(60).T
    copied(index)
    for query, scores in zip(queries(60), exact.T, strict=True):
        found, kept = index.find(query, WANTED)
        judge(found, scores)
        assert np.array_equal(kept, [vectors[3 * hit.seq + hit.n] for hit in found])
    assert not index._gpu._given_up


def test_what_was_taken_out_is_not_found(index: VectorIndex, vectors: NDArray[np.float16]) -> None:
    copied(index)
    [query] = queries(1)
    gone = {hit.seq for hit in index.search(query, WANTED)}
    index.remove(gone)
    # The copy begins anew: until it is whole the index in RAM answers.
    assert gone.isdisjoint(hit.seq for hit in index.search(query, WANTED))
    scores = vectors.astype(np.float32) @ query
    for seq in gone:
        scores[3 * seq : 3 * seq + 3] = -1
    judge(copied(index).search(query, WANTED), scores)


def test_a_full_device_leaves_the_questions_to_the_ram(index: VectorIndex) -> None:
    [query] = queries(1)
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - LEFT, dtype=torch.uint8, device="cuda")
    found = index.search(query, WANTED)
    del taken
    torch.cuda.empty_cache()
    assert index._gpu._given_up
    assert len(found) == WANTED
    assert index.search(query, WANTED) == found


def test_this_faiss_knows_the_gpu() -> None:
    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("FAISS was installed without the GPU: the extra `gpu` brings it")
    assert faiss.get_num_gpus() > 0
