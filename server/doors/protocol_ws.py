"""Websockets that see their last word off."""

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_DRAIN_S: Final = 5.0


class DrainingWebSocket(WebSocketsSansIOProtocol):
    """Reads on after it has refused a message, and throws away what comes.

    A socket that is closed on unread bytes is reset (RFC 9293, 3.6.1), and the reset can overtake the close frame:
    the client would never learn that its message was too big.
    """

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; after a refusal nobody reads them."""
        if self.conn.parser_exc is None:
            super().data_received(data)

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
        self.close_timer = self.loop.call_later(_DRAIN_S, self.transport.close)
