"""How much a step does, and whose turn it is."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from perception.messages import OpenStream, Packet, Percept, PushSource, SessionStarted

STREAMS = [f"t/{n}" for n in range(8)]
MESSAGE_US = 30_000
"""What a message costs here."""


def image(seed: int) -> bytes:
    buffer = io.BytesIO()
    colours = np.random.default_rng(seed).integers(20, 236, (9, 16, 3), dtype=np.uint8)
    Pillow.fromarray(colours).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def busy(bench: Any, monkeypatch: Any) -> Any:
    """Eight streams with twenty pictures each, every one of which takes 30 ms to decode."""
    from perception.lane import Lane

    advance = Lane.advance

    def slow(self: Lane) -> Any:
        bench.now_us += MESSAGE_US
        return advance(self)

    monkeypatch.setattr(Lane, "advance", slow)
    for n, stream in enumerate(STREAMS):
        bench.stage.submit(OpenStream(stream, PushSource("fast"), n, 0, 0, 2.0))
        bench.stage.submit(SessionStarted(stream, 1, 0, 0))
        for k in range(20):
            at_us = k * 1_000_000
            bench.stage.submit(Packet(stream, 1, 0, "png", image(k), at_us, at_us, at_us))
    return bench


def test_a_step_ends_in_time_whatever_waits(busy: Any) -> None:
    while busy.stage.has_work():
        began_us = busy.now_us
        busy.stage.step()
        assert busy.now_us - began_us <= 200_000 + MESSAGE_US


def test_no_stream_is_served_twice_before_all_were(busy: Any) -> None:
    served: list[str] = []
    while len(served) < 100:
        served += [one.stream for one in busy.stage.step() if isinstance(one, Percept)]
    counts = [served.count(stream) for stream in STREAMS]
    assert max(counts) - min(counts) <= 2


def test_what_encoding_costs_counts(busy: Any, monkeypatch: Any) -> None:
    embed = busy.encoder.embed_images

    def slow(images: Any) -> Any:
        busy.now_us += 500_000 * len(images)
        return embed(images)

    monkeypatch.setattr(busy.encoder, "embed_images", slow)
    sizes = []
    while busy.stage.has_work():
        sizes.append(sum(isinstance(one, Percept) for one in busy.stage.step()))
    assert sum(sizes) == 160
    assert max(sizes[3:]) == 1
