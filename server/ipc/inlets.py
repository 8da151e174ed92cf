"""Rings and the peer channel as a stage's loop sees them: something to wait for, something to write to."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from server.ipc.channel import Channel
from server.ipc.ring import Overwritten, RingReader, RingWriter
from server.ipc.warn import RateLimitedWarning

_BATCH = 64
"""Records taken from a ring in one turn of the loop, so that control messages get their turn."""

log = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()


class RingInlet:
    """Records of a ring, in order.

    on_overwritten: told how many records were missed. room: how many may be taken now; the others stay in the ring,
    whose bound is the queue's.
    """

    def __init__(
        self,
        reader: RingReader,
        records: Any,
        on_overwritten: Callable[[int], None],
        room: Callable[[], int] = lambda: _BATCH,
    ) -> None:
        self._reader = reader
        self._decoder = msgspec.msgpack.Decoder(records)
        self._on_overwritten = on_overwritten
        self._room = room
        # What lies in the ring from before this process came has had its wake-up.
        os.eventfd_write(reader.fileno(), 1)

    def fileno(self) -> int:
        """The ring's eventfd."""
        return self._reader.fileno()

    def drain(self) -> Iterator[Any]:
        """Up to a batch of records."""
        room = min(_BATCH, self._room())
        if room <= 0:
            return
        self._reader.clear_event()
        for _ in range(room):
            record = self._reader.take()
            if record is None:
                return
            if isinstance(record, Overwritten):
                self._on_overwritten(record.records)
            else:
                yield self._decoder.decode(record)
        os.eventfd_write(self._reader.fileno(), 1)


class PeerLink:
    """The channel between memory and reasoning: inlet and outlet in one. `kinds` go to the peer."""

    def __init__(self, channel: Channel, kinds: tuple[type, ...]) -> None:
        self._channel = channel
        self._kinds = kinds
        self._lost = RateLimitedWarning(log, "the peer stage does not read: %d messages lost")
        channel.discard()

    def fileno(self) -> int:
        """The socket."""
        return self._channel.fileno()

    def drain(self) -> Iterable[Any]:
        """All messages there are. The parent keeps both ends open, so that this one never closes."""
        return self._channel.receive()

    def offer(self, message: Any) -> bool:
        """Take what is for the peer."""
        if not isinstance(message, self._kinds) or not isinstance(message, msgspec.Struct):
            return False
        if not self._channel.send(message):
            self._lost()
        return True

    def flush(self) -> None:
        """Send on what waits."""
        self._channel.flush()

    @property
    def waiting(self) -> bool:
        """Whether something waits."""
        return self._channel.wants_write

    @property
    def blocked(self) -> bool:
        """A peer that does not read never stops this stage."""
        return False


class RingOutlet:
    """Records of some kinds into a ring that has a reader who must get all of them.

    Where the ring is full they wait here. on_full is asked what to give up when `limit` of them wait: it may remove
    from and add to the queue; where it leaves it as long as it was, the stage has to wait (`blocked`).
    """

    def __init__(
        self,
        writer: RingWriter,
        kinds: tuple[type, ...],
        limit: int,
        on_full: Callable[[deque[Any]], None],
    ) -> None:
        self._writer = writer
        self._kinds = kinds
        self._limit = limit
        self._on_full = on_full
        self._waiting: deque[Any] = deque()

    def offer(self, message: Any) -> bool:
        """Take a record of this ring's kinds."""
        if not isinstance(message, self._kinds):
            return False
        self._waiting.append(message)
        self.flush()
        if len(self._waiting) > self._limit:
            self._on_full(self._waiting)
        return True

    def flush(self) -> None:
        """Write as far as the ring has room."""
        while self._waiting and self._writer.try_put(_encoder.encode(self._waiting[0])) is not None:
            self._waiting.popleft()

    @property
    def waiting(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    @property
    def blocked(self) -> bool:
        """Whether the stage should wait for room."""
        return len(self._waiting) > self._limit
