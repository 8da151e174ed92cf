"""HTTP/1.1 of uvicorn with limits on the time and the bytes that a client may take, and on how many there are."""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.doors.refusals import DRAIN_S, overfull_response, refusal_response

HEALTH_SPARE: Final = 32
"""Connections beyond the limit that are still heard: health and metrics are answered when nothing else is."""

_HASTY_DRAIN_S: Final = 1.0
"""How long one of too many clients is read on, so that it gets to read why it is turned away."""

_SPILL_BYTES: Final = 512 * 1024
"""What may still come of a request that was answered before all of it was there; then nobody reads any more."""


def descriptors_for(connections: int) -> int:
    """How many descriptors the doors may hold at once: those that are turned away are there for a moment too."""
    return 2 * connections + HEALTH_SPARE


class _HeadTooLarge(Exception):
    """Ends the parser's work on a request; the parser tells it as an error of its own."""


class BoundedHttp(HttpToolsProtocol):
    """Bounds what comes before a request is there: nobody has authorised that yet.

    A connection is closed whose client has begun a request, the first by connecting, and does not end its headers.
    Every connection counts from its first moment on, whatever it has said.
    """

    patience_s: ClassVar[float] = 10.0
    head_bytes: ClassVar[int] = 64 * 1024
    """Of a request's address, headers and trailers, and of what the parser has not made sense of yet."""
    most: ClassVar[int] = 1024
    """Connections; who comes when there are more, and the spare ones are taken too, is turned away unheard."""
    _waiting: asyncio.TimerHandle | None = None
    _head = 0
    _unread = 0
    _spilt = 0
    _parsed = False
    _refused = False

    def connection_made(self, transport: Any) -> None:
        """Start the clock, unless there are too many."""
        super().connection_made(transport)
        here = len(self.connections)
        if here <= self.most + HEALTH_SPARE:
            self._wait(self.patience_s)
        elif here <= descriptors_for(self.most):
            self._turn_away(overfull_response(), _HASTY_DRAIN_S)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; after a refusal nobody reads them."""
        if self._refused:
            self._spill(len(data))
            return
        self._parsed = False
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        self._unread = 0 if self._parsed else self._unread + len(data)
        if not self._refused and self._head + self._unread > self.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._is_idle() and self._waiting is None:
            self._wait(self.patience_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    # ------------------------------------------------------------ told by the parser

    def on_message_begin(self) -> None:
        """A request."""
        self._parsed, self._head = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or a trailer."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request is there."""
        self._parsed = True
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body: bounded by the guard."""
        self._parsed = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """An answer went out. Where its request has not come whole, the rest of it is in nobody's interest."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._turn_away(b"", DRAIN_S)

    def _spill(self, count: int) -> None:
        """Bytes that nobody wants: few are read on, so that the client gets to read its answer; then no more."""
        self._spilt += count
        if self._spilt > _SPILL_BYTES:
            self.transport.pause_reading()

    def _count(self, count: int) -> None:
        self._parsed = True
        self._head += count
        if self._head > self.head_bytes:
            raise _HeadTooLarge

    # ------------------------------------------------------------ the end

    def send_400_response(self, msg: str) -> None:
        """The parser makes no sense of what came, or it was too much."""
        too_large = self._head > self.head_bytes
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why, end our half of the connection, and wait for the client to end its own."""
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or not cycle.more_body:
                # A whole request came before this one: its answer goes out, and nothing behind it.
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self._turn_away(refusal_response(status), DRAIN_S)

    def _turn_away(self, response: bytes, drain_s: float) -> None:
        self._refused = True
        if response:
            self.transport.write(response)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._stop_waiting()
        self._wait(drain_s)

    def _is_idle(self) -> bool:
        """Whether nothing is being answered, and no clock for the next request runs."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.timeout_keep_alive_task is None

    def _wait(self, seconds: float) -> None:
        self._waiting = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
