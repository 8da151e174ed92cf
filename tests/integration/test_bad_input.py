"""Bad input at the doors of a real server: a typed error at once, nothing lost, no other stream touched."""

import io
import json
import struct
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PUSH = {"push": True, "pace": "real"}
AT_ONCE_S = 5.0
"""A generous 'at once', for a machine that does something else besides."""


def jpeg(size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(out, "JPEG")
    return out.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A small file that says it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2**16))) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def witness(server: Any, make_clip: Any, until: Any) -> Iterator[None]:
    """A stream beside, that nothing of this touches: its events and its processes are the same in the end."""
    with server.client() as client:
        body = {"id": "witness", "source": {"url": make_clip().as_uri(), "pace": "fast"}}
        assert client.post("/v1/streams", json=body).status_code == 201
        until(lambda: client.get("/v1/streams/witness").json()["state"] == "ended", 60)
        before = client.get("/v1/streams/witness/events").json()
        assert before["events"]
        restarts = {name: one["restarts"] for name, one in server.stages().items()}
        yield
        assert client.get("/v1/streams/witness/events").json() == before
        assert {name: one["restarts"] for name, one in server.stages().items()} == restarts
        client.delete("/v1/streams/witness")


@pytest.fixture
def bad(server: Any, witness: None) -> Iterator[Any]:
    """A push stream without a frame, and its websocket."""
    with server.client() as client:
        assert client.post("/v1/streams", json={"id": "bad", "source": PUSH}).status_code == 201
        try:
            with connect(f"{server.ws}/v1/streams/bad/live", max_size=None) as live:
                yield live
        finally:
            client.delete("/v1/streams/bad")


def told(live: Any) -> tuple[str, str | None]:
    """The next error: its code, and whose it is."""
    while True:
        message = json.loads(live.recv(AT_ONCE_S))
        if message["type"] == "error":
            assert set(message["error"]) == {"type", "code", "message", "param"}
            return message["error"]["code"], message["id"]


def said(live: Any, message: Any) -> tuple[str, str | None]:
    live.send(message if isinstance(message, str | bytes) else json.dumps(message))
    return told(live)


# ---------------------------------------------------------------- messages and questions


def test_messages_that_are_none_of_ours(bad: Any) -> None:
    ask = {"type": "ask", "id": "q"}
    for message, code, whose in (
        ("{", "invalid_json", None), ("", "invalid_json", None), ("[1]", "invalid_field", None),
        ({"type": "fly"}, "invalid_field", None), ({"id": "q"}, "invalid_field", "q"),
        ({"type": 7}, "invalid_field", None),
        (json.dumps(ask | {"question": "?"}).encode(), "invalid_image", None), (b"", "invalid_image", None),
        (ask, "invalid_field", "q"), (ask | {"question": ""}, "invalid_field", "q"),
        (ask | {"question": " \n"}, "invalid_field", "q"), (ask | {"question": 5}, "invalid_field", "q"),
        (ask | {"question": "x" * (16 * 2**10 + 1)}, "too_large", "q"),
        (ask | {"question": "x" * 10_000_000}, "too_large", None),
        (ask | {"question": "?"}, "no_frames_yet", "q"), (ask | {"question": "?", "more": 1}, "invalid_field", "q"),
        ({"type": "cancel", "id": "q"}, "question_not_found", "q"),
        ({"type": "subscribe", "topics": ["all"]}, "invalid_field", None),
        ({"type": "media", "track": 0, "codec": "divx"}, "codec_not_supported", None),
        ({"type": "media", "track": -1, "codec": "h264"}, "invalid_field", None),
    ):  # fmt: skip
        assert said(bad, message) == (code, whose), str(message)[:80]


def test_times_that_are_none(bad: Any, until: Any, server: Any) -> None:
    bad.send(jpeg())
    with server.client() as client:
        until(lambda: client.get("/v1/streams/bad").json()["last_frame"], 20)
    ask = {"type": "ask", "id": "t", "question": "?"}
    for since, until_, code in (
        ("9999-01-01T00:00:00Z", None, "time_in_future"), (10**9, None, "time_in_future"),
        ("noon", None, "invalid_time"),
        (3, 2, "invalid_time_range"), (-5, None, "invalid_time"), ([], None, "invalid_field"),
    ):  # fmt: skip
        assert said(bad, ask | {"since": since, "until": until_}) == (code, "t"), since


def test_unknown_streams_and_bad_keys(server: Any, bad: Any) -> None:
    with server.client() as client:
        for path in ("none", "..%2fwitness", "%00", "a" * 65, "é"):
            response = client.post(f"/v1/streams/{path}/questions", json={"question": "?"})
            assert response.status_code == 404, path
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{server.ws}/v1/streams/{path.replace('é', '%C3%A9')}/live")
            assert refused.value.response.status_code == 404


def test_a_question_of_ten_megabytes(server: Any, bad: Any) -> None:
    with server.client() as client:
        response = client.post("/v1/streams/bad/questions", json={"question": "x" * 10_000_000})
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def listen(live: Any) -> None:
    while True:
        live.recv(AT_ONCE_S)


def test_too_many_bad_messages_end_it(bad: Any) -> None:
    for _ in range(99):
        assert said(bad, "{")[0] == "invalid_json"
    bad.send("{")
    with pytest.raises(ConnectionClosed) as closed:
        listen(bad)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


# ---------------------------------------------------------------- pictures and files


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (png_of(16_384, 16_384), "image_too_large"), (png_of(2**31 - 1, 2**31 - 1), "image_too_large"),
        (png_of(0, 0), "invalid_image"), (png_of(0, 16_384), "invalid_image"), (jpeg()[:200], "invalid_image"),
        (jpeg()[:2], "invalid_image"), (b"GIF89a" + bytes(100), "invalid_image"), (b"<svg/>", "invalid_image"),
        (b"\xff\xd8\xff" + bytes(1000), "invalid_image"), (b"RIFF\xff\xff\xff\xffWEBPVP8 ", "invalid_image"),
    ],
    ids=["bomb", "giant", "0x0", "0 wide", "cut off", "two bytes", "gif", "svg", "zeros", "webp of nothing"],
)  # fmt: skip
def test_pictures_that_are_none(server: Any, bad: Any, picture: bytes, code: str) -> None:
    assert said(bad, picture)[0] == code
    assert said(bad, {"type": "media", "track": 1, "codec": "png"} | {"rate": 1})[0] == "invalid_field"
    with server.client() as client:
        searched = client.post("/v1/streams/witness/events/search", content=picture)
    assert searched.json()["error"]["code"] == code


def test_h264_that_is_none_harms_nobody(server: Any, bad: Any, until: Any) -> None:
    """What cannot be decoded is counted and dropped; the next good picture is seen."""
    bad.send(json.dumps({"type": "media", "track": 1, "codec": "h264"}))
    for n in range(20):
        bad.send(struct.pack(">Bq", 1, n * 1000) + b"\0\0\0\1\x67" + bytes(range(n, n + 60)))
    bad.send(json.dumps({"type": "media", "track": 2, "codec": "jpeg"}))
    bad.send(struct.pack(">Bq", 2, 10**6) + jpeg())
    with server.client() as client:
        until(lambda: client.get("/v1/streams/bad").json()["last_frame"], 20)


@pytest.fixture(scope="module")
def files(make_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, whole = make_clip().parent, make_clip().read_bytes()
    made = {"nothing.mp4": b"", "noise.mp4": bytes(range(256)) * 64, "html.mp4": b"<html></html>" * 99,
            "cut.mp4": whole[: len(whole) // 2], "head.mp4": whole[:64], "picture.jpg": jpeg()}  # fmt: skip
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in [*made, "absent.mp4"]}


def test_files_that_are_no_video(server: Any, witness: None, files: dict[str, Path], until: Any) -> None:
    codes = {"absent.mp4": {"source_not_found"}, "cut.mp4": {"source_truncated", "source_invalid"}}
    with server.client() as client:
        for n, (name, path) in enumerate(files.items()):
            body = {"id": f"file-{n}", "source": {"url": path.as_uri(), "pace": "fast"}}
            assert client.post("/v1/streams", json=body).status_code == 201
            until(lambda n=n: client.get(f"/v1/streams/file-{n}").json()["state"] in ("failed", "ended"), 30)
            error = client.get(f"/v1/streams/file-{n}").json()["error"]
            assert error["code"] in codes.get(name, {"source_invalid"}), name
            assert str(path.parent) not in error["message"]
            assert client.delete(f"/v1/streams/file-{n}").status_code == 204


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://a/", "rtmp://a/", "exec:id", "concat:/etc/passwd", "/etc/passwd", "-i", "data:,",
     "file:///etc/passwd", "file://host/a", "rtsp://", "rtsp://a:0/", "rtsp://a:65536/", "rtsp://a\\b/", "rtsp://a b/",
     "rtsp://a/\n", "lavfi", "subfile,,:", "rtsp://[::1", "ffmpeg:x", "pipe:0", "rtsps:///x"],
)  # fmt: skip
def test_addresses_that_no_camera_has(server: Any, witness: None, url: str) -> None:
    with server.client() as client:
        response = client.post("/v1/streams", json={"id": "url", "source": {"url": url}})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "source_not_allowed")
        assert client.get("/v1/streams/url").status_code == 404


# ---------------------------------------------------------------- a model elsewhere


class Elsewhere(BaseHTTPRequestHandler):
    """A server of models that does what `mode` says."""

    mode = "good"

    def do_GET(self) -> None:
        self._say(200, "application/json", b'{"data": [{"id": "one"}]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "slow":
            time.sleep(4)
        piece = b'data: {"choices": [{"index": 0, "delta": {"content": "Red."}}]}\n\n'
        end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        body = {"garbage": b"data: {nonsense\n\n", "middle": piece, "html": b"<html>"}.get(self.mode, piece + end)
        self._say(200, "text/html" if self.mode == "html" else "text/event-stream", body)

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_a_model_elsewhere_that_is_down_slow_or_talks_nonsense(launch: Any, until: Any) -> None:
    models = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    place = models.server_address
    Thread(target=models.serve_forever, daemon=True).start()
    server = launch("--model", f"http://127.0.0.1:{place[1]}/v1")
    with server.client() as client, connect(f"{_add(client, server)}/v1/streams/cam/live") as live:
        live.send(jpeg())
        until(lambda: client.get("/v1/streams/cam").json()["last_frame"], 20)

        def ask(mode: str) -> tuple[int, str]:
            Elsewhere.mode = mode
            answer = client.post("/v1/streams/cam/questions", json={"question": "?", "deadline_ms": 2500})
            return answer.status_code, answer.json().get("error", {}).get("code", answer.json().get("answer"))

        assert ask("good") == (200, "Red.")
        for mode in ("garbage", "middle", "html"):
            assert ask(mode) == (503, "model_unavailable"), mode
        assert ask("slow") == (504, "deadline_exceeded")
        models.shutdown()
        models.server_close()
        assert ask("down") in {(503, "model_unavailable"), (504, "deadline_exceeded")}
        again = ThreadingHTTPServer(("127.0.0.1", place[1]), Elsewhere)
        Thread(target=again.serve_forever, daemon=True).start()
        assert ask("good") == (200, "Red."), "nothing was lost"
        again.shutdown()
        again.server_close()
    assert {one["restarts"] for one in server.stages().values()} == {0}


def _add(client: Any, server: Any) -> str:
    assert client.post("/v1/streams", json={"id": "cam", "source": PUSH}).status_code == 201
    return str(server.ws)
