"""The shared-memory queue between two processes: latency, throughput, and torn frames when its writer is killed."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines.ring_memcpy import MemcpyWriter, create_shared_frame
from evaluation.baselines.ring_queue import QueueConsumer
from evaluation.checks import Check
from evaluation.micro.ring_peer import Notes, checksum, launch
from server.ipc.links import KIB
from server.ipc.ring import Overwritten, RingReader, RingWriter, create_ring

Progress = Callable[[str], None]
Frame = NDArray[np.uint8]

_FRAME_BYTES = 1920 * 1080 * 3
_SLOT_BYTES = 256 * KIB
_RUNS = 5
_TORN_BYTES = 64 * KIB
_TORN_RING_SLOTS = 64
_SEED = 20261120


def run(full: bool, progress: Progress) -> list[Check]:
    """Measure. full: longer runs, and 10^6 frames with 200 killed writers."""
    ours_us, plain_us = _latency(200 if full else 60, progress)
    ours_fps, queue_fps = _throughput(1000 if full else 200, progress)
    torn = _torn(*((1_000_000, 200) if full else (100_000, 20)), progress)
    return [
        Check("ring.latency_ratio", ours_us / plain_us, "ratio", "<= 1.3"),
        Check("ring.throughput_ratio", ours_fps / queue_fps, "ratio", ">= 10"),
        Check("ring.torn", torn.frames, "frames", "<= 0", note=torn.note),
        Check("ring.latency_us", ours_us, "us"),
        Check("ring.latency_plain_us", plain_us, "us"),
        Check("ring.throughput_fps", ours_fps, "frames/s"),
        Check("ring.queue_fps", queue_fps, "frames/s"),
    ]


def _frames() -> list[Frame]:
    generator = np.random.default_rng(_SEED)
    return [generator.integers(0, 256, _FRAME_BYTES, np.uint8) for _ in range(2)]


# ------------------------------------------------------------ latency


def _latency(rounds: int, progress: Progress) -> tuple[float, float]:
    """Microseconds from the copy's begin to the checksum's end, ours and plain: medians of 5 interleaved runs."""
    ring, plain, notes = create_ring("bench", 96, _SLOT_BYTES, 1), create_shared_frame(_FRAME_BYTES), Notes.create()
    groups: dict[str, Sequence[int]] = {"ring": ring.fds, "plain": plain.fds, "notes": (notes.memory, notes.event)}
    writer, plain_writer = RingWriter(ring), MemcpyWriter(plain, _FRAME_BYTES)
    frames, words = _frames(), notes.words()
    sums = [checksum(frame.data) for frame in frames]

    def timed(write: Callable[[Frame], object], turn: int) -> float:
        begin = time.monotonic_ns()
        write(frames[turn % 2])
        os.eventfd_read(notes.event)
        if words[1] != sums[turn % 2]:
            raise RuntimeError("the reader saw another frame")
        return float(words[0] - begin) / 1000

    def put(frame: Frame) -> None:
        writer.put(frame.data)

    medians: list[tuple[float, float]] = []
    with _peer("latency", groups, notes, str(_FRAME_BYTES)):
        for number in range(-1, _RUNS):
            pairs = [(timed(put, turn), timed(plain_writer.write, turn)) for turn in range(rounds)]
            if number >= 0:  # the first run warms both up
                medians.append((median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)))
                progress(f"latency, run {number + 1}: {medians[-1][0]:.0f} us, plain {medians[-1][1]:.0f} us")
    _close(ring.fds, plain.fds, (notes.memory, notes.event))
    return median(pair[0] for pair in medians), median(pair[1] for pair in medians)


# ------------------------------------------------------------ throughput


def _throughput(count: int, progress: Progress) -> tuple[float, float]:
    """Frames a second, ours and the queue's: medians of 5 runs, by turns."""
    ring, notes, frame = create_ring("bench", 96, _SLOT_BYTES, 1), Notes.create(), _frames()[0]
    writer, words = RingWriter(ring), notes.words()
    ours: list[float] = []
    queue: list[float] = []
    with _peer("throughput", {"ring": ring.fds, "notes": (notes.memory, notes.event)}, notes, str(count)):
        for number in range(_RUNS):
            begin = time.monotonic_ns()
            for _ in range(count):
                while writer.try_put(frame.data) is None:
                    time.sleep(0)
            os.eventfd_read(notes.event)
            ours.append(count / ((words[0] - begin) / 1e9))
            queue.append(QueueConsumer(4).frames_per_second(frame, max(50, count // 10)))
            progress(f"throughput, run {number + 1}: {ours[-1]:.0f} frames/s, queue {queue[-1]:.0f} frames/s")
    _close(ring.fds, (notes.memory, notes.event))
    return median(ours), median(queue)


# ------------------------------------------------------------ torn


@dataclass
class Torn:
    """What a reader found while its writers were killed."""

    read: int = 0
    frames: int = 0
    missed: int = 0
    kills: int = 0

    @property
    def note(self) -> str:
        """For people."""
        return f"{self.read} frames read, {self.missed} overwritten unread, {self.kills} writers killed"


def _torn(frames: int, kills: int, progress: Progress) -> Torn:
    """Read frames and look at every word of each, while one writer after the other is killed at a random moment."""
    ring, notes = create_ring("bench", _TORN_RING_SLOTS, 16 * KIB, 1), Notes.create()
    groups: dict[str, Sequence[int]] = {"ring": ring.fds, "notes": (notes.memory, notes.event)}
    reader, found, chance = RingReader(ring, 0), Torn(), random.Random(_SEED)
    while found.read < frames or found.kills < kills:
        lossless = found.kills % 2 == 0
        writer = launch("write", groups, str(_TORN_BYTES), "lossless" if lossless else "lossy")
        share = frames / kills
        try:
            _read(reader, found, found.read + round(share * chance.uniform(0.5, 1.5)))
            # Somewhere within the next few frames: a frame takes some 20 us.
            _read_until(reader, found, time.monotonic_ns() + chance.randrange(0, 400_000))
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        found.kills += 1
        progress(f"torn: {found.note}, {found.frames} torn")
    _close(ring.fds, (notes.memory, notes.event))
    return found


def _read(reader: RingReader, found: Torn, until: int) -> None:
    while found.read < until:
        _read_one(reader, found)


def _read_until(reader: RingReader, found: Torn, until_ns: int) -> None:
    while time.monotonic_ns() < until_ns:
        _read_one(reader, found)


def _read_one(reader: RingReader, found: Torn) -> None:
    """Take one frame, by turns copied and in place."""
    if found.read % 2:
        record: bytes | memoryview | Overwritten | None = reader.take()
        whole = True
    else:
        record = reader.view()
        whole = False
    if record is None:
        time.sleep(0)
    elif isinstance(record, Overwritten):
        found.missed += record.records
    else:
        words = np.frombuffer(record, np.uint64)
        good = bool((words == words[0]).all()) and len(record) == _TORN_BYTES
        if whole or reader.release():
            found.read += 1
            found.frames += not good


# ------------------------------------------------------------ the other process


@contextmanager
def _peer(role: str, groups: dict[str, Sequence[int]], notes: Notes, *arguments: str) -> Iterator[None]:
    """Another process that is ready to take frames; killed at the end."""
    peer = launch(role, groups, *arguments)
    try:
        os.eventfd_read(notes.event)
        yield
    finally:
        peer.kill()
        peer.wait()


def _close(*groups: tuple[int, ...]) -> None:
    for fd in (fd for group in groups for fd in group):
        os.close(fd)
