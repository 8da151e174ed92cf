"""A stream's events as they are remembered, each once, over lost connections and restarts of the server."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from clients.api import ApiError, Json, resource
from clients.async_api import AsyncApi
from clients.async_live import AsyncLive, connections

_AWAY = frozenset({"connection_lost", "unreachable", "not_ready", "draining", "process_lost"})
"""What passes by itself: the next connection makes up for it."""


async def follow(stream: str, url: str | None = None, key: str | None = None) -> AsyncGenerator[Json]:
    """Events from now on, as soon as each has ended and is on disk, in order.

    What was remembered while the connection was lost comes first when there is one again. Raises ApiError where the
    server refuses for good, or is not there at first.
    """
    async with AsyncApi(url, key) as api, aclosing(connections(stream, url, key)) as lives:
        follower = _Follower(api, stream)
        async for live in lives:
            try:
                async with aclosing(follower.listen(live)) as events:
                    async for event in events:
                        yield event
            except ApiError as error:
                if error.code not in _AWAY:
                    raise


class _Follower:
    """Knows how far its listener has come. _told: the newest event that was; _held: one that may not have ended yet."""

    def __init__(self, api: AsyncApi, stream: str) -> None:
        self._api = api
        self._stream = stream
        self._told: Json | None = None
        self._held: Json | None = None
        self._begun = False

    async def listen(self, live: AsyncLive) -> AsyncGenerator[Json]:
        """What was missed before this connection, then what it says, until it is lost."""
        await live.subscribe("events")
        for event in await self._missed():
            yield event
        missed = live.missed
        async for message in live.told():
            if message["type"] != "event":
                continue
            for event in await self._missed() if live.missed > missed else []:
                yield event
            missed = live.missed
            async for event in self._next(message["event"]):
                yield event

    async def _missed(self) -> list[Json]:
        """Events behind the one that was told last; the newest of all is held back, for it may not have ended."""
        if not self._begun:
            newest = (await self._api.get(resource("streams", self._stream, "events"), limit=2))["events"]
            self._begun = True
            # The newest may go on: then its end is still to be told.
            self._told = newest[1] if len(newest) > 1 else None
            return []
        since = None if self._told is None else self._told["start"]
        found = [one for one in await self._api.events(self._stream, since=since) if self._is_new(one)]
        self._held = found.pop() if found else self._held
        for event in found:
            self._told = event
        return found

    async def _next(self, event: Json) -> AsyncGenerator[Json]:
        held, self._held = self._held, None
        if held is not None and held["id"] != event["id"] and self._is_new(held):
            try:
                yield await self._api.get(resource("streams", self._stream, "events", held["id"]))
            except ApiError as error:
                # Merged with its neighbour or forgotten meanwhile: it is no more.
                if error.code != "event_not_found":
                    raise
        if self._is_new(event):
            self._told = event
            yield event

    def _is_new(self, event: Json) -> bool:
        return self._told is None or int(event["media_start_us"]) > int(self._told["media_start_us"])
