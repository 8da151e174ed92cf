"""The public interface as the benchmarks use it: REST by httpx, the live websocket by websockets."""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]
ARRIVAL = -1
"""The time of a pushed message that is to be stamped when it arrives."""


class Refused(RuntimeError):
    """The server answered with an error: its status and its code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Api:
    """One server's REST routes. timeout_s: of a single request, questions included."""

    def __init__(self, url: str, timeout_s: float = 120.0) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def add(self, stream: str, source: Json, **options: Any) -> Json:
        """Add a stream."""
        return self._json("POST", "/v1/streams", json={"id": stream, "source": source, **options})

    def stream(self, stream: str) -> Json:
        """How a stream fares."""
        return self._json("GET", f"/v1/streams/{stream}")

    def delete(self, stream: str) -> None:
        """Stop a stream and forget it whole."""
        self._send("DELETE", f"/v1/streams/{stream}")

    def ask(self, stream: str, question: str, **options: Any) -> Json:
        """Ask, and wait for the whole answer."""
        return self._json("POST", f"/v1/streams/{stream}/questions", json={"question": question, **options})

    def server(self) -> Json:
        """How the server itself fares."""
        return self._json("GET", "/v1/server")

    def explain(self, question_id: str) -> Json:
        """How a question was answered."""
        return self._json("GET", f"/v1/questions/{question_id}/explain")

    def events(self, stream: str) -> list[Json]:
        """All events, oldest first."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
            answer = self._json("GET", f"/v1/streams/{stream}/events", params=page)
            found += answer["events"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return sorted(found, key=lambda event: int(event["media_start_us"]))

    def search(self, stream: str, picture: bytes, kind: str = "image/png", limit: int = 5) -> list[Json]:
        """Events by likeness to a picture, best first."""
        path = f"/v1/streams/{stream}/events/search"
        answer = self._send("POST", path, content=picture, headers={"content-type": kind}, params={"limit": str(limit)})
        events: list[Json] = answer.json()["events"]
        return events

    def get(self, address: str) -> bytes:
        """The body behind an address on this server, e.g. a frame's."""
        return self._send("GET", address).content

    @contextmanager
    def live(self, stream: str) -> Iterator["Live"]:
        """The live websocket of a stream."""
        address = self._url.replace("http", "ws", 1) + f"/v1/streams/{stream}/live"
        with connect(address, max_size=2**25, open_timeout=10, close_timeout=5) as socket:
            yield Live(socket)

    def _json(self, method: str, path: str, **request: Any) -> Json:
        answer: Json = self._send(method, path, **request).json()
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self._http.request(method, path, **request)
        if answer.is_success:
            return answer
        try:
            error = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            raise Refused(answer.status_code, "no_error_object", answer.text[:200]) from None
        raise Refused(answer.status_code, str(error.get("code")), str(error.get("message")))


class Live:
    """An open live websocket: sends media, receives messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def media(self, track: int, codec: str, **more: int) -> None:
        """Say what a track carries."""
        self.say({"type": "media", "track": track, "codec": codec, **more})

    def send(self, track: int, data: bytes, pts_us: int = ARRIVAL) -> None:
        """One image, access unit or audio packet of a track."""
        self._socket.send(struct.pack(">Bq", track, pts_us) + data)

    def say(self, message: Json) -> None:
        """One text message."""
        self._socket.send(json.dumps(message))

    def ask(self, question: str, name: str = "a1", timeout_s: float = 120.0, **options: Any) -> Json:
        """Ask behind the media that was sent, and wait for the Answer. Raises Refused for an error."""
        self.say({"type": "ask", "id": name, "question": question, **options})
        while True:
            message = self.receive(timeout_s)
            if not isinstance(message, dict) or message.get("id") != name:
                continue
            if message["type"] == "done":
                result: Json = message["result"]
                return result
            if message["type"] == "error":
                raise Refused(0, str(message["error"].get("code")), str(message["error"].get("message")))

    def receive(self, timeout_s: float | None = None) -> Json | bytes:
        """The next message: a JSON object, or the bytes of a frame. Raises TimeoutError."""
        message = self._socket.recv(timeout_s)
        return message if isinstance(message, bytes) else dict(json.loads(message))
