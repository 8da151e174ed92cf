"""The other process of the ring benchmarks: `python -m evaluation.micro.ring_peer ROLE FDS`, FDS as JSON.

It writes what it found into a page of shared words and rings an eventfd.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.ipc.memory_file import create_memory_file, map_memory_file
from server.ipc.ring import Overwritten, RingFiles, RingReader, RingWriter

WORDS_BYTES = 4096
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Notes:
    """A page of words that both processes see, and an eventfd by which the peer says that they are new."""

    memory: int
    event: int

    @classmethod
    def create(cls) -> "Notes":
        """An empty page."""
        return cls(create_memory_file("bench-notes", WORDS_BYTES), os.eventfd(0))

    def words(self) -> memoryview:
        """The page."""
        return memoryview(map_memory_file(self.memory)).cast("Q")


def launch(role: str, groups: dict[str, Sequence[int]], *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a peer that inherits these descriptors."""
    fds = [fd for group in groups.values() for fd in group]
    given = json.dumps({name: list(group) for name, group in groups.items()})
    command = [sys.executable, "-m", "evaluation.micro.ring_peer", role, given, *arguments]
    return subprocess.Popen(command, pass_fds=fds, cwd=_REPOSITORY)


def checksum(frame: "memoryview | bytes") -> int:
    """Of every byte: as fast as memory allows, so that the transport's share of the time is as large as can be."""
    import numpy as np

    return int(np.add.reduce(np.frombuffer(frame, np.uint64)))


def answer_latency(groups: dict[str, list[int]], size: int) -> None:
    """Take frames by turns from the ring and from the bare shared memory; note when each checksum was done."""
    from evaluation.baselines.ring_memcpy import MemcpyReader, SharedFrame

    reader = RingReader(_ring(groups), 0)
    plain = MemcpyReader(SharedFrame(*groups["plain"]), size)
    notes = Notes(*groups["notes"])
    words = notes.words()
    os.eventfd_write(notes.event, 1)
    while True:
        total = _ring_checksum(reader)
        _note(notes, words, time.monotonic_ns(), total)
        total = checksum(plain.wait().data)
        _note(notes, words, time.monotonic_ns(), total)


def _ring_checksum(reader: RingReader) -> int:
    while True:
        view = reader.view()
        if view is None:
            select.select([reader], [], [])
            reader.clear_event()
            continue
        if isinstance(view, memoryview):
            total = checksum(view)
            if reader.release():
                return total


def answer_throughput(groups: dict[str, list[int]], count: int) -> None:
    """Take `count` frames in place, without looking at their bytes; note when the last one was there."""
    reader, notes = RingReader(_ring(groups), 0), Notes(*groups["notes"])
    words = notes.words()
    os.eventfd_write(notes.event, 1)
    while True:
        taken = 0
        while taken < count:
            view = reader.view()
            if view is None:
                select.select([reader], [], [])
                reader.clear_event()
            elif isinstance(view, Overwritten):
                raise RuntimeError("a lossless reader was lapped")
            else:
                taken += reader.release()
        _note(notes, words, time.monotonic_ns(), taken)


def write_for_ever(groups: dict[str, list[int]], size: int, lossless: bool) -> None:
    """Write frames that tell when they are torn: every word of a frame is its number. Ends by being killed."""
    writer = RingWriter(_ring(groups))
    words = Notes(*groups["notes"]).words()
    number = words[0]
    while True:
        number += 1
        words[0] = number
        frame = number.to_bytes(8, "little") * (size // 8)
        if not lossless:
            writer.put(frame)
            continue
        while writer.try_put(frame) is None:
            time.sleep(0)


def _note(notes: Notes, words: memoryview, *values: int) -> None:
    for index, value in enumerate(values):
        words[index] = value
    os.eventfd_write(notes.event, 1)


def _ring(groups: dict[str, list[int]]) -> RingFiles:
    memory, *events = groups["ring"]
    return RingFiles(memory, tuple(events))


def main() -> None:
    """Play a role until killed."""
    role, given, *arguments = sys.argv[1:]
    groups: dict[str, list[int]] = json.loads(given)
    match role:
        case "latency":
            answer_latency(groups, int(arguments[0]))
        case "throughput":
            answer_throughput(groups, int(arguments[0]))
        case "write":
            write_for_ever(groups, int(arguments[0]), arguments[1] == "lossless")


if __name__ == "__main__":
    main()
