"""Bars W3, W4, W7, W8, W9: messages and bodies too big, frames that are none, who says nothing, too many who come."""

import json
import select
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest
from raw import BINARY, CLOSE, PING, TEXT, RawSocket, address, frame

pytestmark = pytest.mark.alone

LIMIT = 16 * 2**20
BODY = 2**20
SPARE = 32
PUSH = {"push": True, "pace": "real"}


@pytest.fixture
def cam(server: Any) -> Iterator[str]:
    """The path of a push stream's websocket."""
    with server.client() as client:
        assert client.post("/v1/streams", json={"id": "hostile", "source": PUSH}).status_code == 201
        yield "/v1/streams/hostile/live"
        assert client.delete("/v1/streams/hostile").status_code == 204


def answers(server: Any) -> None:
    """The server does as before: no process was lost, a good request is answered."""
    with server.client() as client:
        assert client.get("/v1/streams").status_code == 200
    assert {one["state"] for one in server.stages().values()} == {"ready"}


def pour(one: RawSocket, *pieces: bytes) -> None:
    """Send, whether or not anybody still listens."""
    for piece in pieces:
        try:
            one.send(piece)
        except OSError:
            return


# ---------------------------------------------------------------- W3


def test_w3_a_message_too_big_is_refused_before_it_is_there(server: Any, cam: str) -> None:
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    with RawSocket(server.url, cam) as one:
        # The head alone is enough: a gigabyte is announced, none of it comes.
        one.send(bytes([0x80 | TEXT, 0xFF]) + struct.pack("!Q", 2**30) + bytes(4))
        assert one.closed() == 1009
    with RawSocket(server.url, cam) as one:
        pour(one, frame(BINARY, bytes(LIMIT + 1)))
        assert one.closed() == 1009
    with RawSocket(server.url, cam) as one:
        piece = bytes(2**20)
        pour(one, frame(BINARY, piece, fin=False), *[frame(0, piece, fin=False)] * 16)
        assert one.closed() == 1009
    assert process.memory_info().rss - before <= 2 * LIMIT
    answers(server)


def test_w3_a_message_of_the_limit_is_taken_and_so_are_ten_thousand_pieces(server: Any, cam: str) -> None:
    with RawSocket(server.url, cam) as one:
        one.send(frame(BINARY, b"\xff\xd8\xff" + bytes(LIMIT - 3)))
        assert one.message("error")["error"]["code"] == "invalid_image"
        one.send(frame(TEXT, b"{", fin=False), *[frame(0, b" ", fin=False)] * 10_000, frame(0, b""))
        assert one.message("error")["error"]["code"] == "invalid_json"
    answers(server)


def test_w3_nothing_is_inflated(server: Any, cam: str) -> None:
    """Deflate is offered and not taken up: a small message stays a small one."""
    with RawSocket(server.url, cam, Sec_WebSocket_Extensions="permessage-deflate") as one:
        assert "permessage-deflate" not in one.said.lower()
        pour(one, frame(TEXT, zlib.compress(bytes(2**24)), rsv=4))
        assert one.closed() == 1002


# ---------------------------------------------------------------- W4

HUGE = struct.pack("!Q", 2**63)
VIOLATIONS = {
    "unmasked": (frame(TEXT, b"{}", masked=False), {1002}),
    **{f"rsv {bits}": (frame(TEXT, b"{}", rsv=bits), {1002}) for bits in range(1, 8)},
    **{f"opcode {code}": (frame(code, b"x"), {1002}) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"fragmented {code}": (frame(code, b"", fin=False), {1002}) for code in (CLOSE, PING, 10)},
    **{f"long {code}": (frame(code, bytes(126)), {1002}) for code in (CLOSE, PING, 10)},
    "continuation of nothing": (frame(0, b"x"), {1002}),
    "continuation of nothing, more to come": (frame(0, b"x", fin=False), {1002}),
    "a message in a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), {1002}),
    "other kind in a message": (frame(BINARY, b"{", fin=False) + frame(TEXT, b"}"), {1002}),
    "no utf-8": (frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"), {1007}),
    "no utf-8 over pieces": (frame(TEXT, b"\xf4\x90", fin=False) + frame(0, b"\x80\x80"), {1007}),
    "utf-8 that is cut off": (frame(TEXT, b"\xe2\x82"), {1007}),
    "no utf-8 in a close": (frame(CLOSE, b"\x03\xe8\xff\xfe"), {1002, 1007}),
    "half a close code": (frame(CLOSE, b"\x03"), {1002}),
    **{
        f"close code {code}": (frame(CLOSE, struct.pack("!H", code)), {1002})
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)
    },
    "2^63 bytes": (bytes([0x82, 0xFF]) + HUGE + bytes(4), {1002, 1009}),
    "control frame of 2^63": (bytes([0x89, 0xFF]) + HUGE + bytes(4), {1002, 1009}),
}


def test_w4_what_breaks_the_protocol_ends_the_connection_with_its_code(server: Any, cam: str) -> None:
    assert len(VIOLATIONS) >= 40
    wrong = {}
    for name, (data, codes) in VIOLATIONS.items():
        with RawSocket(server.url, cam) as one:
            pour(one, data)
            code = one.closed()
        if code not in codes:
            wrong[name] = code
    assert wrong == {}
    assert "Traceback" not in server.errors()
    answers(server)


def test_w4_what_keeps_to_the_protocol_is_borne(server: Any, cam: str) -> None:
    with RawSocket(server.url, cam) as one:
        one.send(*[frame(PING, b"%d" % n) for n in range(2000)])
        one.send(frame(10, b"unasked"), frame(TEXT, b"{", fin=False), frame(PING, b"between"), frame(0, b""))
        one.send(frame(BINARY, b"", fin=False), *[frame(0, b"", fin=False)] * 5000, frame(0, b""))
        assert one.message("error")["error"]["code"] == "invalid_json"
        assert one.message("error")["error"]["code"] == "invalid_image"
        one.send(frame(CLOSE, struct.pack("!H", 1000)))
        assert one.closed() == 1000
    with RawSocket(server.url, cam) as one:
        one.say(type="subscribe", topics=["frames"])
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    answers(server)


# ---------------------------------------------------------------- W7


def test_w7_who_says_nothing_or_little_is_gone_and_the_others_are_served(server: Any) -> None:
    head = b"POST /v1/streams HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with ExitStack() as held, server.client() as client:
        slow: list[socket.socket] = []
        for begun, count in ((b"", 500), (head, 100), (head + b'Content-Length: 100\r\n\r\n{"id":', 50)):
            for _ in range(count):
                one = held.enter_context(socket.create_connection(address(server.url), 10))
                one.sendall(begun)
                slow.append(one)
        began = time.monotonic()
        drips, left = 0, {one.fileno(): one for one in slow}
        while left and time.monotonic() - began < 14:
            assert client.get("/v1/streams").status_code == 200, "the others are served all the time"
            for one in slow[500:600]:
                drips += drip(one) if one.fileno() in left else 0
            left = {key: one for key, one in left.items() if not is_over(one)}
            time.sleep(0.2)
        assert left == {}, f"{len(left)} are still there"
        assert drips > 500


def drip(one: socket.socket) -> bool:
    """One more byte of headers that never end."""
    try:
        return one.send(b"a") == 1
    except OSError:
        return False


def is_over(one: socket.socket) -> bool:
    """Whether the server has ended a connection; what it says before is read."""
    try:
        while select.select([one], [], [], 0)[0]:
            if not one.recv(4096):
                return True
    except OSError:
        return True
    return False


# ---------------------------------------------------------------- W8


def test_w8_a_body_too_big_is_read_little_further_than_the_limit(server: Any) -> None:
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    announced = b"Content-Length: %d\r\n\r\n" % (200 * 2**20)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    for length, piece in ((announced, bytes(2**16)), (chunked, b"10000\r\n" + bytes(2**16) + b"\r\n")):
        status, sent = poured(server, length, piece)
        assert status == 413
        # The kernel's buffers on both ends take some megabytes that the server never sees.
        assert sent <= BODY + 16 * 2**20
        assert process.memory_info().rss - before <= 3 * BODY + 2**20
    answers(server)


def poured(server: Any, length: bytes, piece: bytes) -> tuple[int, int]:
    """What is answered to a body without end, and how much of it could be sent before nobody took any more."""
    head = b"POST /v1/streams HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + length
    with socket.create_connection(address(server.url), 10) as one:
        one.sendall(head)
        one.settimeout(1)
        sent = 0
        try:
            while sent < 200 * 2**20:
                sent += one.send(piece)
        except OSError:
            pass
        one.settimeout(10)
        return int(one.recv(4096).split()[1]), sent


def test_w8_json_that_is_deep_or_dense_is_refused(server: Any) -> None:
    deep, dense = b"[" * 10**6, b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}"
    with server.client() as client:
        for content, status in ((deep, 400), (deep + b"]" * 10**6, 413), (dense, 400), (b'{"a":' * 200_000, 400)):
            response = client.post("/v1/streams", content=content, headers={"Content-Type": "application/json"})
            assert response.status_code == status, response.text
    answers(server)


# ---------------------------------------------------------------- W9


def test_w9_the_number_of_connections_is_held(launch: Any) -> None:
    """A hundred are allowed here, so that a flood is no more than a few hundred."""
    most = 100
    server = launch(OMNILIVE_LIMITS__CONNECTIONS=str(most))
    with server.client() as client, ExitStack() as held:
        client.post("/v1/streams", json={"id": "cam", "source": PUSH})
        process, idle = psutil.Process(server.pid), []
        before = process.memory_info().rss
        for _ in range(most - 1):
            idle.append(held.enter_context(RawSocket(server.url, "/v1/streams/cam/live")))
            idle[-1].message("state")
        assert process.memory_info().rss - before <= most * 100 * 1024 + 2 * 2**20
        refused = [RawSocket(server.url, "/v1/streams/cam/live") for _ in range(5)]
        assert {one.status for one in refused} == {429}
        crowd = [held.enter_context(socket.create_connection(address(server.url), 10)) for _ in range(3 * most)]
        told = [one.recv(4096) for one in crowd[SPARE:most]]
        assert all(b" 429 " in one and b"too_many_connections" in one for one in told)
        assert client.get("/livez").status_code == 200
        assert client.get("/v1/streams").status_code == 429
        assert process.num_fds() <= 2 * most + SPARE + 100
        for one in idle[:10]:
            one.say(type="cancel", id="x")
            assert one.message("error")["error"]["code"] == "question_not_found"
    with server.client() as client:
        deadline = time.monotonic() + 12
        while client.get("/v1/streams").status_code != 200:
            assert time.monotonic() < deadline, "it lets nobody in again"
            time.sleep(0.2)


@pytest.mark.slow
def test_w9_two_thousand_connections(server: Any) -> None:
    with ExitStack() as held:
        crowd = [held.enter_context(socket.create_connection(address(server.url), 10)) for _ in range(2000)]
        told = [one.recv(4096) for one in crowd[1024 + SPARE + 5 :]]
        assert all(json.loads(one.split(b"\r\n\r\n")[1])["error"]["code"] == "too_many_connections" for one in told)
        assert httpx.get(f"{server.url}/livez").status_code in (200, 429)
    answers(server)
