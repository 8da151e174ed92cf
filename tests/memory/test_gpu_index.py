"""The copy on the GPU, played by an index in RAM: it answers as the other does, or leaves it to it."""

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import pytest

from memory import gpu_index
from memory.gpu_index import GpuSearch, gpu_resources
from memory.index import VectorIndex
from memory.keyframes import NUMBER_BITS

DIM = 16


class Resources:
    scratch = 0

    def setTempMemory(self, size: int) -> None:
        self.scratch = size


class Device(faiss.IndexFlatIP):
    """FAISS's class on the GPU. full: from how many vectors on it takes no more."""

    full = 1 << 40
    searched = 0

    def __init__(self, resources: Resources, dim: int, config: Any) -> None:
        assert config.useFloat16
        assert 0 < resources.scratch < 2**28
        super().__init__(dim)

    def add(self, vectors: Any) -> None:
        if self.ntotal + len(vectors) > Device.full:
            raise RuntimeError("out of memory on the device")
        super().add(vectors)

    def search(self, query: Any, count: int) -> Any:
        Device.searched += 1
        return super().search(query, count)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Device]]:
    config = type("Config", (), {"useFloat16": False})
    parts = (("StandardGpuResources", Resources), ("GpuIndexFlatConfig", config), ("GpuIndexFlatIP", Device))
    for name, value in parts:
        monkeypatch.setattr(faiss, name, value, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(Device, "full", 1 << 40)
    monkeypatch.setattr(Device, "searched", 0)
    gpu_resources.cache_clear()
    yield Device
    gpu_resources.cache_clear()


def index_of(count: int, above: int = 100, piece: int = 1000) -> VectorIndex:
    """Two keyframes an event."""
    index = VectorIndex(DIM, 1)
    index._gpu = GpuSearch(DIM, index._index, above, piece)
    put(index, 0, count)
    return index


def put(index: VectorIndex, first: int, count: int) -> None:
    drawn = np.random.default_rng(first).standard_normal((count, DIM), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    places = np.arange(first, first + count)
    index._add((places // 2 << NUMBER_BITS) | places % 2, drawn.astype(np.float16))


def same(index: VectorIndex, seed: int, count: int = 10, low: int = 0, high: int = 1 << 40) -> bool:
    """Whether what is found is what the index in RAM alone finds; all on the CPU, so exactly."""
    query = np.random.default_rng(10_000 + seed).standard_normal(DIM, np.float32)
    found = index.search(query, count, low, high)
    gpu, index._gpu = index._gpu, GpuSearch(DIM, index._index, 1 << 40)
    wanted = index.search(query, count, low, high)
    index._gpu = gpu
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-3)
    return [(hit.seq, hit.n) for hit in found] == [(hit.seq, hit.n) for hit in wanted]


def test_a_large_index_is_searched_on_the_gpu_and_finds_the_same(gpu: type[Device]) -> None:
    index = index_of(400)
    assert all(same(index, seed) for seed in range(20))
    assert gpu.searched == 20
    put(index, 400, 50)
    assert all(same(index, seed) for seed in range(20))
    assert gpu.searched == 40


def test_a_small_one_stays_in_ram(gpu: type[Device]) -> None:
    index = index_of(99)
    assert same(index, 1)
    assert gpu.searched == 0
    put(index, 99, 1)
    assert same(index, 1)
    assert gpu.searched == 1


def test_it_is_copied_piece_by_piece(gpu: type[Device]) -> None:
    index = index_of(400, piece=150)
    for searched in (0, 0, 1):
        assert same(index, 3)
        assert gpu.searched == searched


def test_what_is_taken_out_is_not_found(gpu: type[Device]) -> None:
    index = index_of(400)
    assert same(index, 1)
    query = np.random.default_rng(10_001).standard_normal(DIM, np.float32)
    best = index.search(query, 1)[0].seq
    index.remove([best])
    assert index._gpu._copy is None
    assert best not in {hit.seq for hit in index.search(query, 300)}
    assert all(same(index, seed) for seed in range(20))
    index.forget_before(60)
    assert min(hit.seq for hit in index.search(query, 20)) >= 60
    assert all(same(index, seed, 10, 60) for seed in range(20))


def test_a_range_that_few_of_the_best_lie_in_is_searched_in_ram(gpu: type[Device]) -> None:
    index = index_of(400)
    assert all(same(index, seed, 10, 20, 30) for seed in range(20))
    assert all(same(index, seed, 10, 20, 190) for seed in range(20))
    assert len(index.search(np.ones(DIM, np.float32), 999)) == 400


def test_a_device_that_is_full_is_let_be(gpu: type[Device], caplog: pytest.LogCaptureFixture) -> None:
    gpu.full = 300
    index = index_of(400, piece=150)
    assert all(same(index, seed) for seed in range(9))
    assert gpu.searched == 0
    assert index._gpu._copy is None
    assert len(caplog.records) == 1


def test_without_one_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_resources.cache_clear()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    monkeypatch.setattr(gpu_index.faiss, "StandardGpuResources", None, raising=False)
    assert gpu_resources() is None
    assert same(index_of(400), 1)
    gpu_resources.cache_clear()
