"""Recalled keyframes are encoded once, kept within a bound of bytes, and gone when they are forgotten."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from memory.messages import Evidence
from perception.window import TensorData, VisualTokens
from reasoning.evidence import EvidenceCache, visual_bytes

BYTES = 120
"""Of a frame's tokens, those of a deeper layer included."""


class Vision:
    """Makes tokens of a fixed size, and counts."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, pictures: Sequence[Any]) -> list[VisualTokens]:
        self.encoded += len(pictures)
        tokens, deep = (TensorData("float32", (n, 2), bytes(8 * n)) for n in (10, 5))
        return [VisualTokens(tokens, [deep], None) for _ in pictures]


def evidence(event: str, n: int = 0, stream: str = "default/cam") -> Evidence:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    return Evidence(stream, event, n, 0, 0, 1, 0.5, out.getvalue())


@pytest.fixture
def vision() -> Vision:
    return Vision()


def cache_of(vision: Any, frames: int = 2) -> EvidenceCache:
    """Room for so many frames and a little more."""
    return EvidenceCache(vision, "hash", frames * BYTES + BYTES // 2)


def test_a_keyframe_is_encoded_once(vision: Vision) -> None:
    cache = cache_of(vision)
    first = cache.tokens(evidence("e_1"))
    assert visual_bytes(first) == BYTES
    assert cache.tokens(evidence("e_1")) is first
    assert (vision.encoded, cache.misses, cache.hits, cache.bytes) == (1, 1, 1, BYTES)
    assert cache.holds(evidence("e_1"))
    assert not cache.holds(evidence("e_1", 1))


def test_what_was_not_used_for_longest_goes_first(vision: Vision) -> None:
    cache = cache_of(vision)
    for name in ("e_1", "e_2", "e_1", "e_3"):
        cache.tokens(evidence(name))
    assert [cache.holds(evidence(name)) for name in ("e_1", "e_2", "e_3")] == [True, False, True]
    assert (len(cache), cache.bytes, vision.encoded) == (2, 2 * BYTES, 3)


def test_the_bound_holds_whatever_is_asked(vision: Vision) -> None:
    cache = cache_of(vision, 3)
    for n in range(50):
        cache.tokens(evidence(f"e_{n * 7 % 11}", n % 2))
        assert cache.bytes == len(cache) * BYTES <= 3 * BYTES + BYTES // 2


def test_a_frame_larger_than_the_bound_is_given_and_not_kept(vision: Vision) -> None:
    cache = cache_of(vision, 0)
    assert visual_bytes(cache.tokens(evidence("e_1"))) == BYTES
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_is_forgotten_is_encoded_anew(vision: Vision) -> None:
    cache = cache_of(vision, 4)
    for stream, name in (("default/cam", "e_1"), ("default/cam", "e_2"), ("default/yard", "e_1")):
        cache.tokens(evidence(name, stream=stream))
    cache.forget("default/cam", ["e_1"])
    assert [cache.holds(evidence(name)) for name in ("e_1", "e_2")] == [False, True]
    assert cache.holds(evidence("e_1", stream="default/yard"))
    cache.forget("default/cam", [])
    assert (len(cache), cache.bytes) == (1, BYTES)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_is_no_picture_is_said_so_and_not_kept(vision: Vision) -> None:
    cache = cache_of(vision)
    broken = Evidence("default/cam", "e_1", 0, 0, 0, 1, 0.5, b"no picture")
    with pytest.raises(OSError, match=r"\w"):
        cache.tokens(broken)
    assert not cache.holds(broken)
