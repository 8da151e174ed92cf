"""Typed messages between two processes, in order: small ones in a socket packet, large ones in a ring beside it."""

import contextlib
import selectors
import socket
from collections import deque
from typing import Any, Final

import msgspec

from server.ipc.messages import Spill
from server.ipc.ring import RingReader, RingWriter

_INLINE_BYTES: Final = 32 * 1024
_PACKET_BYTES: Final = 64 * 1024
_SOCKET_BUFFER: Final = 1024 * 1024

_encoder = msgspec.msgpack.Encoder()


class ChannelClosed(ConnectionError):
    """The other end is gone."""


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends that keep message borders: a kill in the middle of a message leaves none of it."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    return ends


class Channel:
    """One end. Never blocks: what the socket does not take waits in a bounded outbox until `flush`.

    incoming: the union of messages that may come. limit, limit_bytes: how much may wait before `send` refuses.
    """

    def __init__(
        self,
        end: socket.socket,
        incoming: Any,
        spill_out: RingWriter,
        spill_in: RingReader,
        limit: int = 4096,
        limit_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._socket = end
        self._decoder = msgspec.msgpack.Decoder(incoming | Spill)
        self._spill_out = spill_out
        self._spill_in = spill_in
        self._outbox: deque[bytes] = deque()
        self._limit, self._limit_bytes = limit, limit_bytes
        self._waiting_bytes = 0

    def fileno(self) -> int:
        """The socket, for a selector."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether `flush` has something to do once the socket is writable or the ring has room."""
        return bool(self._outbox)

    @property
    def crowded(self) -> bool:
        """Whether so much waits that a sender who can wait should."""
        return len(self._outbox) > self._limit // 2 or self._waiting_bytes > self._limit_bytes // 2

    def send(self, message: msgspec.Struct) -> bool:
        """Send or queue a message. False: too many wait already, or it is too large. Raises ChannelClosed."""
        encoded = _encoder.encode(message)
        if len(encoded) > self._spill_out.max_record_bytes:
            return False
        if len(self._outbox) >= self._limit or self._waiting_bytes + len(encoded) > self._limit_bytes:
            return False
        self._outbox.append(encoded)
        self._waiting_bytes += len(encoded)
        self.flush()
        return True

    def flush(self) -> None:
        """Send what waits, as far as it goes now. Raises ChannelClosed."""
        while self._outbox:
            packet = self._packet(self._outbox[0])
            if packet is None:
                return
            try:
                self._socket.send(packet)
            except BlockingIOError:
                # A message that has gone into the ring is not put there again.
                self._waiting_bytes -= len(self._outbox[0]) - len(packet)
                self._outbox[0] = packet
                return
            except (BrokenPipeError, ConnectionError) as error:
                raise ChannelClosed from error
            self._waiting_bytes -= len(self._outbox.popleft())

    def _packet(self, encoded: bytes) -> bytes | None:
        """What goes into the socket; None: the ring has no room yet."""
        if len(encoded) <= _INLINE_BYTES:
            return encoded
        slot = self._spill_out.try_put(encoded)
        return None if slot is None else _encoder.encode(Spill(slot))

    def receive(self) -> list[Any]:
        """All messages that have come. Raises ChannelClosed when the other end is gone and nothing is left."""
        messages: list[Any] = []
        while True:
            try:
                packet = self._socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                return messages
            except ConnectionError:
                packet = b""
            if not packet:
                if messages:
                    return messages
                raise ChannelClosed
            message = self._decoder.decode(packet)
            if isinstance(message, Spill):
                record = self._spill_in.take_at(message.slot)
                if record is None:
                    raise ChannelClosed("a spilled message was overwritten")
                message = self._decoder.decode(record)
            messages.append(message)

    def discard(self) -> None:
        """Throw away what was sent to a predecessor of this process."""
        with contextlib.suppress(ChannelClosed):
            while self.receive():
                pass
        self.discard_spills()

    def discard_spills(self) -> None:
        """Throw away the large messages that a predecessor of this process has not read."""
        self._spill_in.skip_all()

    def wait(self, timeout_s: float) -> bool:
        """Block until something comes; for a child that has nothing else to listen to. False: nothing came."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(timeout_s))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
