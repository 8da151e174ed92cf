"""A model of zero cost: a server that speaks OpenAI's chat completions and answers at once, whatever it is asked.

It runs in a thread of the benchmark. Pictures are taken in and not looked at, so that what is measured is the server.
"""

import asyncio
import json
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from clients.api import Json

NAME: Final = "instant"
WORDS: Final = ("A", " man", ".")
_START_S: Final = 10.0


class InstantModel:
    """`with InstantModel() as model:` serves until it is left; `model.url` goes to `--model`."""

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        self._body = _answer(words)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="instant-model", daemon=True)
        self._server: asyncio.Server | None = None
        self.connections = self.answered = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(_START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    @property
    def url(self) -> str:
        """Up to and with `/v1`. Raises RuntimeError before it serves."""
        if self._server is None:
            raise RuntimeError("the model does not serve")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after the other, until the client closes it."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reader.readexactly(_length(head))
                writer.write(_models() if head.startswith("GET ") else self._body)
                self.answered += head.startswith("POST ")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _models() -> bytes:
    return _response("application/json", json.dumps({"object": "list", "data": [{"id": NAME, "object": "model"}]}))


def _answer(words: Sequence[str]) -> bytes:
    """A whole answer as server-sent events: a chunk for each word, the end, the usage."""
    chunks: list[Json] = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": len(words)}})
    events = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    return _response("text/event-stream", "".join(f"data: {event}\n\n" for event in events))


def _response(kind: str, body: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head + body).encode("ascii")
