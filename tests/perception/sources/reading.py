"""What the tests of sources share: an inbox that keeps what it is given, and readers run to an end or on a thread."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perception.messages import OpenStream, Packet, PushSource, SessionEnded, SessionStarted
from perception.sources.base import Media, Reader
from perception.sources.file import FileReader

SECOND = 1_000_000
PATIENCE_S = 5.0


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
