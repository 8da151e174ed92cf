"""A file's stamps: counted where there are none, going on where they start over, waited for within limits."""

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reading import SECOND, Inbox, opened, read
from writing import add_sound, shift_ts, write_video

from perception.messages import FileSource, Packet
from perception.sources import timeline
from perception.sources.file import FileReader
from perception.sources.timeline import Pace, Timeline

FRAME = SECOND // 25


def packet(track: int, dts_us: int | None, pts_us: int | None = None) -> Packet:
    return Packet("t/cam", 0, track, "h264", b"", pts_us, 0, 0, dts_us=dts_us)


# ---------------------------------------------------------------- placing


def test_what_has_no_stamp_is_counted() -> None:
    line = Timeline()
    placed = [line.place(packet(0, None), FRAME) for _ in range(4)]
    assert [one.dts_us for one in placed] == [0, FRAME, 2 * FRAME, 3 * FRAME]
    assert {one.pts_us for one in placed} == {None}


def test_a_lone_packet_without_a_stamp_follows_the_one_before() -> None:
    line = Timeline()
    assert [line.place(packet(0, at), FRAME).dts_us for at in (100, None, 2 * FRAME)] == [100, 100 + FRAME, 2 * FRAME]


@settings(max_examples=30)
@given(
    parts=st.lists(st.tuples(st.integers(0, 10**12), st.integers(60, 90)), min_size=1, max_size=4),
    lag=st.integers(0, 20),
)
def test_joined_recordings_become_one_line(parts: list[tuple[int, int]], lag: int) -> None:
    """Whatever the clocks of the parts, and whichever track changes over first."""
    ends = [start + frames * FRAME for start, frames in parts]
    for end, (start, _) in zip(ends, parts[1:], strict=False):
        assume(not end - 2 * SECOND < start < end)
    stamps = [start + n * FRAME for start, frames in parts for n in range(frames)]
    line, placed = Timeline(), {0: list[int](), 1: list[int]()}
    for n in range(len(stamps) + lag):
        for track, at in ((0, n), (1, n - lag)):
            if 0 <= at < len(stamps):
                dts_us = line.place(packet(track, stamps[at]), FRAME).dts_us
                assert dts_us is not None
                placed[track].append(dts_us)
    assert all(after > before for before, after in itertools.pairwise(placed[0]))
    assert placed[0] == placed[1]


@given(st.permutations(range(16)), st.integers(1, 20 * SECOND))
def test_the_order_of_decoding_is_no_new_recording(order: list[int], frame_us: int) -> None:
    line = Timeline()
    assert [line.place(packet(0, None, n * frame_us), frame_us).pts_us for n in order] == [n * frame_us for n in order]


# ---------------------------------------------------------------- waiting


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now_us = 5 * SECOND
        self.waits: list[float] = []

    def __call__(self) -> int:
        return self.now_us

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.waits.append(round(seconds, 3))
        self.now_us += round(seconds * 1e6)
        return False


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timeline, "_now_us", clock)
    return clock


def test_a_hole_is_not_waited_for_to_its_end(clock: Any) -> None:
    pace = Pace(0)
    for at_us in (0, SECOND, 3601 * SECOND, 3602 * SECOND):
        assert pace.wait(at_us, clock)
    assert clock.waits == [1.0, 10.0, 1.0]


def test_waiting_ends_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    assert not Pace(0).wait(3600 * SECOND, stop)


def test_a_bare_stream_keeps_its_pace(tmp_path: Path, clock: Any) -> None:
    path = write_video(tmp_path / "bare.h264", 5, bf="0")
    FileReader(opened(), str(path), "real").run(Inbox(), clock)
    assert clock.waits == [0.1] * 4


# ---------------------------------------------------------------- whole files


def perceived(bench: Any, path: Path, resume_us: int = 0) -> Any:
    """The last status of a stream of this file."""
    bench.open(FileSource(str(path), "fast"), resume_us)
    packets, end, _ = read(path, resume_us=resume_us)
    bench.start(session=0)
    for one in [*packets, end]:
        bench.stage.submit(one)
    return bench.status(bench.run())


@pytest.mark.parametrize("order", ["0", "2"])
def test_a_bare_stream_has_its_length(bench: Any, tmp_path: Path, order: str) -> None:
    status = perceived(bench, write_video(tmp_path / "bare.h264", 50, bf=order))
    assert (status.state, status.fault, status.received) == ("ended", None, 50)
    assert status.last_media_us == pytest.approx(4.9 * SECOND, abs=0.1 * SECOND)
    assert status.sampled >= 8


def test_a_bare_stream_is_resumed(bench: Any, tmp_path: Path) -> None:
    path = write_video(tmp_path / "bare.h264", 50, bf="0")
    packets, end, _ = read(path, resume_us=2 * SECOND)
    assert (len(packets), end.fault) == (50, None)
    status = perceived(bench, path, resume_us=2 * SECOND)
    assert status.last_media_us == 4_900_000
    assert status.sampled < 8


@pytest.mark.parametrize("second_s", [0, 10, 200])
def test_two_recordings_in_one_file_are_both_seen(bench: Any, tmp_path: Path, second_s: int) -> None:
    """Also where FFmpeg would take the second one's stamps for an overflow of the first one's."""
    short = write_video(tmp_path / "short.mp4", 30)
    voiced = add_sound(short, tmp_path / "voiced.mp4", 3.0)
    first = shift_ts(voiced, tmp_path / "first.ts", 100)
    second = shift_ts(voiced, tmp_path / "second.ts", second_s)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    status = perceived(bench, path)
    assert (status.state, status.fault, status.received) == ("ended", None, 60)
    jump_s = max(0, second_s - 100 - 3)
    assert status.last_media_us == pytest.approx((5.9 + jump_s) * SECOND, abs=0.3 * SECOND)
    assert status.sampled >= 10


def test_joined_recordings_are_resumed_beyond_the_first(tmp_path: Path) -> None:
    half = write_video(tmp_path / "half.ts", 30)
    path = tmp_path / "joined.ts"
    path.write_bytes(half.read_bytes() * 2)
    packets, end, _ = read(path, resume_us=4_500_000)
    assert end.fault is None
    assert max(one.pts_us or 0 for one in packets) == 5_900_000
