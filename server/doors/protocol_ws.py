"""Websockets that bear back-pressure, see their last word off, and refuse as everything here does."""

import socket
import struct
from asyncio import TimerHandle
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.server import ServerProtocol

from server.doors.refusals import DRAIN_S, refusal_body

PING_EVERY_S: Final = 5.0
PONG_WITHIN_S: Final = 6.0
"""Together well less than the 15 s after which a client that does not read is dropped."""

_LAST_WORD_S: Final = 1.0
"""How long what was said may take to leave this process, once the client is given up."""

_LOOK_EVERY_S: Final = 0.5
"""How often it is looked whether a client takes something of what waits for it."""

_UNSENT_BYTES: Final = 4 * 1024
"""What the kernel takes over ahead of the network: more would be old by the time that a slow client gets it."""

_OVERLOADED: Final = 1013
_NO_TEXT: Final = 1007

_TCP_INFO: Final = struct.Struct("120xQ16xI")
"""Of the kernel's struct tcp_info: tcpi_bytes_acked and tcpi_notsent_bytes."""


class _Connection(ServerProtocol):
    """Says in the error object why there is no websocket."""

    def reject(self, status: Any, text: str) -> Response:
        """The response that refuses a handshake."""
        response = super().reject(status, text)
        response.body = refusal_body(HTTPStatus(status))
        del response.headers["Content-Length"], response.headers["Content-Type"]
        response.headers.update({"Content-Length": str(len(response.body)), "Content-Type": "application/json"})
        return response


class DrainingWebSocket(WebSocketsSansIOProtocol):
    """Keeps next to nothing waiting for a slow client, and drops one that takes nothing at all.

    Reads on after it has refused a message, and throws away what comes.

    A socket that is closed on unread bytes is reset (RFC 9293, 3.6.1), and the reset can overtake the close frame:
    the client would never learn that its message was too big.
    """

    patience_s: ClassVar[float] = 6.0
    """How long a client may take nothing of what waits for it."""
    most_bytes: ClassVar[int] = 16 * 2**20
    """Of a client's message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Connection(max_size=self.most_bytes, logger=self.logger)
        self._heard = False
        self._taken = self._taken_at_ping = 0
        self._look: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Have what is sent wait here, where it is known how long."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody to wait for."""
        self._stop_looking()
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        """Returns when nothing of it waits here any more: who sends the newest next takes it only then."""
        await super().send(message)
        await self.writable.wait()

    def pause_writing(self) -> None:
        """Something waits for the client."""
        super().pause_writing()
        if self._look is None:
            self._taken, _ = self._progress()
            self._look_again(0.0)

    def resume_writing(self) -> None:
        """Nothing waits."""
        super().resume_writing()
        self._stop_looking()

    def _look_again(self, idle_s: float) -> None:
        self._look = self.loop.call_later(_LOOK_EVERY_S, self._look_after, idle_s + _LOOK_EVERY_S)

    def _look_after(self, idle_s: float) -> None:
        """idle_s: how long the client has taken nothing."""
        before, (self._taken, _) = self._taken, self._progress()
        if self._taken > before:
            self._look_again(0.0)
        elif idle_s < self.patience_s:
            self._look_again(idle_s)
        else:
            self._look = None
            self._drop()

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _is_slow(self) -> bool:
        """Whether the client has taken something since the last ping, and more waits for it."""
        taken, waiting = self._progress()
        return taken > self._taken_at_ping and (waiting > 0 or not self.writable.is_set())

    def _progress(self) -> tuple[int, int]:
        """What the client's machine has acknowledged in all, and what still waits in the kernel; in bytes."""
        connection = self.transport.get_extra_info("socket")
        if connection is None or self.transport.is_closing():
            return 0, 0
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        taken, waiting = _TCP_INFO.unpack(info)
        return int(taken), int(waiting)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; after a refusal nobody reads them."""
        self._heard = True
        if self.conn.parser_exc is not None:
            return
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self._refuse_handshake()

    def send_receive_event_to_app(self) -> None:
        """A whole message; a text that is none is the client's fault, and nothing for the log."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.fail(_NO_TEXT, "not UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def _refuse_handshake(self) -> None:
        """The request is none: its refusal waits in the connection, and no application was called."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def send_keepalive_ping(self) -> None:
        """Ask whether the client is there."""
        self._heard = False
        self._taken_at_ping, _ = self._progress()
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """No pong was read in time: the client is gone, unless it waits unread behind media that we do not take.

        Or it is slow, and the ping is behind what it still has to take. Then another ping asks: a machine that is gone
        does not acknowledge it, and the kernel ends the connection.
        """
        if self.close_sent or self.transport.is_closing():
            return
        if self.read_paused or self._heard or self._is_slow():
            self.send_keepalive_ping()
            return
        self._drop()

    def _drop(self) -> None:
        """Give up a client that does not read."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _OVERLOADED, "reason": "no pong"})
        self.conn.fail(_OVERLOADED, "the client does not read")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
        self.close_timer = self.loop.call_later(_LAST_WORD_S, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """Say why, end our half of the connection, and wait for the client to end its own."""
        closed = self.conn.close_sent
        if closed is None or self.close_sent:
            self.transport.close()
            return
        self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(DRAIN_S, self.transport.close)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
