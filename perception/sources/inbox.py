"""Where source threads and the loop of perception's process meet: packets in from any thread, out in order."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

from perception.sources.base import Media

_AHEAD: Final = 32
"""Packets of a file that may lie in the inbox."""


class SourceInbox:
    """Where the source threads put what they read; the loop empties it. A file's thread waits here for its turn."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._records: deque[Media] = deque()
        self._room = threading.Condition()
        self._full: set[str] = set()
        self._ahead: dict[str, int] = {}

    def put(self, record: Media) -> None:
        """See `Inbox.put`."""
        with self._room:
            self._ahead[record.stream] = self._ahead.get(record.stream, 0) + 1
            self._records.append(record)
        os.eventfd_write(self._event, 1)

    def wait_for_room(self, stream: str, stop: threading.Event) -> None:
        """See `Inbox.wait_for_room`."""
        with self._room:
            while not stop.is_set() and (stream in self._full or self._ahead.get(stream, 0) > _AHEAD):
                self._room.wait(0.2)

    def wake(self) -> None:
        """Have the loop look at its stage again; from any thread."""
        os.eventfd_write(self._event, 1)

    def fileno(self) -> int:
        """Readable when something was put."""
        return self._event

    def drain(self) -> Iterator[Media]:
        """All that was put."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return
        with self._room:
            records, self._records = self._records, deque()
            self._ahead.clear()
            self._room.notify_all()
        yield from records

    def set_full(self, full: dict[str, bool]) -> None:
        """Which of these streams' files have to wait from now on, and which no more."""
        with self._room:
            self._full = {stream for stream in self._full | full.keys() if full.get(stream, True)}
            self._room.notify_all()
