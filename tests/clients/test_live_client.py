"""The live websocket client against a small server of the test's own."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from clients import live as live_module
from clients.api import ApiError
from clients.live import Live

Handler = Callable[[ServerConnection], None]


@contextmanager
def serving(handler: Handler, refuse: tuple[int, str] | None = None) -> Iterator[str]:
    """The URL of a server that runs `handler` for each connection, or refuses the upgrade."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return None if refuse is None else connection.respond(*refuse)

    server: Server
    with serve(handler, "127.0.0.1", 0, process_request=answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


def say(socket: ServerConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def answering(socket: ServerConnection) -> None:
    """Two pieces and an end for each question, with what was heard before it."""
    heard: list[Any] = []
    for message in socket:
        if isinstance(message, bytes):
            heard.append([*struct.unpack_from(">Bq", message), len(message) - 9])
            continue
        content = json.loads(message)
        if content["type"] != "ask":
            heard.append(content)
            continue
        say(socket, type="delta", id=content["id"], text="at the ")
        say(socket, type="state", stream={"id": "cam"})
        say(socket, type="delta", id=content["id"], text="top")
        say(socket, type="done", id=content["id"], result={"answer": "at the top", "heard": heard, "asked": content})


def test_media_goes_before_the_question_and_its_answer_comes_back() -> None:
    with serving(answering) as url, Live(url, "cam") as live:
        live.announce(1, "pcm_s16le", rate=16_000, channels=1)
        live.send(1, b"12345", 70_000)
        live.send(0, b"123")
        live.ask("q", "Where?", max_tokens=5)
        reply = live.wait("q", 10)
        assert reply.text == "at the top"
        assert reply.answer["asked"] == {"type": "ask", "id": "q", "question": "Where?", "max_tokens": 5}
        assert reply.answer["heard"] == [
            {"type": "media", "track": 1, "codec": "pcm_s16le", "rate": 16_000, "channels": 1},
            [1, 70_000, 5],
            [0, -1, 3],
        ]
        assert 0 <= reply.deltas[0][0] <= reply.deltas[1][0] <= reply.ended_s
        assert next(live.told(1.0)) == {"type": "state", "stream": {"id": "cam"}}


def test_a_frame_comes_with_its_picture() -> None:
    def showing(socket: ServerConnection) -> None:
        say(socket, type="frame", time="2026-01-01T00:00:00Z")
        socket.send(b"\xff\xd8 a picture")
        socket.recv()

    with serving(showing) as url, Live(url, "cam") as live:
        assert next(live.told(10.0)) == {"type": "frame", "time": "2026-01-01T00:00:00Z", "jpeg": b"\xff\xd8 a picture"}


def test_answers_to_several_questions_are_told_apart() -> None:
    def crosswise(socket: ServerConnection) -> None:
        names = [json.loads(message)["id"] for _, message in zip(range(2), socket, strict=False)]
        for name in reversed(names):
            say(socket, type="delta", id=name, text=f"answer to {name}")
        for name in names:
            say(socket, type="done", id=name, result={"answer": f"answer to {name}"})
        socket.recv()

    with serving(crosswise) as url, Live(url, "cam") as live:
        live.ask("one", "?")
        live.ask("two", "?")
        assert live.wait("two", 10).text == "answer to two"
        assert live.wait("one", 10).text == "answer to one"


def test_what_comes_after_the_end_is_counted() -> None:
    def twice(socket: ServerConnection) -> None:
        name = json.loads(socket.recv())["id"]
        say(socket, type="done", id=name, result={"answer": ""})
        say(socket, type="delta", id=name, text="more")
        say(socket, type="done", id=name, result={"answer": "more"})
        say(socket, type="state", stream={})
        socket.recv()

    with serving(twice) as url, Live(url, "cam") as live:
        live.ask("q", "?")
        reply = live.wait("q", 10)
        assert next(live.told(10.0))["type"] == "state"
        assert (len(reply.ends), reply.late) == (2, 2)


def test_an_error_is_the_end_of_its_question() -> None:
    def failing(socket: ServerConnection) -> None:
        name = json.loads(socket.recv())["id"]
        say(socket, type="error", id=name, error={"code": "process_lost", "message": "ask again"})
        socket.recv()

    with serving(failing) as url, Live(url, "cam") as live:
        live.ask("q", "?")
        reply = live.wait("q", 10)
        with pytest.raises(ApiError, match="ask again") as refused:
            _ = reply.answer
        assert refused.value.code == "process_lost"


def test_a_lost_connection_ends_the_wait() -> None:
    def leaving(socket: ServerConnection) -> None:
        socket.recv()
        socket.close(1011)

    with serving(leaving) as url, Live(url, "cam") as live:
        live.ask("q", "?")
        with pytest.raises(ApiError) as refused:
            live.wait("q", 10)
        assert refused.value.code == "connection_lost"


def test_no_end_in_time_is_said() -> None:
    def silent(socket: ServerConnection) -> None:
        for _ in socket:
            pass

    with serving(silent) as url, Live(url, "cam") as live:
        live.ask("q", "?")
        with pytest.raises(ApiError) as refused:
            live.wait("q", 0.1)
        assert refused.value.code == "deadline_exceeded"


def test_a_refused_connection_says_why() -> None:
    error = {"error": {"code": "stream_not_found", "message": "add it first", "type": "not_found_error", "param": None}}
    with (
        serving(lambda socket: None, refuse=(404, json.dumps(error))) as url,
        pytest.raises(ApiError, match="add it first") as refused,
    ):
        Live(url, "cam")
    assert (refused.value.code, refused.value.status) == ("stream_not_found", 404)


def test_no_server_is_said_plainly() -> None:
    with serving(lambda socket: None) as url:
        pass
    with pytest.raises(ApiError) as refused:
        Live(url, "cam")
    assert refused.value.code == "unreachable"


def test_a_server_that_does_not_read_for_long_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def connecting(url: str, **options: Any) -> Any:
        given.update(options)
        return connect(url, **options)

    monkeypatch.setattr(live_module, "connect", connecting)
    with serving(answering) as url, Live(url, "cam"):
        assert given["ping_interval"] is None
