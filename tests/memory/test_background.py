"""What tells a vector from what its stream is like as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memory.background import Background
from memory.index import VectorIndex, centred
from memory.rows import Keyframe


def drawn(count: int, dim: int, seed: int) -> NDArray[np.float16]:
    """Unit vectors that differ much in some directions and little in others."""
    dice = np.random.default_rng(seed)
    found = dice.standard_normal((count, dim)) * np.geomspace(1.0, 0.02, dim) + 0.3
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def ids(first: int, count: int) -> NDArray[np.int64]:
    return np.arange(first, first + count, dtype=np.int64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([16, 200]), st.integers(0, 1 << 20))
def test_what_was_taken_out_leaves_no_trace(kept: int, gone: int, dim: int, seed: int) -> None:
    one, other = Background(dim), Background(dim)
    vectors = drawn(kept + gone, dim, seed)
    one.add(ids(0, kept + gone), vectors)
    one.remove(ids(kept, gone), vectors[kept:].astype(np.float32))
    other.add(ids(0, kept), vectors[:kept])
    query = drawn(1, dim, seed + 1)[0].astype(np.float32)
    assert np.allclose(one.mean(8.0), other.mean(8.0), atol=1e-5)
    assert np.allclose(one.towards(query), other.towards(query), atol=1e-3)


@pytest.mark.parametrize("count", [0, 1])
def test_who_knows_nothing_looks_along_the_query(count: int) -> None:
    background = Background(32)
    background.add(ids(0, count), drawn(count, 32, 1))
    query = drawn(1, 32, 2)[0].astype(np.float32)
    assert np.allclose(background.towards(query), query / np.linalg.norm(query), atol=1e-5)


def test_what_shares_with_a_text_what_many_have_stands_out_less() -> None:
    dim = 48
    common, rare = np.eye(dim)[0], np.eye(dim)[1]
    dice = np.random.default_rng(5)
    # Many are like the query by what is common; one is by what nothing else has.
    noise = 0.1 * dice.standard_normal((4000, dim)) * (1 - rare)
    crowd = 0.9 * dice.uniform(-1, 1, (4000, 1)) * common + noise
    target = 0.5 * rare
    vectors = np.concatenate([crowd, target[None, :]]).astype(np.float32)
    background = Background(dim)
    background.add(ids(0, len(vectors)), vectors.astype(np.float16))
    query = ((2 * common + rare) / np.sqrt(5)).astype(np.float32)
    apart = centred(vectors, background.mean(0.0))
    assert int(np.argmax(apart @ query)) != len(crowd)
    assert int(np.argmax(apart @ background.towards(query))) == len(crowd)


def test_it_learns_on_as_vectors_come() -> None:
    background = Background(16)
    query = drawn(1, 16, 9)[0].astype(np.float32)
    seen = [background.towards(query)]
    for n in range(3):
        background.add(ids(400 * n, 400), drawn(400, 16, n))
        seen.append(background.towards(query))
    assert not np.allclose(seen[0], seen[1], atol=0.05)
    assert np.allclose(seen[2], seen[3], atol=0.05)


def test_an_index_counts_in_and_out() -> None:
    index, other = VectorIndex(48, 0), VectorIndex(48, 0)
    vectors = drawn(600, 48, 3)
    for seq, vector in enumerate(vectors):
        index.add(seq, [Keyframe(0, seq, seq, b"", vector.tobytes(), seq)])
        if seq % 3:
            other.add(seq, [Keyframe(0, seq, seq, b"", vector.tobytes(), seq)])
    index.remove(range(0, 600, 3))
    query = drawn(1, 48, 4)[0].astype(np.float32)
    assert np.allclose(index.background.towards(query), other.background.towards(query), atol=1e-3)
