"""Every route and the shape of every error, through the real process."""

import io
import json
import socket
import struct
import time
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.alone

SHAPE = {"type", "code", "message", "param"}


def error_of(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == SHAPE
    assert error["code"] == code
    for leak in ("/home", "/tmp", "/work", "Traceback", "0x"):
        assert leak not in error["message"]
    if status in (429, 503, 507):
        assert int(response.headers["retry-after"]) > 0
    return error


@pytest.fixture(scope="module")
def clip(make_clip: Any) -> Path:
    path: Path = make_clip(shots=3, seconds=4.0)
    return path


@pytest.fixture(scope="module")
def seen(server: Any, clip: Path, until: Any) -> Any:
    """The server with stream `clip`, watched to its end."""
    with server.client() as client:
        body = {"id": "clip", "source": {"url": f"file://{clip}", "pace": "fast"}}
        response = client.post("/v1/streams", json=body)
        assert response.status_code == 201, response.text
        until(lambda: client.get("/v1/streams/clip").json()["state"] == "ended", 60)
        until(lambda: len(client.get("/v1/streams/clip/events").json()["events"]) >= 3, 30)
    return server


def picture_of(clip: Path, at_s: float) -> bytes:
    out = io.BytesIO()
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= at_s:
                frame.to_image().save(out, "PNG")
                break
    return out.getvalue()


def jpeg(shade: int = 40, size: tuple[int, int] = (160, 120)) -> bytes:
    out = io.BytesIO()
    Image.effect_mandelbrot(size, (-2 + shade / 100, -1.5, 1, 1.5), 50).convert("RGB").save(out, "JPEG")
    return out.getvalue()


# ---------------------------------------------------------------- the server


def test_health_and_self(server: Any) -> None:
    with server.client() as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz").json()
        assert ready == {"status": "ready", "stages": dict.fromkeys(("perception", "memory", "reasoning"), "ready")}
        about = client.get("/v1/server").json()
        assert about["pid"] == server.pid
        assert about["decoding"] == "together"
        assert all(one["pid"] > 0 and one["rss_bytes"] > 0 for one in about["processes"].values())
        text = client.get("/metrics").text
        for name in ("omnilive_questions_in_flight", 'omnilive_process_restarts_total{stage="memory"}'):
            assert name in text
        assert client.get("/docs").status_code == 200
        assert "/v1/streams/{id}/questions" in client.get("/openapi.json").json()["paths"]


# ---------------------------------------------------------------- streams


def test_a_stream_is_shown(seen: Any) -> None:
    with seen.client() as client:
        stream = client.get("/v1/streams/clip").json()
        assert (stream["state"], stream["codec"], stream["size"]) == ("ended", "h264", [320, 180])
        assert stream["frames"]["received"] == 120
        assert stream["frames"]["encoded"] >= 3
        assert "clip" in [one["id"] for one in client.get("/v1/streams").json()["streams"]]


def test_add_change_delete(server: Any) -> None:
    with server.client() as client:
        body = {"id": "short-lived", "source": {"push": True, "pace": "real"}}
        assert client.post("/v1/streams", json=body).status_code == 201
        error_of(client.post("/v1/streams", json=body), 409, "stream_exists")
        changed = client.patch("/v1/streams/short-lived", json={"sample": {"fps": 1}, "time_zone": "Asia/Tokyo"})
        assert changed.json()["options"]["time_zone"] == "Asia/Tokyo"
        began = time.monotonic()
        assert client.delete("/v1/streams/short-lived").status_code == 204
        assert time.monotonic() - began <= 4
        error_of(client.get("/v1/streams/short-lived"), 404, "stream_not_found")
        assert client.post("/v1/streams", json=body).status_code == 201
        assert client.delete("/v1/streams/short-lived").status_code == 204


def test_a_file_that_is_not_there_and_one_that_is_no_video(server: Any, clip: Path, until: Any) -> None:
    noise = clip.with_name("noise.mp4")
    noise.write_bytes(bytes(range(256)) * 64)
    with server.client() as client:
        for id, name, code in (("gone", "gone.mp4", "source_not_found"), ("noise", "noise.mp4", "source_invalid")):
            body = {"id": id, "source": {"url": f"file://{clip.parent}/{name}", "pace": "fast"}}
            assert client.post("/v1/streams", json=body).status_code == 201
            error = until(lambda id=id: client.get(f"/v1/streams/{id}").json()["error"])
            assert error["code"] == code
            assert set(error) == SHAPE
            assert client.get(f"/v1/streams/{id}").json()["state"] == "failed"
            assert client.delete(f"/v1/streams/{id}").status_code == 204


def test_a_camera_that_is_away(server: Any, until: Any) -> None:
    with server.client() as client:
        body = {"id": "away", "source": {"url": "rtsp://user:pw-away-77@127.0.0.1:9/1"}}
        added = client.post("/v1/streams", json=body)
        assert added.status_code == 201
        error = until(lambda: client.get("/v1/streams/away").json()["error"])
        assert error["code"].startswith("camera_")
        stream = client.get("/v1/streams/away")
        assert stream.json()["state"] == "offline"
        assert client.delete("/v1/streams/away").status_code == 204
        error_of(client.post("/v1/streams/away/questions", json={"question": "?"}), 404, "stream_not_found")
    assert "pw-away-77" not in added.text + stream.text + server.errors()


def test_bad_streams(server: Any) -> None:
    push = {"push": True, "pace": "real"}
    with server.client() as client:
        error_of(client.post("/v1/streams", content=b"{"), 400, "invalid_json")
        error_of(client.post("/v1/streams", json={"id": "a b", "source": push}), 400, "invalid_field")
        error_of(client.post("/v1/streams", json={"id": "a", "source": push, "x": 1}), 400, "invalid_field")
        bad_start = {"id": "a", "source": {**push, "start": "noon"}}
        error_of(client.post("/v1/streams", json=bad_start), 400, "invalid_time")
        for url in ("file:///etc/passwd", "http://127.0.0.1/", "exec:ls", "rtsp://"):
            response = client.post("/v1/streams", json={"id": "a", "source": {"url": url}})
            error_of(response, 400, "source_not_allowed")
        error_of(client.post("/v1/streams", content=b" " * 2_000_000), 413, "too_large")


# ---------------------------------------------------------------- events


def test_events_and_frames(seen: Any, clip: Path) -> None:
    with seen.client() as client:
        events = client.get("/v1/streams/clip/events").json()["events"]
        starts = [one["media_start_us"] for one in events]
        assert starts == sorted(starts, reverse=True)
        first = client.get("/v1/streams/clip/events?limit=1").json()
        assert first["events"] == events[:1]
        second = client.get("/v1/streams/clip/events", params={"limit": 1, "cursor": first["next_cursor"]}).json()
        assert second["events"] == events[1:2]
        one = client.get(f"/v1/streams/clip/events/{events[-1]['id']}").json()
        assert one["media_start_us"] < 1_000_000
        frame = client.get(one["frames"][0]["url"])
        assert (frame.status_code, frame.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(frame.content)).size == (320, 180)
        ranged = client.get("/v1/streams/clip/events?since=4.5&until=7.5").json()["events"]
        assert len(ranged) == 1
        found = client.get("/v1/streams/clip/events?q=a+picture&limit=2").json()["events"]
        assert len(found) == 2
        assert found[0]["score"] >= found[1]["score"]


def test_search_by_a_picture(seen: Any, clip: Path) -> None:
    with seen.client() as client:
        response = client.post(
            "/v1/streams/clip/events/search?limit=3",
            content=picture_of(clip, 5.7),
            headers={"Content-Type": "image/png"},
        )
        best = response.json()["events"][0]
        assert best["media_start_us"] <= 5_700_000 <= best["media_end_us"] + 500_000
        path = "/v1/streams/clip/events/search"
        error_of(client.post(path, content=b"<html>"), 400, "invalid_image")
        error_of(client.post(path, content=jpeg()[:-600]), 400, "invalid_image")
        error_of(client.post(path, content=b"\xff\xd8\xff" + b"\0" * 17 * 2**20), 413, "too_large")
        bomb = io.BytesIO()
        Image.new("L", (16_384, 16_384)).save(bomb, "PNG")
        error_of(client.post(path, content=bomb.getvalue()), 413, "image_too_large")


def test_bad_events(seen: Any) -> None:
    with seen.client() as client:
        path = "/v1/streams/clip/events"
        error_of(client.get(f"{path}/e_none"), 404, "event_not_found")
        error_of(client.delete(f"{path}/e_none"), 404, "event_not_found")
        error_of(client.get(f"{path}/e_none/frames/0"), 404, "event_not_found")
        error_of(client.get(f"{path}?limit=0"), 400, "invalid_field")
        error_of(client.get(f"{path}?cursor=forged"), 400, "invalid_field")
        error_of(client.get(f"{path}?since=soon"), 400, "invalid_time")
        error_of(client.get(f"{path}?since=5&until=4"), 400, "invalid_time_range")
        error_of(client.get(f"{path}?since=9999-01-01T00:00:00Z"), 400, "time_in_future")
        error_of(client.get("/v1/streams/none/events"), 404, "stream_not_found")


# ---------------------------------------------------------------- questions


def ask(client: Any, **fields: Any) -> Any:
    return client.post("/v1/streams/clip/questions", json={"question": "What is there?", "max_tokens": 8, **fields})


def test_an_answer_and_how_it_came_about(seen: Any) -> None:
    with seen.client() as client:
        response = ask(client, question="What was there at the beginning?")
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["finish_reason"] in ("stop", "length")
        assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
        assert answer["timing"]["ttft_ms"] <= answer["timing"]["total_ms"]
        assert answer["coverage"]["covered"] in ("full", "partial")
        for one in answer["evidence"]:
            assert client.get(one["frame"]).status_code == 200
        explained = client.get(f"/v1/questions/{answer['id']}/explain").json()
        assert set(explained) == {"range", "gate", "candidates"}
        error_of(client.get("/v1/questions/q_none/explain"), 404, "question_not_found")


def test_greedy_answers_are_the_same(seen: Any) -> None:
    with seen.client() as client:
        assert len({ask(client).json()["answer"] for _ in range(2)}) == 1


def test_server_sent_events(seen: Any) -> None:
    with (
        seen.client() as client,
        client.stream(
            "POST", "/v1/streams/clip/questions", json={"question": "What?", "max_tokens": 8, "stream": True}
        ) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        blocks = [block for block in "".join(response.iter_text()).split("\n\n") if block and block[0] != ":"]
    events = [(block.split("\n")[0][7:], json.loads(block.split("\n")[1][6:])) for block in blocks]
    assert events[-1][0] == "done"
    assert "".join(body["text"] for kind, body in events if kind == "delta") == events[-1][1]["answer"]


def test_a_range_that_memory_does_not_cover(seen: Any) -> None:
    with seen.client() as client:
        answer = ask(client, since="2001-01-01T00:00:00Z", until="2001-01-02T00:00:00Z").json()
        assert (answer["finish_reason"], answer["coverage"]["covered"]) == ("not_covered", "none")
        assert answer["evidence"] == []
        assert answer["answer"]


def test_several_streams(seen: Any) -> None:
    with seen.client() as client:
        response = client.post("/v1/questions", json={"question": "Where?", "streams": ["clip"], "max_tokens": 4})
        assert response.json()["streams"] == ["clip"]
        error_of(client.post("/v1/questions", json={"question": "?", "streams": ["none"]}), 404, "stream_not_found")


def test_bad_questions(seen: Any) -> None:
    with seen.client() as client:
        error_of(ask(client, question=""), 400, "invalid_field")
        error_of(ask(client, question="x" * 20_000), 413, "too_large")
        error_of(ask(client, max_tokens=10**6), 400, "invalid_field")
        error_of(ask(client, since=5, until=4), 400, "invalid_time_range")
        error_of(ask(client, since="noon"), 400, "invalid_time")
        error_of(ask(client, since="9999-01-01T00:00:00Z"), 400, "time_in_future")
        error_of(ask(client, max_tokens=4096, deadline_ms=1), 504, "deadline_exceeded")
        error_of(client.post("/v1/streams/none/questions", json={"question": "?"}), 404, "stream_not_found")
        client.post("/v1/streams", json={"id": "empty", "source": {"push": True, "pace": "real"}})
        error_of(client.post("/v1/streams/empty/questions", json={"question": "?"}), 409, "no_frames_yet")
        client.delete("/v1/streams/empty")


def test_a_client_that_hangs_up_cancels(launch: Any, make_clip: Any, talkative: Path, until: Any) -> None:
    """Its question leaves at once. Random words may end early by themselves: then another one is asked."""
    question = {"question": "What?", "max_tokens": 4096, "stream": True, "temperature": 1.0}
    clip = make_clip()
    server = launch("--allow-files", str(clip.parent), "--model", str(talkative))
    with server.client() as client:
        client.post("/v1/streams", json={"id": "clip", "source": {"url": clip.as_uri(), "pace": "fast"}})
        until(lambda: client.get("/v1/streams/clip").json()["state"] == "ended", 30)

    def hung_up_on_an_open_one() -> bool:
        with server.client() as client, client.stream("POST", "/v1/streams/clip/questions", json=question) as response:
            pieces = response.iter_text()
            next(pieces)
            return server.open_questions() == 1

    until(hung_up_on_an_open_one, 30)
    until(lambda: server.open_questions() == 0, 5)


# ---------------------------------------------------------------- places and keys


def test_framework_errors(server: Any) -> None:
    with server.client() as client:
        error_of(client.get("/nothing"), 404, "not_found")
        error_of(client.put("/v1/streams", json={}), 405, "method_not_allowed")
        error_of(client.get("/v1/streams", headers={"Origin": "https://evil.example"}), 403, "origin_not_allowed")
        error_of(client.get("/v1/streams", headers={"Host": "evil.example"}), 403, "origin_not_allowed")
        error_of(client.post("/v1/chat/completions", json={}), 404, "not_found")
        error_of(client.get("/v1/streams/x/memory"), 404, "stream_not_found")


def test_bytes_that_are_no_request(server: Any) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for data in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            answer = raw.recv(65_536)
        assert b"Traceback" not in answer
    with server.client() as client:
        assert client.get("/livez").status_code == 200


def test_a_key_opens_every_door(launch: Any) -> None:
    key = "ol_test-key-123456"
    guarded = launch(OMNILIVE_API_KEY=key)
    with guarded.client() as client:
        for path in ("/v1/streams", "/metrics", "/docs", "/openapi.json", "/v1/server", "/nothing"):
            error_of(client.get(path), 401, "invalid_api_key")
        assert client.get("/livez").status_code == 200
    with guarded.client(Authorization=f"Bearer {key}") as client:
        body = {"id": "cam", "source": {"push": True, "pace": "real"}}
        assert client.post("/v1/streams", json=body).status_code == 201
    live = f"{guarded.ws}/v1/streams/cam/live"
    with pytest.raises(InvalidStatus) as caught:
        connect(live)
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["error"]["code"] == "invalid_api_key"
    with connect(live, subprotocols=["omnilive.v1", f"omnilive.key.{key}"]) as ws:  # type: ignore[list-item]
        assert ws.subprotocol == "omnilive.v1"
        assert json.loads(ws.recv(10))["type"] == "state"
    assert key not in guarded.errors()


# ---------------------------------------------------------------- the live websocket


def after(ws: Any, kind: str, seconds: float = 60) -> Any:
    while True:
        message = ws.recv(seconds)
        if isinstance(message, bytes):
            continue
        found = json.loads(message)
        if found["type"] == kind:
            return found


@pytest.fixture
def pushed(server: Any) -> Any:
    """A push stream's websocket, fast."""
    with server.client() as client:
        assert client.post("/v1/streams", json={"id": "push", "source": {"push": True, "pace": "fast"}}).is_success
        try:
            with connect(f"{server.ws}/v1/streams/push/live") as ws:
                yield ws
        finally:
            client.delete("/v1/streams/push")


def test_push_and_ask(server: Any, pushed: Any, until: Any) -> None:
    assert json.loads(pushed.recv(10))["type"] == "state"
    pushed.send(json.dumps({"type": "subscribe", "topics": ["state", "events", "frames"]}))
    pushed.send(json.dumps({"type": "media", "track": 3, "codec": "jpeg"}))
    for n in range(12):
        pushed.send(struct.pack(">Bq", 3, n * 500_000) + jpeg(n * 9))
    pushed.send(json.dumps({"type": "ask", "id": "a1", "question": "What is there?", "max_tokens": 4}))
    text = ""
    while True:
        message = pushed.recv(60)
        found = json.loads(message) if isinstance(message, str) else {"type": "picture"}
        assert found["type"] != "error", found
        text += found["text"] if found["type"] == "delta" else ""
        if found["type"] == "done":
            break
    assert (found["id"], found["result"]["answer"]) == ("a1", text)
    with server.client() as client:
        stream = client.get("/v1/streams/push").json()
        assert stream["frames"]["received"] == 12
        newest = max(one["media_end_us"] for one in client.get("/v1/streams/push/events").json()["events"])
        assert newest == 11 * 500_000


def test_frames_are_told(server: Any, pushed: Any) -> None:
    pushed.send(json.dumps({"type": "subscribe", "topics": ["frames"]}))
    pushed.send(jpeg(5))
    assert after(pushed, "frame")["time"].endswith("Z")
    assert Image.open(io.BytesIO(pushed.recv(10))).size == (160, 120)


def test_bad_messages_leave_the_connection_open(server: Any, pushed: Any) -> None:
    for message, code in [
        ("{", "invalid_json"), ('{"type": "fly"}', "invalid_field"), (b"<html>", "invalid_image"),
        ('{"type": "media", "track": 0, "codec": "divx"}', "codec_not_supported"),
        ('{"type": "cancel", "id": "x"}', "question_not_found"), ('{"type": "ask", "id": "x"}', "invalid_field"),
        ('{"type": "ask", "id": "x", "question": "?"}', "no_frames_yet"),
    ]:  # fmt: skip
        pushed.send(message)
        told = after(pushed, "error")
        assert told["error"]["code"] == code
        assert set(told["error"]) == SHAPE


def test_too_big_a_message_closes(server: Any, pushed: Any) -> None:
    pushed.send(b"\xff\xd8\xff" + b"\0" * 17 * 2**20)
    with pytest.raises(ConnectionClosed) as caught:
        after(pushed, "never", 20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_media_into_a_file_stream(seen: Any) -> None:
    with connect(f"{seen.ws}/v1/streams/clip/live") as ws:
        ws.send(jpeg())
        assert after(ws, "error")["error"]["code"] == "not_a_push_stream"


def test_refused_before_the_upgrade(server: Any) -> None:
    for path, headers, status, code in [
        ("/v1/streams/none/live", {}, 404, "stream_not_found"),
        ("/v1/nothing", {}, 404, "not_found"),
        ("/v1/streams/none/live", {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
    ]:
        with pytest.raises(InvalidStatus) as caught:
            connect(server.ws + path, additional_headers=headers)
        assert caught.value.response.status_code == status
        assert json.loads(caught.value.response.body)["error"]["code"] == code


def test_a_server_that_stops_says_goodbye(launch: Any) -> None:
    stopping = launch()
    with stopping.client() as client:
        client.post("/v1/streams", json={"id": "cam", "source": {"push": True, "pace": "real"}})
    with connect(f"{stopping.ws}/v1/streams/cam/live") as ws:
        after(ws, "state")
        stopping.process.terminate()
        with pytest.raises(ConnectionClosed) as caught:
            after(ws, "never", 20)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
    assert stopping.wait() == 0


# ---------------------------------------------------------------- forgetting


def test_forget(server: Any, clip: Path, until: Any) -> None:
    with server.client() as client:
        body = {"id": "forgotten", "source": {"url": f"file://{clip}", "pace": "fast"}}
        assert client.post("/v1/streams", json=body).status_code == 201
        path = "/v1/streams/forgotten"
        until(lambda: client.get(path).json()["state"] == "ended", 60)
        events = until(lambda: (e := client.get(f"{path}/events").json()["events"]) and len(e) >= 3 and e, 30)
        oldest = events[-1]
        assert client.delete(f"{path}/events/{oldest['id']}").status_code == 204
        error_of(client.get(oldest["frames"][0]["url"]), 404, "event_not_found")
        error_of(client.delete(f"{path}/memory?since=9&until=3"), 400, "invalid_time_range")
        gone = client.delete(f"{path}/memory?since=4.5&until=5.5")
        assert gone.json()["deleted"]["events"] == 1
        assert gone.json()["deleted"]["bytes"] > 0
        left = client.get(f"{path}/events").json()["events"]
        assert len(left) == len(events) - 2
        assert client.delete(f"{path}/memory").json()["deleted"]["events"] == len(left)
        assert client.get(f"{path}/events").json()["events"] == []
        error_of(client.post(f"{path}/questions", json={"question": "What?"}), 409, "no_frames_yet")
        assert client.delete(path).status_code == 204


# ---------------------------------------------------------------- processes that die


@pytest.mark.parametrize("stage", ["reasoning", "perception", "memory"])
def test_a_killed_stage_is_replaced(server: Any, clip: Path, until: Any, stage: str) -> None:
    import psutil

    with server.client() as client:
        if client.get("/v1/streams/clip").status_code == 404:
            body = {"id": "clip", "source": {"url": f"file://{clip}", "pace": "fast"}}
            assert client.post("/v1/streams", json=body).status_code == 201
        until(lambda: client.get("/v1/streams/clip/events").json()["events"], 60)
        before = {one["id"] for one in client.get("/v1/streams/clip/events").json()["events"]}
        psutil.Process(server.stages()[stage]["pid"]).kill()
        lost = until(lambda: (r := client.get("/readyz")).status_code == 503 and r, 5)
        assert lost.json()["stages"][stage] != "ready"
        until(lambda: client.get("/readyz").status_code == 200, 90)
        assert server.stages()[stage]["restarts"] >= 1
        assert ask(client).status_code == 200
        assert before <= {one["id"] for one in client.get("/v1/streams/clip/events").json()["events"]}
