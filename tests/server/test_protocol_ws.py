"""A websocket's pings: who waits behind back-pressure stays, who does not read goes."""

import asyncio
import struct
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.doors import protocol_ws
from server.doors.protocol_ws import PING_EVERY_S, PONG_WITHIN_S, DrainingWebSocket

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Wire:
    """The transport as the protocol sees it."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.paused = self.closing = self.aborted = False

    def get_extra_info(self, name: str) -> None:
        return None

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Peer:
    """An accepted websocket, and what its two ends do."""

    def __init__(self, wire: Wire | None = None) -> None:
        self.take = asyncio.Event()
        self.ended: list[int] = []
        config = uvicorn.Config(
            self._app, ws_ping_interval=PING_EVERY_S, ws_ping_timeout=PONG_WITHIN_S, interface="asgi3", log_config=None
        )
        config.load()
        self.wire = wire or Wire()
        self.protocol = DrainingWebSocket(config, ServerState(), {})
        self.protocol.connection_made(self.wire)  # type: ignore[arg-type]
        self.protocol.data_received(HANDSHAKE)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await self.take.wait()
            self.take.clear()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.ended.append(message["code"])
                return

    async def accepted(self) -> "Peer":
        while not self.protocol.handshake_complete:
            await asyncio.sleep(0)
        return self

    async def takes_one(self) -> None:
        """The application takes a message."""
        self.take.set()
        while self.take.is_set() or self.wire.paused:
            await asyncio.sleep(0)

    def says(self, opcode: int, payload: bytes) -> None:
        head = bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4)
        self.protocol.data_received(head + payload)

    def pings(self) -> int:
        return self.wire.written.count(b"\x89\x04")


@pytest.fixture
async def peer() -> Any:
    made = await Peer().accepted()
    yield made
    made.protocol.connection_lost(None)


def test_together_the_clocks_keep_the_promise() -> None:
    assert PING_EVERY_S + PONG_WITHIN_S + 1 < 15
    assert DrainingWebSocket.patience_s + 1.5 < 15


async def test_a_sender_whose_pong_waits_behind_its_media_stays(peer: Peer) -> None:
    peer.says(2, b"first")
    peer.protocol.send_keepalive_ping()
    for _ in range(3):
        assert peer.wire.paused
        peer.protocol.keepalive_timeout()
    assert (peer.wire.closing, peer.pings()) == (False, 4)
    await peer.takes_one()
    peer.says(10, peer.protocol.pending_ping_payload or b"")
    assert peer.protocol.pong_timer is None
    assert peer.protocol.ping_timer is not None


async def test_a_sender_that_is_heard_stays(peer: Peer) -> None:
    peer.protocol.send_keepalive_ping()
    peer.protocol.data_received(bytes([0x82, 0xFE]))
    peer.protocol.keepalive_timeout()
    assert not peer.wire.closing


async def test_a_client_that_does_not_read_is_dropped_as_one_too_many(peer: Peer) -> None:
    peer.says(2, b"before")
    await peer.takes_one()
    peer.protocol.send_keepalive_ping()
    peer.protocol.keepalive_timeout()
    assert peer.wire.closing
    assert struct.pack("!H", 1013) in peer.wire.written
    assert peer.protocol.close_timer is not None, "what it does not take in a second is thrown away"
    peer.take.set()
    while not peer.ended:
        await asyncio.sleep(0)
    assert peer.ended == [1013]


class SlowWire(Wire):
    """A wire whose client has acknowledged so many bytes, and for which so many wait."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = self.waiting = 0

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def getsockname(self) -> None:
        return None

    getpeername = getsockname

    def setsockopt(self, *options: int) -> None:
        pass

    def getsockopt(self, *options: int) -> bytes:
        return bytes(120) + struct.pack("Q16xI", self.taken, self.waiting)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(protocol_ws, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(DrainingWebSocket, "patience_s", 0.05)
    made = await Peer(SlowWire()).accepted()
    yield made
    made.protocol.connection_lost(None)


async def test_who_takes_a_little_at_a_time_stays(slow: Any) -> None:
    slow.protocol.pause_writing()
    for _ in range(20):
        slow.wire.taken += 1
        await asyncio.sleep(0.01)
    slow.wire.waiting = 1
    slow.protocol.send_keepalive_ping()
    slow.wire.taken += 1
    slow.protocol.keepalive_timeout()
    assert not slow.wire.closing
    slow.protocol.resume_writing()
    await asyncio.sleep(0.1)
    assert not slow.wire.closing


async def test_who_takes_nothing_of_what_waits_is_dropped(slow: Any) -> None:
    slow.wire.waiting = 1
    slow.protocol.pause_writing()
    while not slow.wire.closing:
        await asyncio.sleep(0.01)
    assert struct.pack("!H", 1013) in slow.wire.written


async def test_what_was_taken_whole_is_no_excuse_for_silence(slow: Any) -> None:
    slow.protocol.send_keepalive_ping()
    slow.wire.taken += 6
    slow.protocol.keepalive_timeout()
    assert slow.wire.closing
