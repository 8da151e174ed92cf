"""The REST client: what it sends, what it makes of answers, refusals and lost connections."""

import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from clients.api import Api, ApiError, resource
from clients.async_api import AsyncApi

EVENTS = [{"id": f"e_{n}", "media_start_us": n} for n in range(5)]


class Handler(BaseHTTPRequestHandler):
    """Answers as a server of ours would, two events a page; keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, bytes, Any]]] = []

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        place = urlsplit(self.path)
        self.asked.append((self.command, place.path, body, self.headers))
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        match place.path:
            case "/v1/streams/cam/events":
                first = int(query.get("cursor", 0))
                page = EVENTS[::-1][first : first + 2]
                self.say(200, {"events": page, "next_cursor": str(first + 2) if first + 2 < len(EVENTS) else None})
            case "/v1/streams/cam/events/search":
                self.say(200, {"events": EVENTS[: int(query["limit"])]})
            case "/v1/streams/gone":
                self.say(404, {"error": {"code": "stream_not_found", "message": "add it first"}})
            case "/v1/streams/odd":
                self.raw(200, b"<html>")
            case "/v1/streams/broken":
                self.raw(502, b"<html>")
            case "/v1/streams/cam/questions" if json.loads(body).get("stream"):
                self.raw(200, self.told(json.loads(body)["question"]))
            case _:
                self.say(200, {"path": place.path})

    do_GET = do_POST = do_DELETE = answer

    def told(self, question: str) -> bytes:
        deltas = "".join(f"event: delta\ndata: {json.dumps({'text': part})}\n\n" for part in ("A m\u2028", "an."))
        ends = {
            "good": 'event: done\ndata: {"id": "q_1", "answer": "A man."}\n\n',
            "bad": 'event: error\ndata: {"error": {"code": "process_lost", "message": "ask again"}}\n\n',
            "cut": "",
        }
        return (": awake\n\n" + deltas + ends[question]).encode()

    def say(self, status: int, body: Any) -> None:
        self.raw(status, json.dumps(body).encode())

    def raw(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def api(url: str) -> Iterator[Api]:
    with Api(url, key="ol_secret") as api:
        yield api


def test_all_pages_of_events_oldest_first(api: Api) -> None:
    assert api.events("cam", since="-1h") == EVENTS
    assert len(Handler.asked) == 3
    assert all(headers["authorization"] == "Bearer ol_secret" for *_, headers in Handler.asked)


def test_a_picture_is_sent_as_it_is(api: Api) -> None:
    assert api.search("cam", b"\x89PNG", limit=2) == EVENTS[:2]
    method, _, body, headers = Handler.asked[0]
    assert (method, body, headers["content-type"]) == ("POST", b"\x89PNG", "image/png")


def test_ids_name_nothing_else(api: Api) -> None:
    assert resource("streams", "../server") == "/v1/streams/..%2Fserver"
    api.remove("a/b")
    assert Handler.asked[0][:2] == ("DELETE", "/v1/streams/a%2Fb")


def test_an_answer_comes_in_pieces_and_then_whole(api: Api) -> None:
    *pieces, answer = api.ask_streamed("cam", "good", max_tokens=None)
    assert pieces == ["A m\u2028", "an."]
    assert answer == {"id": "q_1", "answer": "A man."}
    assert json.loads(Handler.asked[0][2]) == {"question": "good", "stream": True}


CALLS: dict[str, Callable[[Api], object]] = {
    "stream_not_found": lambda api: api.stream("gone"),
    "bad_answer": lambda api: api.stream("odd"),
    "process_lost": lambda api: list(api.ask_streamed("cam", "bad")),
    "connection_lost": lambda api: list(api.ask_streamed("cam", "cut")),
}


@pytest.mark.parametrize("code", CALLS)
def test_every_failure_has_its_code(api: Api, code: str) -> None:
    with pytest.raises(ApiError) as failed:
        CALLS[code](api)
    assert failed.value.code == code


def test_an_error_that_is_none_of_ours_keeps_its_status(api: Api) -> None:
    with pytest.raises(ApiError, match="502") as failed:
        api.stream("broken")
    assert (failed.value.code, failed.value.status) == ("bad_answer", 502)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://here", "http://[::1"])
def test_nobody_there(url: str) -> None:
    with pytest.raises(ApiError) as failed, Api(url) as api:
        api.stream("cam")
    assert failed.value.code == "unreachable"


# ---------------------------------------------------------------- the same for asyncio


async def test_the_async_client_sends_and_reads_the_same(url: str) -> None:
    async with AsyncApi(url, key="ol_secret") as api:
        assert await api.events("cam", since="-1h") == EVENTS
        await api.remove("a/b")
        *pieces, answer = [piece async for piece in api.ask_streamed("cam", "good", max_tokens=None)]
        assert (pieces, answer) == (["A m\u2028", "an."], {"id": "q_1", "answer": "A man."})
        assert await api.ask("cam", "What?") == {"path": "/v1/streams/cam/questions"}
        assert await api.add("cam", {"push": True}) == {"path": "/v1/streams"}
        assert json.loads(await api.picture("/v1/x.jpg")) == {"path": "/v1/x.jpg"}
    *_, removed, streamed, _, added, _ = Handler.asked
    assert removed[:2] == ("DELETE", "/v1/streams/a%2Fb")
    assert json.loads(streamed[2]) == {"question": "good", "stream": True}
    assert json.loads(added[2]) == {"id": "cam", "source": {"push": True}}
    assert all(headers["authorization"] == "Bearer ol_secret" for *_, headers in Handler.asked)


ASYNC_CALLS: dict[str, Callable[[AsyncApi], Coroutine[Any, Any, object]]] = {
    "stream_not_found": lambda api: api.stream("gone"),
    "bad_answer": lambda api: api.stream("odd"),
    "process_lost": lambda api: read(api, "bad"),
    "connection_lost": lambda api: read(api, "cut"),
}


async def read(api: AsyncApi, question: str) -> list[Any]:
    return [piece async for piece in api.ask_streamed("cam", question)]


@pytest.mark.parametrize("code", ASYNC_CALLS)
async def test_every_failure_of_the_async_client_has_its_code(url: str, code: str) -> None:
    async with AsyncApi(url) as api:
        with pytest.raises(ApiError) as refused:
            await ASYNC_CALLS[code](api)
    assert refused.value.code == code


async def test_nobody_there_for_the_async_client() -> None:
    async with AsyncApi("http://127.0.0.1:9") as api:
        with pytest.raises(ApiError) as refused:
            await api.stream("cam")
    assert refused.value.code == "unreachable"
