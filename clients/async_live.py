"""The live websocket of a stream for asyncio programs; made anew when it is lost, held back when the server is busy."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from clients.api import ApiError, Json, resource, server_of, unreachable
from clients.live import ON_ARRIVAL, FrameJoiner, media_message, refusal_of

_LARGEST: Final = 64 * 2**20
_MOST_UNREAD: Final = 1000
"""Messages that are kept for a program that does not read what it is told."""
_PASSING: Final = frozenset({429, 500, 503, 504})
"""What a server answers that starts, stops or has too much to do: worth another try."""


@dataclass
class _Question:
    """An open question: pieces of its text wait in `said`, and its end last."""

    said: "asyncio.Queue[Json]" = field(default_factory=asyncio.Queue)


class AsyncLive:
    """An open connection. Everything raises ApiError connection_lost once it is lost."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._questions: dict[str, _Question] = {}
        self._numbers = itertools.count(1)
        self._told: deque[Json] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self.missed = 0
        """Messages that were dropped since nobody read them: the oldest of too many."""
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Say goodbye, after all that was sent."""
        await self._socket.close()
        await self._listener

    async def subscribe(self, *topics: str) -> None:
        """What to be told of: state, events, frames (each with its picture, as `jpeg`)."""
        await self._say({"type": "subscribe", "topics": list(topics)})

    async def announce(self, track: int, codec: str, **more: int) -> None:
        """What a track's binary messages are; more: rate and channels of sound."""
        await self._say({"type": "media", "track": track, "codec": codec, **more})

    async def send(self, track: int, data: bytes, pts_us: int = ON_ARRIVAL) -> None:
        """One image, access unit or audio packet of a track. Waits while the server reads no further."""
        await self._send(media_message(track, data, pts_us))

    async def ask(self, question: str, **options: Any) -> AsyncIterator[str | Json]:
        """Ask, behind all media that was sent before: pieces of the text as they come, at last the whole answer."""
        name = f"a{next(self._numbers)}"
        open_question = self._questions[name] = _Question()
        try:
            await self._say({"type": "ask", "id": name, "question": question, **options})
            while True:
                message = await open_question.said.get()
                if message["type"] == "error":
                    raise ApiError(message["error"]["code"], message["error"]["message"])
                if message["type"] == "done":
                    yield message["result"]
                    return
                yield str(message["text"])
        finally:
            self._questions.pop(name, None)

    async def told(self) -> AsyncIterator[Json]:
        """What the server says besides answers, until the connection ends."""
        while True:
            while self._told:
                yield self._told.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    # ------------------------------------------------------------ inside

    async def _say(self, message: Json) -> None:
        await self._send(json.dumps(message))

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise _LOST from error

    async def _listen(self) -> None:
        try:
            joined = FrameJoiner()
            async for data in self._socket:
                message = joined.take(data)
                if message is not None:
                    self._hear(message)
        except ConnectionClosed:
            pass
        for question in self._questions.values():
            question.said.put_nowait({"type": "error", "error": {"code": _LOST.code, "message": _LOST.message}})
        self._ended = True
        self._news.set()

    def _hear(self, message: Json) -> None:
        question = self._questions.get(str(message.get("id")))
        if question is not None:
            question.said.put_nowait(message)
            return
        self._told.append(message)
        if len(self._told) > _MOST_UNREAD:
            self._told.popleft()
            self.missed += 1
        self._news.set()


_LOST: Final = ApiError("connection_lost", "the live connection was lost")


async def connections(stream: str, url: str | None = None, key: str | None = None) -> AsyncGenerator[AsyncLive]:
    """A connection, and after it is lost another one, with growing pauses in between.

    What a new one has to know (topics, tracks) is to be said to it again. Close it (`contextlib.aclosing`)
    to end it. Raises ApiError where the server refuses for good or is not there at first; later it is tried again.
    """
    base, headers = server_of(url, key)
    address = f"ws{base.removeprefix('http')}{resource('streams', stream, 'live')}"
    ever = False

    def judge(error: Exception) -> Exception | None:
        """What ends the trying; None: try again."""
        if isinstance(error, InvalidStatus):
            passing = ever and error.response.status_code in _PASSING
            return None if passing else refusal_of(error)
        return None if ever else unreachable(base)

    try:
        # Media does not get smaller by compressing it once more.
        async for socket in connect(
            address, additional_headers=headers, max_size=_LARGEST, proxy=None, open_timeout=10, ping_interval=None,
            compression=None, process_exception=judge,
        ):  # fmt: skip
            ever = True
            live = AsyncLive(socket)
            try:
                yield live
            finally:
                await live.close()
    except WebSocketException as error:
        raise unreachable(base) from error
