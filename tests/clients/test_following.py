"""A stream's events over a connection that is lost: each is told once, in order, those in between included."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from clients.api import ApiError
from clients.following import follow


def event(number: int) -> dict[str, Any]:
    return {"id": f"e_{number}", "media_start_us": number * 1000, "start": f"2026-01-01T00:00:{number:02}Z"}


@dataclass
class Server:
    """Lists events, and tells each connection what is put into its queue; None: the connection is lost."""

    events: list[dict[str, Any]] = field(default_factory=list)
    queues: asyncio.Queue["asyncio.Queue[Any]"] = field(default_factory=asyncio.Queue)
    refuse: int = 0

    async def live(self, socket: ServerConnection) -> None:
        assert json.loads(await socket.recv()) == {"type": "subscribe", "topics": ["events"]}
        says: asyncio.Queue[Any] = asyncio.Queue()
        closed = asyncio.ensure_future(socket.wait_closed())
        closed.add_done_callback(lambda _: says.put_nowait(None))
        self.queues.put_nowait(says)
        while (told := await says.get()) is not None:
            await socket.send(json.dumps(told))
        socket.transport.abort()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        place = urlsplit(request.path)
        if place.path.endswith("/live"):
            return connection.respond(self.refuse, "{}") if self.refuse else None
        since = parse_qs(place.query).get("since", [""])[0]
        limit = int(parse_qs(place.query).get("limit", ["1"])[0])
        found = [one for one in self.events if one["start"] >= since][::-1][:limit]
        name = place.path.rpartition("/")[2]
        if name == "events":
            return said({"events": found, "next_cursor": None})
        named = [one for one in self.events if one["id"] == name]
        return said(named[0]) if named else said({"error": {"code": "event_not_found", "message": "gone"}}, 404)

    def commit(self, number: int) -> dict[str, Any]:
        self.events.append(event(number))
        return {"type": "event", "event": event(number)}


def said(body: Any, status: int = 200) -> Response:
    data = json.dumps(body).encode()
    return Response(status, "", Headers({"content-length": str(len(data)), "connection": "close"}), data)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    async with serve(server.live, "127.0.0.1", 0, process_request=server.answer) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_each_event_is_told_once_over_a_lost_connection() -> None:
    server = Server([event(1), event(2), event(3)])
    async with serving(server) as url, aclosing(follow("cam", url)) as events:
        first = asyncio.ensure_future(anext(events))
        says = await server.queues.get()
        says.put_nowait({"type": "state", "stream": {}})
        # The third was still open when following began, and ends now.
        says.put_nowait({"type": "event", "event": event(3)})
        assert (await first)["id"] == "e_3"
        following = asyncio.ensure_future(anext(events))
        says.put_nowait(None)
        server.commit(4), server.commit(5)
        assert (await following)["id"] == "e_4"
        # The fifth may go on; that the sixth is told says that it has ended.
        following = asyncio.ensure_future(anext(events))
        (await server.queues.get()).put_nowait(server.commit(6))
        assert [(await following)["id"], (await anext(events))["id"]] == ["e_5", "e_6"]


async def test_one_that_is_merged_away_meanwhile_is_left_out() -> None:
    server = Server([event(1)])
    async with serving(server) as url, aclosing(follow("cam", url)) as events:
        following = asyncio.ensure_future(anext(events))
        says = await server.queues.get()
        says.put_nowait(server.commit(2))
        assert (await following)["id"] == "e_2"
        following = asyncio.ensure_future(anext(events))
        says.put_nowait(None)
        server.commit(3)
        says = await server.queues.get()
        server.events.pop()
        says.put_nowait(server.commit(4))
        assert (await following)["id"] == "e_4"


async def test_a_refusal_for_good_ends_it() -> None:
    server = Server(refuse=404)
    async with serving(server) as url:
        with pytest.raises(ApiError):
            await anext(follow("cam", url))
