"""What comes before a request is there: bounded in bytes and time, and refused in the shape of every error."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from server.doors import protocol_http
from server.doors.protocol_http import BoundedHttp
from server.doors.protocol_ws import DrainingWebSocket

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WEBSOCKET = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request; a path with `wait` only when its body is complete."""
    if scope["type"] == "http":
        while "wait" in scope["path"] and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(patience_s: float = 30.0) -> AsyncIterator[Connect]:
    class Protocol(BoundedHttp):
        pass

    Protocol.patience_s = patience_s
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=Protocol, ws=DrainingWebSocket, lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    writers = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    server.should_exit = True
    await task


async def said(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next response."""
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def refused(reader: asyncio.StreamReader, status: int, code: str) -> None:
    answer = await said(reader)
    assert (answer[0], answer[1]["content-type"], answer[1]["connection"]) == (status, "application/json", "close")
    error = json.loads(answer[2])["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert await asyncio.wait_for(reader.read(), 10) == b""


async def pour(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """More than any limit; the server may go meanwhile."""
    for _ in range(4 * BoundedHttp.head_bytes // len(piece)):
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize(
    "piece", [b"X-Long: " + b"a" * 1000 + b"\r\n", b"a" * 1000], ids=["many headers", "a header without end"]
)
async def test_headers_are_bounded(piece: bytes) -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD[:-2])
        await pour(writer, piece)
        await refused(reader, 431, "too_large")


@pytest.mark.parametrize("head", [b"GET /", b"", b"\r\n"], ids=["address", "method", "empty lines"])
async def test_what_comes_before_the_headers_is_bounded(head: bytes) -> None:
    async with serving() as connect:
        reader, writer = await connect()
        await pour(writer, head + b"a" * 1000 if head != b"\r\n" else head * 500)
        status, _, body = await said(reader)
        assert (status, "error" in json.loads(body)) in ((431, True), (400, True))


async def test_a_whole_request_with_too_many_headers_is_refused() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD[:-2] + b"A: b\r\n" * 20_000 + b"\r\n")
        await refused(reader, 431, "too_large")


async def test_a_long_address_is_refused_as_an_error_object() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD.replace(b"/ ", b"/" + b"a" * 70_000 + b" "))
        await refused(reader, 431, "too_large")


async def test_trailers_are_bounded_too() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD.replace(b"GET / ", b"POST /wait ")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        await pour(writer, b"X-Trail: " + b"a" * 1000 + b"\r\n")
        await refused(reader, 431, "too_large")


async def test_a_large_body_is_no_header() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(GOOD.replace(b"GET / ", b"POST /wait ")[:-2] + b"Content-Length: 1000000\r\n\r\n")
            writer.write(b"a" * 1_000_000)
            assert (await said(reader))[0] == 200


@pytest.mark.parametrize("malformed", [b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
async def test_what_is_no_http_is_refused_as_an_error_object(malformed: bytes) -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(malformed)
        await refused(reader, 400, "invalid_field")


async def test_an_answer_under_way_is_not_broken_by_what_comes_behind_its_request() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD + b"\x00nonsense")
        status, headers, body = await said(reader)
        assert (status, headers["connection"], body) == (200, "close", b"ok")
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_malformed_body_is_refused() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD.replace(b"GET / ", b"POST /wait ")[:-2] + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        await refused(reader, 400, "invalid_field")


@pytest.mark.parametrize("begun", [b"", b"G", GOOD[:-2]])
async def test_a_first_request_that_does_not_come_ends_the_connection(begun: bytes) -> None:
    async with serving(patience_s=0.05) as connect:
        reader, writer = await connect()
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize("begun", [b"G", b"\r\n", GOOD[:-2]])
async def test_a_later_request_that_is_begun_has_to_end(begun: bytes) -> None:
    async with serving(patience_s=0.05) as connect:
        reader, writer = await connect()
        writer.write(GOOD)
        assert (await said(reader))[0] == 200
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Sec-WebSocket-Version: 13\r\n", 400),
        (b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 12\r\n", 400),
        (b"A: b\r\n" * 500, 431),
        (b"A: " + b"b" * 20_000 + b"\r\n", 431),
    ],
    ids=["no key", "old version", "many headers", "a long header"],
)
async def test_a_handshake_that_is_none_is_refused_as_an_error_object(headers: bytes, status: int) -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(WEBSOCKET + headers + b"\r\n")
        await refused(reader, status, "invalid_field" if status == 400 else "too_large")


async def test_connections_count_before_they_say_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "most", 3)
    monkeypatch.setattr(protocol_http, "HEALTH_SPARE", 1)
    async with serving() as connect:
        heard = [await connect() for _ in range(4)]
        reader, _ = await connect()
        status, headers, body = await said(reader)
        assert (status, headers["retry-after"]) == (429, "1")
        assert json.loads(body)["error"]["code"] == "too_many_connections"
        assert await asyncio.wait_for(reader.read(), 10) == b""
        crowd = [await connect() for _ in range(8)]
        assert any([await asyncio.wait_for(ended(reader), 10) for reader, _ in crowd]), "beyond twice as many: no word"
        heard[0][1].write(GOOD)
        assert (await said(heard[0][0]))[0] == 200


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether a connection ends without a word."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_what_comes_behind_an_early_answer_is_read_no_further() -> None:
    async with serving() as connect:
        reader, writer = await connect()
        writer.write(GOOD.replace(b"GET / ", b"POST /early ")[:-2] + b"Content-Length: 1000000000\r\n\r\n")
        assert (await said(reader))[0] == 200
        assert await poured(writer) < 20 * 2**20, "what the kernel's buffers take, and little more"


async def poured(writer: asyncio.StreamWriter) -> int:
    """How many bytes can be sent before nobody takes any more."""
    sent = 0
    try:
        while sent < 10**9:
            writer.write(bytes(100_000))
            await asyncio.wait_for(writer.drain(), 1)
            sent += 100_000
    except (TimeoutError, ConnectionError):
        pass
    return sent
