"""One stream's way: what hostile or changing media does to it, and that it does nothing to others."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from perception.backlog import QUEUE_PACKETS
from perception.decode import PictureDecoder
from perception.evidence import EvidenceMaker
from perception.messages import (
    Barrier,
    CloseStream,
    Fault,
    FileSource,
    OpenStream,
    Packet,
    Percept,
    PushSource,
    RtspSource,
    SessionEnded,
    SessionStarted,
    StreamClosed,
    StreamEnded,
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

    def failing(self: Any, picture: Any, comment: bytes) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            raise MemoryError
        return make(self, picture, comment)

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


def test_a_sender_of_nothing_that_can_be_decoded_is_told_while_it_sends(bench: Any) -> None:
    bench.open(PushSource("real"))
    bench.start()
    for second in range(12):
        bench.now_us = second * SECOND
        bench.send("h264", b"\x00\x00\x00\x01\x41\x9a\x00", second * SECOND)
        status = bench.status(bench.run())
        assert (status.fault is None) == (second <= 10)
    assert (status.state, status.fault.code) == ("connecting", "source_invalid")
    bench.send("png", image(), 12 * SECOND)
    status = bench.status(bench.run())
    assert (status.state, status.fault) == ("live", None)


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


# ---------------------------------------------------------------- tracks that change, sessions that overlap


def test_bare_images_of_every_format_share_a_connection(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.start()
    for n, codec in enumerate(["jpeg", "png", "webp", "jpeg"]):
        bench.send(codec, image(n, codec), n * SECOND)
    outputs = bench.run()
    assert [one.media_us for one in percepts(outputs)] == [0, SECOND, 2 * SECOND, 3 * SECOND]
    assert bench.status(outputs).dropped == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [("libx264", "libvpx"), ("libvpx", "libx264"), ("libvpx-vp9", "libx265"), ("libx265", "libvpx")],
)
def test_a_track_that_is_announced_as_another_codec_goes_on(bench: Any, encoded: Any, first: str, second: str) -> None:
    bench.open(PushSource("fast"))
    bench.start()
    pictures = [blocks(n) for n in range(3)]
    for n, encoder in enumerate([first, second]):
        for k, unit in enumerate(encoded(encoder, pictures)):
            bench.send(ENCODERS[encoder], unit, (3 * n + k) * SECOND // 2)
    status = bench.status(bench.run())
    assert (status.received, status.dropped, status.codec) == (6, 0, ENCODERS[second])


def test_what_an_encoder_held_back_is_shown_before_the_track_changes(bench: Any, encoded: Any) -> None:
    units = encoded("libx264", [blocks(n) for n in range(6)], tune="psnr", bf="3")
    bench.open(PushSource("fast"))
    bench.start()
    for n, unit in enumerate(units):
        bench.send("h264", unit, pts_us=None, at_us=n)
    bench.send("png", image(9), 9 * SECOND)
    assert bench.status(bench.run()).received == 7


def test_a_refused_track_goes_on_once_it_is_something_else(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.start()
    bench.send("nonsense", b"x")
    bench.send("png", image(), SECOND)
    status = bench.status(bench.run())
    assert (status.state, status.received) == ("live", 1)


def test_an_image_that_is_too_large_does_not_refuse_the_next(bench: Any) -> None:
    buffer = io.BytesIO()
    Pillow.new("1", (16384, 16384)).save(buffer, "PNG")
    bench.open(PushSource("fast"))
    bench.start()
    bench.send("png", image())
    bench.send("png", buffer.getvalue(), SECOND)
    status = bench.status(bench.run())
    assert (status.fault.code, status.dropped) == ("image_too_large", 1)
    bench.send("png", image(), 2 * SECOND)
    status = bench.status(bench.run())
    assert (status.fault, status.received) == (None, 2)


def test_the_end_of_a_replaced_sender_does_not_end_the_new_one(bench: Any, encoded: Any) -> None:
    units = encoded("libx264", [blocks(n) for n in range(4)])
    bench.open(PushSource("real"))
    bench.start(1)
    bench.send("h264", units[0], 0, session=1)
    bench.start(2)
    bench.send("h264", units[0], SECOND, session=2)
    bench.end(1)
    for n, unit in enumerate(units[1:]):
        bench.send("h264", unit, SECOND + n, session=2)
        bench.send("h264", unit, SECOND + n, session=1)
    outputs = bench.run()
    status = bench.status(outputs)
    assert (status.state, status.received, status.dropped) == ("live", 5, 3)
    assert not any(isinstance(one, StreamEnded) for one in outputs)


def test_a_session_whose_beginning_was_lost_begins_with_its_first_packet(bench: Any) -> None:
    bench.open(PushSource("real"))
    bench.start(1)
    bench.send("png", image(), 0)
    bench.end(1)
    bench.send("png", image(1), SECOND, session=1)
    bench.send("png", image(1), 2 * SECOND, session=2)
    outputs = bench.run()
    assert [one.media_us for one in percepts(outputs)] == [0, 2 * SECOND]
    assert bench.status(outputs).state == "live"


def test_a_camera_that_cannot_be_reached_again_says_why(bench: Any) -> None:
    bench.open(RtspSource("rtsp://127.0.0.1:1/x"))
    for session, code in enumerate(["camera_unreachable", "camera_timeout", "camera_refused"]):
        fault = Fault(code, "why")
        bench.stage.submit(SessionEnded("t/cam", session, False, fault, 0))
        status = bench.status(bench.run())
        assert (status.state, status.fault) == ("offline", fault)
