"""The oracle as a server: a model that speaks OpenAI's chat completions, and answers from the pictures it is sent.

    with OracleServer() as oracle:
        ... omnilive serve --model ORACLE.URL ...
        oracle.heard()  # what it was asked, what it saw, what it said

What comes out wrong at the end of such a server, the server did wrong.
"""

import base64
import binascii
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from PIL import Image, UnidentifiedImageError

from evaluation.oracle.answer import answer
from training.world import StripState, read_strip

MODEL: Final = "oracle"
_LARGEST: Final = 64 * 2**20
_JPEG: Final = "data:image/jpeg;base64,"
_QUESTION: Final = "Question: "


@dataclass(frozen=True)
class Heard:
    """One request. seen: the strips of its pictures in their order; unreadable: pictures without one. beside: all that
    it says beside the question."""

    question: str
    seen: tuple[StripState, ...]
    unreadable: int
    answer: str
    beside: str = ""


class OracleServer:
    """Serves from threads of its own, on loopback. port 0: a free one."""

    def __init__(self, port: int = 0) -> None:
        self._heard: list[Heard] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, name="oracle", daemon=True)

    @property
    def url(self) -> str:
        """What `--model` takes."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def heard(self) -> list[Heard]:
        """All requests since the last call, oldest first."""
        with self._lock:
            heard, self._heard = self._heard, []
        return heard

    def tell(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Answer a conversation; what was heard is kept."""
        heard = listen(messages)
        with self._lock:
            self._heard.append(heard)
        return heard.answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        """A handler class that knows this server."""
        oracle = self

        class Handler(_Handler):
            def tell(self, messages: Sequence[Mapping[str, Any]]) -> str:
                return oracle.tell(messages)

        return Handler


def listen(messages: Sequence[Mapping[str, Any]]) -> Heard:
    """What a conversation asks and shows, and the answer. Raises ValueError for what is no conversation."""
    content = messages[-1]["content"]
    parts: Sequence[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [str(part["text"]) for part in parts if part["type"] == "text"]
    pictures = [_decoded(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    states = [read_strip(picture) for picture in pictures]
    seen = tuple(state for state in states if state is not None)
    before, _, question = texts[-1].partition(_QUESTION) if texts else ("", "", "")
    earlier = [json.dumps(message["content"]) for message in messages[:-1]]
    beside = "\n".join([*earlier, *texts[:-1], before])
    return Heard(question, seen, len(states) - len(seen), answer(question, seen), beside)


def _decoded(url: str) -> Any:
    if not url.startswith(_JPEG):
        raise ValueError("pictures come as JPEG in data addresses")
    try:
        with Image.open(io.BytesIO(base64.b64decode(url[len(_JPEG) :], validate=True))) as picture:
            return np.asarray(picture.convert("RGB"))
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise ValueError("a picture cannot be decoded") from error


class _Handler(BaseHTTPRequestHandler):
    """The two routes that a client of chat completions needs."""

    protocol_version = "HTTP/1.1"

    def tell(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Answer a conversation."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """The list of models."""
        if self.path != "/v1/models":
            self._refuse(404, "there is nothing here")
            return
        self._send(200, "application/json", [_json({"object": "list", "data": [{"id": MODEL, "object": "model"}]})])

    def do_POST(self) -> None:
        """A chat completion, streamed or whole."""
        length = int(self.headers.get("content-length") or 0)
        if self.path != "/v1/chat/completions" or not 0 < length <= _LARGEST:
            self.close_connection = True
            self._refuse(404 if self.path != "/v1/chat/completions" else 413, "this is not taken")
            return
        try:
            body = json.loads(self.rfile.read(length))
            text, streamed = self.tell(body["messages"]), bool(body.get("stream"))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            self._refuse(400, "this is no chat completion request")
            return
        if streamed:
            self._send(200, "text/event-stream", [*_events(text)])
        else:
            self._send(200, "application/json", [_json(_whole(text))])

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: requests hold pictures."""

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "invalid_request_error", "code": None, "message": message, "param": None}
        self._send(status, "application/json", [_json({"error": error})])

    def _send(self, status: int, kind: str, pieces: Sequence[bytes]) -> None:
        body = b"".join(pieces)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _events(text: str) -> Iterator[bytes]:
    for choice in ({"delta": {"role": "assistant", "content": text}}, {"delta": {}, "finish_reason": "stop"}):
        yield b"data: " + _json(
            {"object": "chat.completion.chunk", "model": MODEL, "choices": [{"index": 0, **choice}]}
        )
        yield b"\n\n"
    yield b"data: [DONE]\n\n"


def _whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()
