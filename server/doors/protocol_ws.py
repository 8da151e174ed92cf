"""Websockets that bear back-pressure, see their last word off, and refuse as everything here does."""

from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.server import ServerProtocol

from server.doors.refusals import DRAIN_S, refusal_body

PING_EVERY_S: Final = 6.0
PONG_WITHIN_S: Final = 7.0
"""Together less than the 15 s after which a client that does not read is dropped."""

_LAST_WORD_S: Final = 1.0
"""How long what was said may take to leave this process, once the client is given up."""

_OVERLOADED: Final = 1013


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
    """Reads on after it has refused a message, and throws away what comes.

    A socket that is closed on unread bytes is reset (RFC 9293, 3.6.1), and the reset can overtake the close frame:
    the client would never learn that its message was too big.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _Connection(max_size=self.config.ws_max_size, logger=self.logger)
        self._heard = False

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; after a refusal nobody reads them."""
        self._heard = True
        if self.conn.parser_exc is not None:
            return
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self._refuse_handshake()

    def _refuse_handshake(self) -> None:
        """The request is none: its refusal waits in the connection, and no application was called."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def send_keepalive_ping(self) -> None:
        """Ask whether the client is there."""
        self._heard = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """No pong was read in time: the client is gone, unless it waits unread behind media that we do not take.

        Then another ping asks: a machine that is gone does not acknowledge it, and the kernel ends the connection.
        """
        if self.close_sent or self.transport.is_closing():
            return
        if self.read_paused or self._heard:
            self.send_keepalive_ping()
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
