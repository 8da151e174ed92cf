"""The window slab: newest frames of each lane, wiped for good, whole under a writer that is at work or killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.window import LocalWindow, TensorData, VisualTokens, WindowFrame
from server.ipc import slab
from server.ipc.memory_file import create_memory_file
from server.ipc.slab import MAX_LANES, SlabReader, SlabWriter

pytestmark = pytest.mark.alone

LANES, FRAMES, SLOT = 4, 3, 10_000
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_memory_file("test", 0)
    yield fd
    os.close(fd)


def frame(stream: str, media_us: int, *, jpeg: bytes = b"jpeg", tokens: int = 100) -> WindowFrame:
    data = TensorData("float32", (tokens // 4, 1), bytes([media_us % 251]) * tokens)
    return WindowFrame(stream, media_us, media_us + 7, jpeg, VisualTokens(data, [], (1, 2, 3)))


def test_a_reader_finds_the_newest_frames_oldest_first(memory: int) -> None:
    reader = SlabReader(memory)
    assert reader.snapshot(0, "t/a") == []
    writer = SlabWriter(memory, LANES, FRAMES, SLOT)
    assert reader.snapshot(0, "t/a") == []
    frames = [frame("t/a", number) for number in range(5)]
    for one in frames:
        writer.push(0, one)
    assert reader.snapshot(0, "t/a") == frames[-FRAMES:]
    assert reader.snapshot(1, "t/a") == []
    assert reader.snapshot(LANES, "t/a") == []


def test_a_busy_lane_leaves_a_quiet_one_alone(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    writer.push(0, frame("t/quiet", 1))
    for number in range(20):
        writer.push(1, frame("t/busy", number))
    assert reader.snapshot(0, "t/quiet") == [frame("t/quiet", 1)]


def test_renewing_gives_the_newest_entry_a_later_time(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    writer.renew(0, 5, 6)  # nothing there yet
    writer.push(0, frame("t/a", 1))
    writer.push(0, frame("t/a", 2))
    writer.renew(0, 50, 60)
    assert [(one.media_us, one.arrival_us) for one in reader.snapshot(0, "t/a")] == [(1, 8), (50, 60)]
    writer.wipe(0, 50, 51)
    writer.renew(0, 90, 90)
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [1]


def test_wiping_zeroes_the_bytes(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    for number in (10, 20, 30):
        writer.push(0, frame("t/a", number, jpeg=f"secret-{number}".encode()))
    writer.wipe(0, 10, 30)
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [30]
    content = os.pread(memory, os.fstat(memory).st_size, 0)
    assert b"secret-30" in content
    assert b"secret-10" not in content
    assert b"secret-20" not in content


def test_a_successor_keeps_the_entries_and_can_wipe_them(memory: int) -> None:
    reader = SlabReader(memory)
    writer = SlabWriter(memory, LANES, FRAMES, SLOT)
    for number in (1, 2):
        writer.push(2, frame("t/a", number))
    successor = SlabWriter(memory, LANES, FRAMES, SLOT)
    assert [one.media_us for one in reader.snapshot(2, "t/a")] == [1, 2]
    successor.push(2, frame("t/a", 3))
    successor.push(2, frame("t/a", 4))
    assert [one.media_us for one in reader.snapshot(2, "t/a")] == [2, 3, 4]
    SlabWriter(memory, LANES, FRAMES, SLOT).wipe(2, 0, 4)
    assert [one.media_us for one in reader.snapshot(2, "t/a")] == [4]


def test_a_stream_is_wiped_wherever_it_lies(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    for lane, stream in ((0, "t/a"), (1, "t/b")):
        for number in (10, 20):
            writer.push(lane, frame(stream, number))
    SlabWriter(memory, LANES, FRAMES, SLOT).wipe_stream("t/b", 0, 15)
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [10, 20]
    assert [one.media_us for one in reader.snapshot(1, "t/b")] == [20]


def test_another_stream_in_the_lane_finds_nothing_of_the_last_one(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    writer.push(0, frame("t/old", 1, jpeg=b"of the old stream"))
    assert reader.snapshot(0, "t/new") == []
    SlabWriter(memory, LANES, FRAMES, SLOT).push(0, frame("t/new", 1))
    assert reader.snapshot(0, "t/new") == [frame("t/new", 1)]
    assert reader.snapshot(0, "t/old") == []
    assert b"of the old stream" not in os.pread(memory, os.fstat(memory).st_size, 0)


@pytest.mark.parametrize("slot_bytes", [SLOT // 4, SLOT * 4])
def test_a_new_layout_empties_the_slab_below_a_reader(memory: int, slot_bytes: int) -> None:
    reader = SlabReader(memory)
    SlabWriter(memory, LANES, FRAMES, SLOT).push(0, frame("t/a", 1))
    assert len(reader.snapshot(0, "t/a")) == 1
    writer = SlabWriter(memory, LANES, FRAMES, slot_bytes)
    assert reader.snapshot(0, "t/a") == []
    writer.push(3, frame("t/b", 2))
    assert reader.snapshot(3, "t/b") == [frame("t/b", 2)]


def test_an_entry_that_is_too_large_loses_its_jpeg_first(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    writer.push(0, frame("t/a", 1, jpeg=bytes(SLOT * 2)))
    assert reader.snapshot(0, "t/a") == [frame("t/a", 1, jpeg=b"")]


def test_an_entry_with_too_many_tokens_goes_without_them(memory: int) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    large = frame("t/a", 2, tokens=SLOT * 2, jpeg=b"seen")
    writer.push(0, large)
    assert reader.snapshot(0, "t/a") == [msgspec.structs.replace(large, tokens=None)]
    writer.push(0, msgspec.structs.replace(large, media_us=3, jpeg=bytes(SLOT * 2)))
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [2]


def test_only_lanes_in_use_take_memory(memory: int) -> None:
    writer = SlabWriter(memory, 64, 8, 1_000_000)
    assert os.fstat(memory).st_blocks * 512 <= 8192
    writer.push(5, frame("t/a", 1))
    writer.wipe(6, 0, 100)
    SlabReader(memory).snapshot(7, "t/a")
    assert 8_000_000 <= os.fstat(memory).st_blocks * 512 <= 9_000_000


def test_too_many_lanes_are_refused(memory: int) -> None:
    with pytest.raises(ValueError, match="lanes"):
        SlabWriter(memory, MAX_LANES + 1, 1, 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(0, 1), st.integers(0, 400)),
            st.tuples(st.just("renew"), st.integers(0, 1), st.integers(0, 400)),
            st.tuples(st.just("wipe"), st.integers(0, 1), st.integers(0, 400)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=40,
    )
)
def test_it_shows_what_a_window_in_one_process_shows(actions: list[tuple[str, int, int]]) -> None:
    memory = create_memory_file("test", 0)
    writer, reader, model = SlabWriter(memory, 2, FRAMES, SLOT), SlabReader(memory), LocalWindow(FRAMES)
    wiped: set[int] = set()
    for verb, lane, value in actions:
        match verb:
            case "push":
                for end in (writer, model):
                    end.push(lane, frame(f"t/{lane}", value))
                wiped.discard(lane)
            case "renew" if lane not in wiped:
                for end in (writer, model):
                    end.renew(lane, value, value)
            case "wipe":
                for end in (writer, model):
                    end.wipe(lane, 0, 401)
                wiped.add(lane)
            case "restart":
                writer = SlabWriter(memory, 2, FRAMES, SLOT)
        assert reader.snapshot(lane, f"t/{lane}") == model.snapshot(lane, f"t/{lane}")
    os.close(memory)


WRITER = """
import sys
from perception.window import TensorData, VisualTokens, WindowFrame
from server.ipc.slab import SlabWriter

writer = SlabWriter(int(sys.argv[1]), 2, 3, 300_000)
number = int(sys.argv[2])
while True:
    number += 1
    tokens = VisualTokens(TensorData("float32", (64, 1000), bytes([number % 251]) * 256_000), [], None)
    writer.push(1, WindowFrame("t/a", number, number, bytes([number % 251]) * 1000, tokens))
"""


def test_frames_are_whole_and_in_order_under_a_writer_that_is_killed(memory: int) -> None:
    reader, newest = SlabReader(memory), 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(memory), str(newest)], pass_fds=[memory], cwd=REPOSITORY
        )
        try:
            newest = wait_for_newer(reader, newest)
            for _ in range(10):
                newest = check(reader, newest)
        finally:
            writer.kill()
            writer.wait()
        newest = check(reader, newest)


def wait_for_newer(reader: SlabReader, than: int) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        frames = reader.snapshot(1, "t/a")
        if frames and frames[-1].media_us > than:
            return frames[-1].media_us
    raise AssertionError("the writer wrote nothing")


def check(reader: SlabReader, newest: int) -> int:
    """Each frame is one that was written, and time does not go back."""
    frames = reader.snapshot(1, "t/a")
    assert frames
    for one in frames:
        assert one.tokens is not None
        assert set(one.tokens.tokens.data) == {one.media_us % 251} == set(one.jpeg)
        assert one.media_us == one.arrival_us
    times = [one.media_us for one in frames]
    assert times == sorted(times)
    assert times[-1] >= newest - 1
    return max(times[-1], newest)


def test_an_entry_that_its_writer_died_over_is_left_out(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = SlabWriter(memory, LANES, FRAMES, SLOT), SlabReader(memory)
    for number in (1, 2):
        writer.push(0, frame("t/a", number))
    monkeypatch.setattr(slab, "_PAUSE_S", 0)
    writer._words[writer._entry(0, 2) // 8] |= 1
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [1]
    SlabWriter(memory, LANES, FRAMES, SLOT).push(0, frame("t/a", 3))
    assert [one.media_us for one in reader.snapshot(0, "t/a")] == [1, 3]
