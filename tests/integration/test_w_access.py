"""Bars W5, W6, W10, W11: who is let in from where, with which key, to what; and what a refusal gives away."""

import json
import re
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from raw import RawSocket, address
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.keys import KeyFile, Keys

pytestmark = pytest.mark.alone

KEY = "ol_bar-w6-K3y-that-nobody-guesses-0123456789"
OPEN = {"/livez", "/readyz"}
PUSH = {"push": True, "pace": "real"}
LEAKS = re.compile(r"0x[0-9a-f]{6,}|/home|/tmp|/work|/root|/usr|Traceback|File \"|memfd|/dev/shm|://[^/\s\"]*@|\.py\b")


@pytest.fixture(scope="module")
def guarded(_launcher: Any) -> Iterator[Any]:
    """A server that asks for a key, with one stream."""
    server = _launcher(OMNILIVE_API_KEY=KEY)
    with server.client(Authorization=f"Bearer {KEY}") as client:
        assert client.post("/v1/streams", json={"id": "cam", "source": PUSH}).status_code == 201
    yield server
    server.end()


def handshake(server: Any, path: str = "/v1/streams/cam/live", **headers: str) -> tuple[int, str]:
    """The status of a handshake, and the code of its refusal."""
    with RawSocket(server.url, path, **headers) as one:
        if one.status == 101:
            return 101, ""
        body = one._kept
        while not body.endswith(b"}}"):
            body += one.socket.recv(4096)
        return one.status, json.loads(body)["error"]["code"]


# ---------------------------------------------------------------- W5


def test_w5_a_foreign_page_opens_no_websocket(server: Any) -> None:
    with server.client() as client:
        client.post("/v1/streams", json={"id": "w5", "source": PUSH})
        own = server.url
        for origin, status in (
            ("https://evil.example", 403), ("null", 403), (f"{own}.evil.example", 403), ("http://127.0.0.1:1", 403),
            ("https" + own[4:], 101), (own, 101),
        ):  # fmt: skip
            assert handshake(server, "/v1/streams/w5/live", Origin=origin)[0] == status, origin
            asked = client.get("/v1/streams", headers={"Origin": origin}).status_code
            assert asked == (200 if status == 101 else status), origin
        assert handshake(server, "/v1/streams/w5/live") == (101, ""), "programs send none"
        assert handshake(server, "/v1/streams/w5/live", Host="evil.example") == (403, "origin_not_allowed")
        client.delete("/v1/streams/w5")


# ---------------------------------------------------------------- W6


def test_w6_only_the_key_itself_opens(guarded: Any) -> None:
    flipped = KEY[:-1] + chr(ord(KEY[-1]) ^ 1)
    for wrong in (flipped, KEY[:-1], KEY + "a", KEY.upper(), "ol_", "é"):
        with guarded.client() as client:
            began = time.monotonic()
            response = client.get("/v1/streams", headers={"Authorization": b"Bearer " + wrong.encode()})
            assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
            assert client.get(f"/v1/streams?key={KEY}&token={KEY}").status_code == 401, "never in a URL"
        if wrong.isascii():
            protocols = {"Sec_WebSocket_Protocol": f"omnilive.v1, omnilive.key.{wrong}"}
            assert handshake(guarded, **protocols) == (401, "invalid_api_key")
        assert time.monotonic() - began < 5
    assert handshake(guarded) == (401, "invalid_api_key")
    right = {"Sec_WebSocket_Protocol": f"omnilive.v1, omnilive.key.{KEY}"}
    assert handshake(guarded, **right) == (101, "")
    said = guarded.errors()
    assert KEY not in said
    assert flipped not in said


def test_w6_who_is_not_let_in_is_not_kept(guarded: Any) -> None:
    """A refused handshake ends its connection at once; nothing is left to hold open."""
    with RawSocket(guarded.url, "/v1/streams/cam/live") as one:
        assert one.status == 401
        one.socket.settimeout(5)
        while one.socket.recv(4096):
            pass


@pytest.mark.slow
def test_w6_the_time_says_nothing_of_how_much_was_right(tmp_path: Any) -> None:
    file = KeyFile(tmp_path)
    key = file.create("one")
    keys = Keys(file, None)
    times: dict[str, list[int]] = {key[:-1] + "!": [], "!" * len(key): []}
    for n in range(4000):
        wrong = list(times)[n % 2]
        began = time.perf_counter_ns()
        assert keys.find(wrong) is None
        times[wrong].append(time.perf_counter_ns() - began)
    near, far = (sorted(one)[:1800] for one in times.values())
    spread = statistics.stdev(near + far)
    assert abs(statistics.mean(near) - statistics.mean(far)) < 3 * spread


# ---------------------------------------------------------------- W10


def test_w10_every_route_wants_the_key(guarded: Any) -> None:
    with guarded.client(Authorization=f"Bearer {KEY}") as client:
        document = client.get("/openapi.json").json()
    checked = 0
    with guarded.client() as anyone:
        for path, operations in document["paths"].items():
            for method in operations:
                response = anyone.request(method, path.replace("{n}", "0").replace("{", "").replace("}", ""))
                assert response.status_code == (200 if path in OPEN else 401), f"{method} {path}"
                checked += 1
        for path in ("/docs", "/openapi.json", "/v1/chat/completions", "/v1/nothing", "/metrics/", "/livez//",
                     "/livez/x", "/LIVEZ", "/v1/streams/cam/live", "/%6civez/", "/readyz/../v1/streams"):  # fmt: skip
            assert anyone.get(path).status_code in (401, 404), path
            assert anyone.get(path).status_code == 401 or path.startswith(("/assets", "//")), path
    assert checked >= 18
    for path in ("/v1/streams/cam/live", "/v1/streams/none/live", "/v1/realtime", "/nothing"):
        assert handshake(guarded, path) == (401, "invalid_api_key"), "a websocket is no way round"


# ---------------------------------------------------------------- W11


def test_w11_no_refusal_gives_anything_away(guarded: Any, tmp_path: Any) -> None:
    """Every refusal that can be had from outside: the error object, nothing of paths, addresses, code or secrets."""
    json_type = {"Content-Type": "application/json"}
    with guarded.client(Authorization=f"Bearer {KEY}") as client:

        def post(path: str, content: Any) -> Any:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            return client.post(path, content=data, headers=json_type)

        streams, ask = "/v1/streams", "/v1/streams/cam/questions"
        responses = [
            post(streams, b"{"), post(streams, b"\xff\xfe"),
            post(streams, b'{"id": "\\ud800", "source": {"push": true}}'),
            post(streams, b"[" * 100_000), post(streams, b"1" * 10_000), post(streams, b" " * (2**20 + 1)),
            post(streams, {"id": "cam", "source": PUSH}), post(streams, {"id": "../x", "source": PUSH}),
            *(post(streams, {"id": "x", "source": {"url": url}}) for url in (
                "file:///etc/passwd", "http://user:pw@host/", "rtsp://u:secret@", "exec:id", f"file://{tmp_path}/a.mp4")),
            post(ask, {"question": ""}), post(ask, {"question": "x" * 17_000}), post(ask, {"question": "?", "n": 5}),
            post(ask, {"question": "?", "since": 5, "until": 4}), post(ask, {"question": "?", "since": "noon"}),
            post(ask, {"question": "?", "since": "9999-01-01T00:00:00Z"}), post(ask, {"question": "?"}),
            post(ask, {"question": "?", "max_tokens": 2**63}), post(ask, {"question": "?", "temperature": 1e308}),
            post("/v1/streams/cam/events/search", b"\xff\xd8\xff"),
            post("/v1/questions", {"question": "?", "streams": []}),
            client.get("/v1/streams/none"), client.get("/v1/streams/cam/events/e_none"), client.get("/nothing"),
            client.get("/v1/streams/cam/events?limit=0"), client.get("/v1/streams/cam/events?cursor=%00"),
            client.get("/v1/streams/..%2f..%2fetc"), client.get("/v1/questions/q_none/explain"), client.put(streams),
            client.get(streams, headers={"Origin": "https://e.example"}), client.get(streams, headers={"Host": "e"}),
            client.get(streams, headers={"Authorization": "Bearer x"}), client.delete("/v1/streams/cam/memory?since=x"),
        ]  # fmt: skip
    for response in responses:
        assert 400 <= response.status_code < 500, response.text
        assert set(response.json()["error"]) == {"type", "code", "message", "param"}
        assert not LEAKS.search(response.text), response.text
        assert response.json()["error"]["message"]
        assert "secret" not in response.text
    assert len({response.json()["error"]["code"] for response in responses}) >= 14
    for data in (
        b"\x16\x03\x01",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(address(guarded.url), 10) as one:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            assert not LEAKS.search(one.recv(65_536).decode("latin-1"))
    assert "Traceback" not in guarded.errors()


def test_w11_a_websocket_gives_nothing_away_either(server: Any) -> None:
    with server.client() as client:
        client.post("/v1/streams", json={"id": "w11", "source": PUSH})
    try:
        with connect(f"{server.ws}/v1/streams/w11/live") as live:
            for said in ("{", "[]", '"x"', "null", '{"type": 5}', '{"type": "ask"}', b"\xff\xd8\xff\x00", b"",
                         '{"type":"ask","id":"a","question":"\\u0000"}',
                         '{"type":"media","track":999,"codec":"x"}'):  # fmt: skip
                live.send(said)
                while (told := json.loads(live.recv(20)))["type"] != "error":
                    pass
                assert not LEAKS.search(json.dumps(told)), told
                assert set(told["error"]) == {"type", "code", "message", "param"}
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.ws}/v1/streams/none/live")
        assert not LEAKS.search(refused.value.response.body.decode())
    finally:
        with server.client() as client:
            client.delete("/v1/streams/w11")
