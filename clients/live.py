"""The live websocket of a stream, for programs: media and questions in, what the server says of them out."""

import json
import queue
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from clients.api import ApiError, Json, resource, server_of, unreachable

ON_ARRIVAL: Final = -1
"""The time of a media message that the server is to stamp when it arrives."""
_LEAD: Final = struct.Struct(">Bq")
_LARGEST: Final = 64 * 2**20


def media_message(track: int, data: bytes, pts_us: int) -> bytes:
    """A binary message: nine bytes of track and time, then the data."""
    return _LEAD.pack(track, pts_us) + data


class FrameJoiner:
    """A frame comes as two messages, its JSON and then its picture: they are told as one."""

    def __init__(self) -> None:
        self._announced: Json = {}

    def take(self, data: str | bytes) -> Json | None:
        """What is to be told, a frame with its picture as `jpeg`; None while the picture is still to come."""
        if isinstance(data, bytes):
            return {**self._announced, "jpeg": data}
        message: Json = json.loads(data)
        if message.get("type") != "frame":
            return message
        self._announced = message
        return None


@dataclass
class Reply:
    """What came back for one question. deltas: each with the seconds since it was asked. ends: done and error messages.

    A well-behaved server sends exactly one end, after all deltas.
    """

    deltas: list[tuple[float, str]] = field(default_factory=list)
    ends: list[Json] = field(default_factory=list)
    asked_at: float = field(default_factory=time.monotonic)
    ended_s: float = 0.0
    late: int = 0

    @property
    def answer(self) -> Json:
        """The Answer. Raises ApiError if the question ended in an error."""
        end = self.ends[0]
        if end["type"] == "error":
            raise ApiError(end["error"]["code"], end["error"]["message"])
        result: Json = end["result"]
        return result

    @property
    def text(self) -> str:
        """The deltas, joined."""
        return "".join(text for _, text in self.deltas)


class Live:
    """An open live websocket. A thread listens, so that the server is never kept waiting while media is sent.

    Raises ApiError where the server refuses the connection; everything else may raise it once the connection is lost.
    """

    def __init__(self, url: str | None, stream: str, key: str | None = None) -> None:
        base, headers = server_of(url, key)
        self._opened = ExitStack()
        try:
            self._socket = self._opened.enter_context(
                connect(
                    f"ws{base.removeprefix('http')}{resource('streams', stream, 'live')}",
                    additional_headers=headers, max_size=_LARGEST, proxy=None, open_timeout=10,
                    # A server that reads no further for now cannot answer pings; it sends its own.
                    ping_interval=None,
                )
            )  # fmt: skip
        except InvalidStatus as refused:
            raise refusal_of(refused) from refused
        except (OSError, WebSocketException) as error:
            raise unreachable(base, error) from error
        self._replies: dict[str, Reply] = {}
        self._told: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._lost: str | None = None
        self._listener = threading.Thread(target=self._listen, name="live", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye. A push stream is offline then."""
        self._opened.close()
        self._listener.join(10)

    # ------------------------------------------------------------ to the server

    def subscribe(self, *topics: str) -> None:
        """What to be told of: state, events, frames."""
        self._say({"type": "subscribe", "topics": list(topics)})

    def announce(self, track: int, codec: str, **more: int) -> None:
        """What a track's binary messages are; more: rate and channels of sound."""
        self._say({"type": "media", "track": track, "codec": codec, **more})

    def send(self, track: int, data: bytes, pts_us: int = ON_ARRIVAL) -> None:
        """One image, access unit or audio packet of a track. Waits while the server reads no further."""
        self._send(media_message(track, data, pts_us))

    def ask(self, name: str, question: str, **options: Any) -> None:
        """Ask, behind all media that was sent before. `wait` gives what came back."""
        with self._changed:
            self._replies[name] = Reply()
        self._say({"type": "ask", "id": name, "question": question, **options})

    # ------------------------------------------------------------ from the server

    def wait(self, name: str, timeout_s: float = 120.0) -> Reply:
        """Wait for the end of a question. Raises ApiError deadline_exceeded if none comes."""
        with self._changed:
            reply = self._replies[name]
            ended = self._changed.wait_for(lambda: bool(reply.ends) or self._lost is not None, timeout_s)
        if reply.ends:
            return reply
        raise self._gone() if ended else ApiError("deadline_exceeded", f"no end after {timeout_s:.0f} s")

    def told(self, timeout_s: float = 0.0) -> Iterator[Json]:
        """What the server said besides answers, oldest first, until it has said nothing for this long.

        A frame's message has its picture too, as `jpeg`.
        """
        while True:
            try:
                message = self._told.get(timeout=timeout_s) if timeout_s > 0 else self._told.get_nowait()
            except queue.Empty:
                return
            if message is None:
                return
            yield message

    # ------------------------------------------------------------ inside

    def _say(self, message: Json) -> None:
        self._send(json.dumps(message))

    def _send(self, message: str | bytes) -> None:
        try:
            self._socket.send(message)
        except (OSError, WebSocketException) as error:
            raise self._gone() from error

    def _listen(self) -> None:
        try:
            joined = FrameJoiner()
            for data in self._socket:
                message = joined.take(data)
                if message is not None:
                    self._hear(message)
        except (OSError, WebSocketException, ValueError) as error:
            self._lost = str(error)
        with self._changed:
            self._lost = self._lost or "the server closed the connection"
            self._changed.notify_all()
        self._told.put(None)

    def _hear(self, message: Json) -> None:
        with self._changed:
            reply = self._replies.get(str(message.get("id")))
            if reply is None:
                self._told.put(message)
                return
            if reply.ends:
                reply.late += 1
            elif message["type"] == "delta":
                reply.deltas.append((time.monotonic() - reply.asked_at, str(message["text"])))
            if message["type"] in {"done", "error"}:
                reply.ends.append(message)
                reply.ended_s = time.monotonic() - reply.asked_at
                self._changed.notify_all()

    def _gone(self) -> ApiError:
        return ApiError("connection_lost", f"the live connection was lost: {self._lost or 'no reason given'}")


def refusal_of(refused: InvalidStatus) -> ApiError:
    """What the server said when it refused the connection."""
    status = refused.response.status_code
    try:
        error = json.loads(refused.response.body or b"")["error"]
        return ApiError(str(error["code"]), str(error["message"]), status)
    except (ValueError, KeyError, TypeError):
        return ApiError("bad_answer", f"the server answered {status}", status)
