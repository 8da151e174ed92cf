"""One stream's way: what hostile or changing media does to it, and that it does nothing to others."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from perception.decode import PictureDecoder
from perception.evidence import EvidenceMaker
from perception.lane import QUEUE_PACKETS
from perception.messages import (
    Barrier,
    CloseStream,
    FileSource,
    OpenStream,
    Packet,
    Percept,
    PushSource,
    SessionStarted,
    StreamClosed,
)

SECOND = 1_000_000
ENCODERS = {"libx264": "h264", "libx265": "h265", "libvpx": "vp8", "libvpx-vp9": "vp9"}


def blocks(seed: int) -> NDArray[np.uint8]:
    colours = np.random.default_rng(seed).integers(20, 236, (9, 16, 3), dtype=np.uint8)
    return colours.repeat(20, 0).repeat(20, 1)


def image(seed: int = 0, codec: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(blocks(seed)).save(buffer, codec, **options)
    return buffer.getvalue()


def percepts(outputs: list[object]) -> list[Percept]:
    return [one for one in outputs if isinstance(one, Percept)]


# ---------------------------------------------------------------- hostile media


def test_a_stumble_over_one_stream_is_its_own_fault_and_passes(bench: Any, caplog: Any, monkeypatch: Any) -> None:
    original = PictureDecoder.decode

    def stumbling(self: Any, packet: Packet) -> Any:
        if packet.data == b"odd":
            raise RuntimeError("what was seen")
        return original(self, packet)

    monkeypatch.setattr(PictureDecoder, "decode", stumbling)
    bench.open(PushSource("fast"))
    bench.stage.submit(OpenStream("t/other", PushSource("fast"), 1, 0, 0, 2.0))
    bench.start()
    bench.stage.submit(SessionStarted("t/other", 1, 0, 0))
    bench.send("png", image())
    for _ in range(3):
        bench.send("png", b"odd")
    bench.stage.submit(Packet("t/other", 1, 0, "png", image(), 0, 0, 0))
    outputs = bench.run()
    assert sorted(one.stream for one in percepts(outputs)) == ["t/cam", "t/other"]
    faults = {one.stream: one.fault for one in outputs if hasattr(one, "fault")}
    assert faults["t/other"] is None
    assert faults["t/cam"].code == "source_invalid"
    assert [record.getMessage() for record in caplog.records if "what was seen" in record.getMessage()] == []
    assert len([record for record in caplog.records if "RuntimeError" in record.getMessage()]) == 1
    bench.send("png", image(1), SECOND)
    status = bench.status(bench.run())
    assert (status.fault, status.dropped, status.state) == (None, 3, "live")


def test_a_sample_that_cannot_be_stored_is_left_out_and_the_next_is_encoded(bench: Any, monkeypatch: Any) -> None:
    make, count = EvidenceMaker.make, 0

    def failing(self: Any, picture: Any) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            raise MemoryError
        return make(self, picture)

    monkeypatch.setattr(EvidenceMaker, "make", failing)
    bench.open(PushSource("fast"))
    bench.start()
    for n in range(3):
        bench.send("png", image(), n * SECOND)
        outputs = bench.run()
        assert [one.media_us for one in percepts(outputs)] == ([SECOND] if n == 1 else [])


# ---------------------------------------------------------------- how a session ends


@pytest.mark.parametrize("codec", ["h264", "h265", "vp8", "vp9"])
def test_a_video_that_never_opens_ends_with_a_fault(bench: Any, codec: str) -> None:
    bench.open(FileSource("x", "fast"))
    bench.start(0)
    for n in range(3):
        bench.send(codec, b"\xff" * 300, n, session=0, keyframe=True, extradata=b"\x01\x02")
    bench.end(0, final=True)
    status = bench.status(bench.run())
    assert (status.state, status.fault.code, status.received) == ("failed", "source_invalid", 0)
    assert status.dropped >= 3


def test_a_codec_that_is_not_known_is_named_at_the_end(bench: Any) -> None:
    bench.open(FileSource("x", "fast"))
    bench.start(0)
    bench.send("nonsense", b"x" * 300, session=0, keyframe=True)
    bench.end(0, final=True)
    status = bench.status(bench.run())
    assert (status.state, status.fault.code) == ("failed", "codec_not_supported")


def test_a_sender_of_nothing_that_can_be_decoded_goes_offline_with_a_fault(bench: Any) -> None:
    bench.open(PushSource("real"))
    bench.start()
    bench.send("h264", b"\x00\x00\x00\x01\x41\x9a\x00")
    bench.end()
    status = bench.status(bench.run())
    assert (status.state, status.fault.code) == ("offline", "source_invalid")


def test_a_session_without_video_or_with_a_picture_just_ends(bench: Any) -> None:
    bench.open(PushSource("real"))
    for session in (1, 2):
        bench.start(session)
        if session == 2:
            bench.send("png", image(), session=2)
            bench.send("png", b"broken", session=2)
        bench.end(session)
        status = bench.status(bench.run())
        assert (status.state, status.fault) == ("offline", None)


# ---------------------------------------------------------------- overload


@pytest.mark.parametrize("encoder", ENCODERS)
def test_after_an_overload_pushed_video_goes_on_with_its_next_keyframe(bench: Any, encoded: Any, encoder: str) -> None:
    codec = ENCODERS[encoder]
    units = encoded(encoder, [blocks(n // 5) for n in range(10)], g="5")
    bench.open(PushSource("real"))
    bench.start()
    for n in range(QUEUE_PACKETS + 1):
        bench.send(codec, units[1], n)
    for n, unit in enumerate([*units[6:], *units[:3]]):
        bench.send(codec, unit, 1000 + n)
    status = bench.status(bench.run())
    assert status.received == 3
    assert status.dropped == QUEUE_PACKETS + 1 + 4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_after_an_overload_a_fresh_session_is_received_whole(bench: Any, encoded: Any, encoder: str) -> None:
    units = encoded(encoder, [blocks(n) for n in range(3)])
    bench.open(PushSource("real"))
    bench.start()
    for n in range(QUEUE_PACKETS + 1):
        bench.send(ENCODERS[encoder], units[1], n)
    bench.start(2)
    for n, unit in enumerate(units):
        bench.send(ENCODERS[encoder], unit, n, session=2)
    assert bench.status(bench.run()).received == 3


# ---------------------------------------------------------------- barriers


def test_a_barrier_of_a_stream_that_is_not_open_is_answered(bench: Any) -> None:
    bench.stage.submit(Barrier("t/cam", 3))
    assert bench.run() == [Barrier("t/cam", 3)]


@pytest.mark.parametrize("end", [CloseStream("t/cam"), OpenStream("t/cam", PushSource("fast"), 0, 0, 0, 2.0)])
def test_a_barrier_is_answered_when_its_stream_is_closed_under_it(bench: Any, end: Any) -> None:
    bench.open(PushSource("fast"))
    bench.start()
    bench.send("png", image())
    bench.stage.submit(Barrier("t/cam", 3))
    bench.stage.submit(end)
    outputs = bench.run()
    assert [one for one in outputs if isinstance(one, Barrier)] == [Barrier("t/cam", 3)]
    if isinstance(end, CloseStream):
        assert outputs[-1] == StreamClosed("t/cam")
