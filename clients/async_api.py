"""The REST interface of a server for asyncio programs; `clients.api` tells what each call means."""

from collections.abc import AsyncGenerator
from typing import Any, Self

import httpx

from clients.api import Call, EventReader, Json, body_of, check, connection, lost, question_call, resource


class AsyncApi:
    """A connection to one server, as `Api` is one: url, key and errors are the same."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.url, options = connection(url, key)
        self._http = httpx.AsyncClient(**options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Json:
        """GET a resource."""
        return await self._json(Call("GET", path, query))

    async def post(self, path: str, body: Json) -> Json:
        """POST a JSON body."""
        return await self._json(Call("POST", path, body=body))

    async def delete(self, path: str, **query: Any) -> Json:
        """DELETE a resource; {} where the server answers nothing."""
        return await self._json(Call("DELETE", path, query))

    async def picture(self, path: str) -> bytes:
        """GET a picture."""
        return (await self._send(Call("GET", path))).content

    async def add(self, stream: str, source: Json, **options: Any) -> Json:
        """Add a stream."""
        return await self.post("/v1/streams", {"id": stream, "source": source, **options})

    async def stream(self, stream: str) -> Json:
        """How a stream fares."""
        return await self.get(resource("streams", stream))

    async def remove(self, stream: str) -> None:
        """Stop a stream and forget it whole."""
        await self.delete(resource("streams", stream))

    async def events(self, stream: str, **query: Any) -> list[Json]:
        """All committed events that the query (since, until) asks for, oldest first."""
        found: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self.get(resource("streams", stream, "events"), limit=1000, cursor=cursor, **query)
            found += page["events"]
            cursor = page["next_cursor"]
            if cursor is None:
                return sorted(found, key=lambda event: int(event["media_start_us"]))

    async def ask(self, stream: str, question: str, **options: Any) -> Json:
        """Ask a stream; the whole answer."""
        return await self._json(question_call(stream, question, options))

    async def ask_streamed(self, stream: str, question: str, **options: Any) -> AsyncGenerator[str | Json]:
        """Ask a stream: pieces of the answer's text as they come, at last the whole answer."""
        call = question_call(stream, question, {**options, "stream": True})
        reader = EventReader()
        try:
            async with self._http.stream(**call.parts()) as response:
                if not response.is_success:
                    await response.aread()
                check(response)
                async for text in response.aiter_text():
                    for piece in reader.feed(text):
                        yield piece
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error
        reader.close()

    async def _json(self, call: Call) -> Json:
        return body_of(await self._send(call))

    async def _send(self, call: Call) -> httpx.Response:
        try:
            return check(await self._http.request(**call.parts()))
        except httpx.HTTPError as error:
            raise lost(self.url, error) from error
