"""The perception stage on real video: order, sampling, cuts, silence of a still scene, windows, wiping, states."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from perception.messages import (
    Barrier,
    FileSource,
    Gap,
    Packet,
    Percept,
    PushSource,
    SessionEnded,
    SessionStarted,
    StreamEnded,
    StreamStatus,
    Unchanged,
    WindowWiped,
    WipeWindow,
)

SECOND = 1_000_000


def room(seed: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(20, 236, (9, 16, 3), dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(20, 0).repeat(20, 1))


def feed_file(bench: Any, path: Path, codec: str = "h264") -> None:
    bench.open(FileSource(str(path), "fast"))
    bench.stage.submit(SessionStarted("t/cam", 0, 0, 0))
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        for packet in container.demux(video):
            if packet.size:
                at = round(packet.pts * packet.time_base * SECOND)
                extradata = bytes(video.codec_context.extradata or b"")
                bench.stage.submit(
                    Packet("t/cam", 0, 0, codec, bytes(packet), at, at, at, packet.is_keyframe, extradata=extradata)
                )
    bench.stage.submit(SessionEnded("t/cam", 0, True, None, 0))


def test_a_file_gives_percepts_in_order_with_its_cuts_and_an_end(bench: Any, make_clip) -> None:  # type: ignore[no-untyped-def]
    feed_file(bench, make_clip(shots=3, seconds=2.0, fps=10))
    outputs = bench.run()
    percepts = [one for one in outputs if isinstance(one, Percept)]
    times = [one.media_us for one in percepts]
    assert times == sorted(set(times))
    assert [one.cut_us for one in percepts if one.cut] == [2 * SECOND, 4 * SECOND]
    assert len(percepts) >= 12
    ends = [one for one in outputs if isinstance(one, StreamEnded)]
    assert [(end.final, end.media_us) for end in ends] == [(True, 5_900_000)]
    states = [one.state for one in outputs if isinstance(one, StreamStatus)]
    assert states[-1] == "ended"


def test_evidence_is_the_decoded_frame(bench: Any, make_clip) -> None:  # type: ignore[no-untyped-def]
    clip = make_clip(shots=2, seconds=2.0, fps=10, size=(640, 360))
    feed_file(bench, clip)
    percepts = {one.media_us: one for one in bench.run() if isinstance(one, Percept)}
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            percept = percepts.pop(round(frame.pts * frame.time_base * SECOND), None)
            if percept is None:
                continue
            stored = np.asarray(Pillow.open(io.BytesIO(percept.jpeg)).convert("L"), np.float64)
            offline = np.asarray(frame.to_image().convert("L"), np.float64)
            assert stored.shape == offline.shape
            assert 10 * np.log10(255**2 / np.mean((stored - offline) ** 2)) >= 35
    assert percepts == {}


def test_a_still_scene_is_renewed_and_not_encoded(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    rng = np.random.default_rng(0)
    for n in range(120):
        noisy = np.clip(room(1) + rng.normal(0, 4, (180, 320, 3)), 0, 255).astype(np.uint8)
        bench.push(noisy, n * SECOND // 2)
    outputs = bench.run()
    assert bench.encoder.images <= 6
    assert sum(isinstance(one, Unchanged) for one in outputs) >= 114
    newest = bench.window.snapshot(0, "t/cam")[-1]
    assert newest.media_us == 119 * SECOND // 2


@pytest.mark.parametrize("seed", range(20))
def test_a_new_object_of_one_percent_is_not_missed(bench: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    still = np.full((180, 320, 3), rng.integers(40, 216), np.uint8)
    x, y = rng.integers(0, 320 - 24), rng.integers(0, 180 - 24)
    colour = (int(still[0, 0, 0]) + 128 + rng.integers(-60, 60, 3)) % 256
    for n in range(20):
        picture = np.clip(still + rng.normal(0, 3, still.shape), 0, 255)
        if n >= 10:
            picture[y : y + 24, x : x + 24] = colour
        bench.push(picture.astype(np.uint8), n * SECOND // 2)
    percepts = [one for one in bench.run() if isinstance(one, Percept)]
    assert any(5 * SECOND <= one.media_us <= 6 * SECOND for one in percepts)


def test_a_barrier_comes_behind_what_was_pushed_before_it(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    for n in range(3):
        bench.push(room(n), n * SECOND)
    bench.stage.submit(Barrier("t/cam", 7))
    bench.push(room(9), 9 * SECOND)
    records = [one for one in bench.run() if isinstance(one, Percept | Barrier)]
    assert [isinstance(one, Barrier) for one in records] == [False, False, False, True, False]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx", "libvpx-vp9"])
def test_pushed_video_of_every_codec(bench: Any, codec: str) -> None:
    names = {"libx264": "h264", "libx265": "h265", "libvpx": "vp8", "libvpx-vp9": "vp9"}
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 180, "yuv420p", Fraction(1, 10)
    encoder.options = {"preset": "veryfast", "tune": "zerolatency"} if "x26" in codec else {"lag-in-frames": "0"}
    units = []
    for n in range(20):
        frame = av.VideoFrame.from_ndarray(room(n // 10), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, 10)
        units += encoder.encode(frame)
    for unit in (*units, *encoder.encode(None)):
        at = round(unit.pts * SECOND / 10)
        bench.stage.submit(Packet("t/cam", 1, 0, names[codec], bytes(unit), at, at, at, unit.is_keyframe))
    outputs = bench.run()
    percepts = [one for one in outputs if isinstance(one, Percept)]
    assert [one.cut_us for one in percepts if one.cut] == [SECOND]
    assert [one for one in outputs if isinstance(one, StreamStatus)][-1].codec == names[codec]


def test_units_before_the_first_parameter_sets_are_counted_and_dropped(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    bench.stage.submit(Packet("t/cam", 1, 0, "h264", b"\x00\x00\x00\x01\x41\x9a\x00", 0, 0, 0))
    outputs = bench.run()
    assert not [one for one in outputs if isinstance(one, Percept)]


def test_a_bomb_is_refused_before_it_is_decoded(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    buffer = io.BytesIO()
    Pillow.new("1", (16384, 16384)).save(buffer, "PNG")
    bench.stage.submit(Packet("t/cam", 1, 0, "png", buffer.getvalue(), 0, 0, 0))
    status = [one for one in bench.run() if isinstance(one, StreamStatus)][-1]
    assert status.fault is not None
    assert status.fault.code == "image_too_large"


def test_wiping_takes_entries_out_of_the_window_and_keeps_late_ones_out(bench: Any) -> None:
    bench.open(PushSource("fast"))
    bench.stage.submit(SessionStarted("t/cam", 1, 0, 0))
    for n in range(3):
        bench.push(room(n), n * SECOND)
    bench.run()
    bench.push(room(5), 2_500_000)
    bench.now_us = 10 * SECOND
    bench.stage.submit(WipeWindow("t/cam", 4, 1 * SECOND, 3 * SECOND))
    outputs = bench.run()
    assert WindowWiped("t/cam", 4) in outputs
    assert [frame.media_us for frame in bench.window.snapshot(0, "t/cam")] == [0]


def test_a_second_session_of_a_live_sender_leaves_a_gap(bench: Any) -> None:
    bench.open(PushSource("real"))
    for session, at in ((1, 0), (2, 30 * SECOND)):
        bench.stage.submit(SessionStarted("t/cam", session, at, at))
        bench.push(room(session), at, session=session)
        bench.stage.submit(SessionEnded("t/cam", session, False, None, at))
    gaps = [one for one in bench.run() if isinstance(one, Gap)]
    assert [(gap.start_us, gap.end_us, gap.reason) for gap in gaps] == [(0, 30 * SECOND, "offline")]
