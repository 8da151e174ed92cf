"""Many askers of a live server at once, each on a websocket of its own; what each question came to, and when."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from clients.api import Json, resource


@dataclass
class Asked:
    """One question. Times are of the monotonic clock, in seconds; first_s: the first delta, else the end.

    code: of the error that it ended with; "": an answer.
    """

    at_s: float
    first_s: float = 0.0
    end_s: float = 0.0
    code: str = ""
    retry_after_s: float | None = None
    result: Json = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return not self.code


class Asker:
    """One connection to one stream, on which any number of questions may be open."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._open: dict[str, tuple[Asked, asyncio.Future[Asked]]] = {}
        self._count = 0
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()
        await self._listener

    async def ask(self, question: str, **options: int) -> Asked:
        """Ask, and wait for the end. A lost connection is an end too, with the code `connection_lost`."""
        self._count += 1
        name = f"a{self._count}"
        asked = Asked(time.monotonic())
        ended: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._open[name] = asked, ended
        await self._socket.send(json.dumps({"type": "ask", "id": name, "question": question, **options}))
        return await ended

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            async for message in self._socket:
                if isinstance(message, str):
                    self._hear(json.loads(message))
        for name in list(self._open):
            self._end(name, {"code": "connection_lost"})

    def _hear(self, message: Json) -> None:
        name = str(message.get("id"))
        if name not in self._open:
            return
        asked, _ = self._open[name]
        if message["type"] == "delta":
            asked.first_s = asked.first_s or time.monotonic()
            return
        asked.result = message.get("result", {})
        asked.retry_after_s = message.get("retry_after_s")
        self._end(name, message.get("error"))

    def _end(self, name: str, error: Json | None) -> None:
        asked, ended = self._open.pop(name)
        asked.end_s = time.monotonic()
        asked.first_s = asked.first_s or asked.end_s
        asked.code = "" if error is None else str(error["code"])
        if not ended.done():
            ended.set_result(asked)


@asynccontextmanager
async def askers(url: str, streams: Sequence[str]) -> AsyncIterator[list[Asker]]:
    """A connected asker for each of these streams; a stream may be named several times."""
    opened: list[Asker] = []
    try:
        for stream in streams:
            address = f"ws{url.removeprefix('http')}{resource('streams', stream, 'live')}"
            socket = await connect(address, proxy=None, ping_interval=None, compression=None)
            await socket.send(json.dumps({"type": "subscribe", "topics": []}))
            opened.append(Asker(socket))
        yield opened
    finally:
        await asyncio.gather(*(asker.close() for asker in opened))


async def keep_asking(asker: Asker, until_s: float, question: str, **options: int) -> list[Asked]:
    """Ask again as soon as the answer is there, until this moment of the monotonic clock."""
    found: list[Asked] = []
    while time.monotonic() < until_s:
        found.append(await asker.ask(question, **options))
    return found


async def ask_at_rate(
    asking: Sequence[Asker], per_s: float, seconds: float, question: str, **options: int
) -> list[Asked]:
    """Ask at even intervals, whether or not what was asked before is answered; the askers take turns."""
    began = time.monotonic()
    under_way: list[asyncio.Task[Asked]] = []
    for n in range(round(per_s * seconds)):
        await asyncio.sleep(max(0.0, began + n / per_s - time.monotonic()))
        under_way.append(asyncio.create_task(asking[n % len(asking)].ask(question, **options)))
    return list(await asyncio.gather(*under_way))
