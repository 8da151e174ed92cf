"""FAISS on the GPU finds what it finds in RAM."""

import faiss
import numpy as np
import pytest

from memory.gpu_index import GpuSearch, gpu_resources
from memory.index import VectorIndex
from memory.keyframes import NUMBER_BITS

pytestmark = pytest.mark.gpu

DIM, COUNT = 768, 250_000


@pytest.fixture(scope="module")
def index() -> VectorIndex:
    """More vectors than the copy needs, three keyframes an event."""
    if gpu_resources() is None:
        pytest.skip("FAISS was installed without the GPU: the extra `gpu` brings it")
    index = VectorIndex(DIM, 1)
    dice = np.random.default_rng(0)
    for first in range(0, COUNT, 50_000):
        drawn = dice.standard_normal((50_000, DIM), np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        places = np.arange(first, first + 50_000)
        index._add((places // 3 << NUMBER_BITS) | places % 3, drawn.astype(np.float16))
    return index


def test_the_same_is_found_and_scored_alike(index: VectorIndex) -> None:
    dice = np.random.default_rng(1)
    ram = GpuSearch(DIM, index._index, above=1 << 40)
    for n in range(60):
        query = dice.standard_normal(DIM, np.float32)
        query /= np.linalg.norm(query)
        found = index.search(query, 32)
        gpu, index._gpu = index._gpu, ram
        wanted = index.search(query, 33)
        index._gpu = gpu
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted[:32]], abs=2e-3)
        # Where two scores are nearer than float16 can tell, either may come first, or fall off the end.
        firmly = {(hit.seq, hit.n) for hit in wanted if hit.score > wanted[32].score + 2e-3}
        assert firmly <= {(hit.seq, hit.n) for hit in found}, n
    assert index._gpu._copy is not None
    assert len(index._gpu._copy) == COUNT


def test_this_faiss_knows_the_gpu() -> None:
    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("FAISS was installed without the GPU: the extra `gpu` brings it")
    assert faiss.get_num_gpus() > 0
