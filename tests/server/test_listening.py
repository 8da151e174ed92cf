"""The doors with TLS: who encrypts gets in; who does not, or takes too long, is let go and keeps nobody waiting."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from server.doors.listening import Doors
from server.doors.protocol_http import BoundedHttp
from server.doors.protocol_ws import DrainingWebSocket
from server.tls import server_context

UPGRADE = (
    b"GET /pour HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says the scheme; into a websocket it pours, without end."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        pouring = asyncio.create_task(pour(send))
        while (await receive())["type"] != "websocket.disconnect":
            continue
        pouring.cancel()
        scope["ended"].set()
        return
    body = scope["scheme"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def pour(send: Any) -> None:
    """More than any buffer holds."""
    while True:
        await send({"type": "websocket.send", "bytes": bytes(2**16)})


Door = tuple[str, int]


@pytest.fixture(scope="module")
def pair(make_pair: Callable[..., Any]) -> Any:
    return make_pair()


@pytest.fixture
def ended() -> asyncio.Event:
    """Set when the application has lost a websocket."""
    return asyncio.Event()


@pytest.fixture
async def door(pair: Any, ended: asyncio.Event) -> AsyncIterator[Door]:
    """Open with TLS; a handshake may take half a second, and so may a pong."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "ended": ended}, receive, send)

    config = uvicorn.Config(
        told, http=BoundedHttp, ws=DrainingWebSocket, ws_ping_interval=0.5, ws_ping_timeout=0.5,
        lifespan="off", log_config=None, timeout_graceful_shutdown=1, interface="asgi3",
    )  # fmt: skip
    doors = Doors(config, server_context(pair.cert, pair.key), handshake_s=0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(doors.serve(sockets=[listener]))
    yield listener.getsockname()
    doors.should_exit = True
    await asyncio.wait_for(task, 10)


def client(pair: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair.cert))


async def answer(door: Door, context: ssl.SSLContext | None) -> bytes:
    reader, writer = await asyncio.open_connection(*door, ssl=context, limit=2**16)
    writer.write(GET)
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return said


async def test_a_request_over_tls(door: Door, pair: Any) -> None:
    said = await answer(door, client(pair))
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"\r\n\r\nhttps")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_versions_that_are_spoken(door: Door, pair: Any, version: ssl.TLSVersion) -> None:
    context = client(pair)
    context.minimum_version = context.maximum_version = version
    assert (await answer(door, context)).endswith(b"https")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
async def test_older_versions_are_refused(door: Door, pair: Any) -> None:
    context = client(pair)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await answer(door, context)


async def test_plain_text_gets_no_answer(door: Door) -> None:
    try:
        said = await answer(door, None)
    except ConnectionResetError:
        said = b""
    assert b"HTTP" not in said


async def test_who_does_not_read_is_dropped(door: Door, pair: Any, ended: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection(*door, ssl=client(pair), limit=2**10)
    writer.write(UPGRADE)
    await asyncio.wait_for(ended.wait(), 30)
    writer.transport.abort()


async def test_who_says_nothing_is_let_go_and_keeps_nobody_waiting(door: Door, pair: Any) -> None:
    reader, writer = await asyncio.open_connection(*door)
    assert (await answer(door, client(pair))).endswith(b"https")
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
