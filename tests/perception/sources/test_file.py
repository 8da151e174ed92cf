"""Files as sources: order and pace of packets, and what is told of each way to fail."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import av
import pytest
from reading import PATIENCE_S, SECOND, Inbox, fault_of, opened, read, running

from evaluation.clips import moving_video
from perception.messages import FileSource, OpenStream, Packet, PushSource, RtspSource, SessionEnded, SessionStarted
from perception.sources.file import FileReader
from perception.sources.open import open_reader
from perception.sources.rtsp import RtspReader

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
