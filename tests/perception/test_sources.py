"""Sources on real files and sockets: order and pace of packets, and what is told of each way to fail."""

import logging
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from evaluation.clips import moving_video
from evaluation.rtsp_camera import RtspCamera
from perception.messages import (
    FileSource,
    OpenStream,
    Packet,
    PushSource,
    RtspSource,
    SessionEnded,
    SessionStarted,
)
from perception.sources import rtsp
from perception.sources.base import Media, Reader
from perception.sources.file import FileReader
from perception.sources.open import open_reader
from perception.sources.rtsp import RtspReader

SECOND = 1_000_000
PATIENCE_S = 5.0
PASSWORD = "wr0ng-s3cret"


class Inbox:
    """Keeps what a source hands over, with the time at which it did; has room until told otherwise."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[float, Media]] = queue.Queue()
        self.room = threading.Event()
        self.room.set()
        self.waiting = threading.Event()

    def put(self, record: Media) -> None:
        self._queue.put((time.monotonic(), record))

    def wait_for_room(self, stream: str, stop: threading.Event) -> None:
        assert stream == "t/cam"
        while not stop.is_set() and not self.room.wait(0.01):
            self.waiting.set()

    def take(self, kind: Any = object) -> Any:
        """The next record of this kind; those before it are passed over."""
        end = time.monotonic() + PATIENCE_S
        while True:
            _, record = self._queue.get(timeout=max(0.01, end - time.monotonic()))
            if isinstance(record, kind):
                return record

    def drain(self) -> list[tuple[float, Media]]:
        """What has come and was not taken."""
        found = []
        while not self._queue.empty():
            found.append(self._queue.get())
        return found


@contextmanager
def running(reader: Reader) -> Iterator[Inbox]:
    """The reader on a thread of its own; it has to end soon after it is told to."""
    inbox, stop = Inbox(), threading.Event()
    thread = threading.Thread(target=reader.run, args=(inbox, stop), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def opened(resume_us: int = 0) -> OpenStream:
    return OpenStream("t/cam", PushSource("fast"), 0, 0, resume_us, 2.0)


def read(path: Path, pace: Any = "fast", resume_us: int = 0) -> tuple[list[Packet], SessionEnded, list[float]]:
    """A file to its end: packets, how it ended, and when each packet came, in seconds from the start."""
    inbox, start = Inbox(), time.monotonic()
    FileReader(opened(resume_us), str(path), pace).run(inbox, threading.Event())
    (_, first), *middle, (_, last) = inbox.drain()
    assert isinstance(first, SessionStarted)
    assert (first.stream, first.session) == ("t/cam", 0)
    assert isinstance(last, SessionEnded)
    assert (last.stream, last.session, last.final) == ("t/cam", 0, True)
    packets = [record for _, record in middle if isinstance(record, Packet)]
    assert len(packets) == len(middle)
    return packets, last, [at - start for at, _ in middle]


def fault_of(path: Path) -> str:
    packets, end, _ = read(path)
    assert packets == []
    assert end.fault is not None
    assert str(path) not in end.fault.message
    return end.fault.code


@pytest.fixture(scope="module")
def clip(tmp_path_factory: Any) -> Path:
    """Four seconds with a keyframe each second."""
    return moving_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 4.0, fps=10, size=(320, 180))


@pytest.fixture(scope="module")
def talkie(tmp_path_factory: Any) -> Path:
    """Two seconds of picture and AAC sound."""
    path = tmp_path_factory.mktemp("talkie") / "talkie.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"preset": "veryfast", "bf": "0"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio: Any = container.add_stream("aac", rate=48_000, layout="stereo")
        rng = np.random.default_rng(0)
        for n in range(20):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (180, 320, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            container.mux(video.encode(frame))
            tone = np.tile(np.sin(np.arange(4800) * 0.06).astype(np.float32) / 2, (2, 1))
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, n * 4800, Fraction(1, 48_000)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


# ---------------------------------------------------------------- which reader


def test_each_source_has_its_reader_and_a_push_has_none() -> None:
    def of(source: Any) -> Any:
        return open_reader(OpenStream("t/cam", source, 0, 0, 0, 2.0))

    assert isinstance(of(FileSource("/videos/a.mp4", "fast")), FileReader)
    assert isinstance(of(RtspSource("rtsp://127.0.0.1/live")), RtspReader)
    assert of(PushSource("real")) is None


# ---------------------------------------------------------------- files


def test_a_file_gives_all_its_packets_in_order(clip: Path) -> None:
    packets, end, _ = read(clip)
    with av.open(str(clip)) as container:
        wanted = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        extradata = bytes(container.streams.video[0].codec_context.extradata or b"")
    assert [packet.data for packet in packets] == wanted
    assert [packet.pts_us for packet in packets] == [n * SECOND // 10 for n in range(40)]
    assert [n for n, packet in enumerate(packets) if packet.keyframe] == [0, 10, 20, 30]
    assert {(packet.stream, packet.session, packet.codec) for packet in packets} == {("t/cam", 0, "h264")}
    assert packets[0].extradata == extradata != b""
    assert {packet.extradata for packet in packets[1:]} == {b""}
    assert end.fault is None


def test_a_fast_file_takes_no_time(clip: Path) -> None:
    _, _, times = read(clip)
    assert times[-1] < 2.0


def test_a_file_at_its_own_pace_keeps_time(tmp_path: Path) -> None:
    packets, end, times = read(moving_video(tmp_path / "second.mp4", 1.0, fps=10, size=(320, 180)), pace="real")
    assert len(packets) == 10
    late = [at - (packet.pts_us or 0) / SECOND for at, packet in zip(times, packets, strict=True)]
    assert min(late) >= -0.005
    assert max(late) < 0.5
    assert end.fault is None


def test_stamps_count_from_the_first_picture(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "late.ts"
    with av.open(str(clip)) as reader, av.open(str(path), "w", format="mpegts") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                shift = round(10 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copy
                writer.mux(packet)
    with av.open(str(path)) as container:
        assert container.start_time == 10 * SECOND
    packets, _, _ = read(path)
    assert [packet.pts_us for packet in packets] == [n * SECOND // 10 for n in range(40)]


def test_sound_comes_with_its_rate_and_channels(talkie: Path) -> None:
    packets, end, _ = read(talkie)
    sound = [packet for packet in packets if packet.codec == "aac"]
    picture = [packet for packet in packets if packet.codec == "h264"]
    assert len(picture) == 20
    assert len(sound) >= 2 * 48_000 // 1024
    assert {(packet.rate, packet.channels) for packet in sound} == {(48_000, 2)}
    assert len({packet.track for packet in picture} | {packet.track for packet in sound}) == 2
    assert sound[0].extradata != b""
    assert end.fault is None


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "missing.mp4") == "source_not_found"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert fault_of(tmp_path) == "source_not_found"


@pytest.mark.parametrize("data", [b"", random.Random(0).randbytes(100_000)], ids=["empty", "noise"])
def test_bytes_that_are_no_video_are_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(data)
    assert fault_of(path) == "source_invalid"


def test_a_file_without_a_picture_is_told(talkie: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(talkie)) as reader, av.open(str(path), "w", format="mp4") as writer:
        copy = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                writer.mux(packet)
    assert fault_of(path) == "source_invalid"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_is_cut_off_keeps_what_could_be_read(clip: Path, tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    with av.open(str(clip)) as reader, av.open(str(whole), "w", options=options) as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                writer.mux(packet)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 4 // 10])
    complete, end, _ = read(whole)
    assert end.fault is None
    kept, end, _ = read(cut)
    assert end.fault is not None
    assert end.fault.code == "source_truncated"
    assert 5 <= len(kept) < 20
    assert [packet.data for packet in kept[:5]] == [packet.data for packet in complete[:5]]


def test_a_resumed_file_begins_at_the_keyframe_before(clip: Path) -> None:
    packets, end, _ = read(clip, resume_us=2_500_000)
    assert packets[0].keyframe
    assert packets[0].extradata != b""
    assert [packet.pts_us for packet in packets] == [n * SECOND // 10 for n in range(20, 40)]
    assert end.fault is None


def test_a_resumed_file_does_not_wait_for_what_was_watched_before(clip: Path) -> None:
    packets, _, times = read(clip, pace="real", resume_us=3_500_000)
    assert packets[0].pts_us == 3 * SECOND
    assert 0.39 <= times[-1] < 1.5


def test_a_file_at_its_own_pace_ends_when_told_to(clip: Path) -> None:
    start = time.monotonic()
    with running(FileReader(opened(), str(clip), "real")) as inbox:
        inbox.take(Packet)
    assert time.monotonic() - start < 2.0
    assert not any(isinstance(record, SessionEnded) for _, record in inbox.drain())


def test_a_file_waits_for_room_and_ends_when_told_to(clip: Path) -> None:
    reader = FileReader(opened(), str(clip), "fast")
    full, stop = Inbox(), threading.Event()
    full.room.clear()
    thread = threading.Thread(target=reader.run, args=(full, stop), daemon=True)
    thread.start()
    assert full.waiting.wait(PATIENCE_S)
    assert [type(record) for _, record in full.drain()] == [SessionStarted]
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert full.drain() == []


# ---------------------------------------------------------------- cameras


def test_the_first_keyframe_of_a_camera_is_there_at_once(clip: Path) -> None:
    with RtspCamera(str(clip)) as camera:
        start = time.monotonic()
        with running(RtspReader(opened(), camera.url)) as inbox:
            started = inbox.take()
            first = inbox.take()
            took = time.monotonic() - start
            rest = [inbox.take(Packet) for _ in range(5)]
    assert isinstance(started, SessionStarted)
    assert (started.stream, started.session) == ("t/cam", 1)
    assert isinstance(first, Packet)
    assert (first.stream, first.session, first.codec) == ("t/cam", 1, "h264")
    assert first.keyframe
    assert first.pts_us == 0
    assert took < 2.0
    assert [packet.pts_us for packet in rest] == pytest.approx([n * SECOND // 10 for n in range(1, 6)], abs=1000)


def test_a_camera_gives_picture_and_sound(talkie: Path) -> None:
    with RtspCamera(str(talkie)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        packets = [inbox.take(Packet) for _ in range(20)]
    first = {packet.codec: packet for packet in reversed(packets)}
    assert set(first) == {"h264", "aac"}
    assert [first[codec].pts_us for codec in ("h264", "aac")] == [0, 0]
    assert (first["aac"].rate, first["aac"].channels) == (48_000, 2)
    assert first["h264"].track != first["aac"].track


def test_a_camera_that_dies_and_comes_back_is_a_new_session(clip: Path) -> None:
    with RtspCamera(str(clip)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        assert inbox.take(SessionStarted).session == 1
        inbox.take(Packet)
        camera.stop()
        end = inbox.take(SessionEnded)
        camera.start()
        again = inbox.take(SessionStarted)
        first = inbox.take()
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_closed")
    assert again.session == 2
    assert isinstance(first, Packet)
    assert (first.session, first.pts_us, first.keyframe) == (2, 0, True)
    assert camera.connections == 2


def test_a_camera_that_reaches_its_end_is_connected_again(tmp_path: Path) -> None:
    short = moving_video(tmp_path / "short.mp4", 0.5, fps=10, size=(320, 180))
    with RtspCamera(str(short), loop=False) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        end = inbox.take(SessionEnded)
        again = inbox.take(SessionStarted)
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_closed")
    assert again.session == 2


@pytest.fixture
def hush(caplog: Any, capfd: Any, monkeypatch: Any) -> Any:
    """Short patience, and a look afterwards at all that was said: `hush(url, fault)`."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(rtsp, "_TIMEOUT_S", (0.5, 0.5))

    def look(url: str, fault: Any) -> None:
        written = capfd.readouterr()
        said = "\n".join([fault.message, str(fault), caplog.text, written.out, written.err])
        assert fault.code in caplog.text
        for secret in (PASSWORD, url, url.rsplit("@", maxsplit=1)[-1], "rtsp://", "/live"):
            assert secret not in said

    return look


def test_a_right_password_is_let_in(clip: Path) -> None:
    camera = RtspCamera(str(clip), user="admin", password="right")
    with camera, running(RtspReader(opened(), camera.url)) as inbox:
        assert inbox.take(Packet).keyframe


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_camera_that_is_not_there_is_told(hush: Any) -> None:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{free_port()}/live"
    with running(RtspReader(opened(), url)) as inbox:
        end = inbox.take()
    hush(url, end.fault)
    assert isinstance(end, SessionEnded)
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_unreachable")


def test_a_camera_that_is_not_there_is_tried_less_and_less(monkeypatch: Any) -> None:
    monkeypatch.setattr(rtsp.random, "uniform", lambda low, high: low)
    with running(RtspReader(opened(), f"rtsp://127.0.0.1:{free_port()}/live")) as inbox:
        ends = [inbox.take(SessionEnded) for _ in range(3)]
    assert [end.session for end in ends] == [1, 2, 3]
    first, second = (ends[n + 1].arrival_us - ends[n].arrival_us for n in range(2))
    assert 0.95 * SECOND <= first < 1.8 * SECOND
    assert 1.95 * SECOND <= second < 3.5 * SECOND


def test_a_camera_without_a_picture_is_told(clip: Path, talkie: Path) -> None:
    with RtspCamera(str(talkie)) as camera:
        media, sound = camera.sdp.split("m=video")[0], camera.sdp.split("m=audio")[1]
        camera.sdp = f"{media}m=audio{sound}"
        with running(RtspReader(opened(), camera.url)) as inbox:
            end = inbox.take()
    assert isinstance(end, SessionEnded)
    assert (end.session, end.final, end.fault.code) == (1, False, "source_invalid")
