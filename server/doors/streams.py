"""Streams over HTTP: add, list, read, change, delete, and forget of their memory."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from server.doors.replies import CHECKED, ERRORS, Limit, Since, Stream, TheHub, Until, Who, needs
from server.errors import RequestError
from server.protocol import STREAM_ID, ForgetReply, StreamList, StreamOptions, StreamReply, StreamRequest
from server.views import forget_reply, stream_reply

_KIND = "application/vnd.sqlite3"
_CONTENT: dict[str, Any] = {_KIND: {"schema": {"type": "string", "format": "binary"}}}
_ARCHIVE: dict[int | str, dict[str, Any]] = {200: {"content": _CONTENT, "description": "the archive"}}

router = APIRouter(prefix="/v1/streams", tags=["streams"], responses=ERRORS, dependencies=CHECKED)


@router.post("", status_code=201, dependencies=[needs("ingest")])
async def add_stream(hub: TheHub, who: Who, request: StreamRequest) -> StreamReply:
    """Add a stream; whether its source opens is told by `state` and `error`."""
    entry = await hub.life.add(who.tenant, request)
    return stream_reply(entry, hub.core.clocks)


@router.get("", dependencies=[needs("view")])
async def list_streams(
    hub: TheHub, who: Who, limit: Limit = 50, cursor: str | None = Query(None, max_length=256)
) -> StreamList:
    """All streams, by id."""
    entries, following = hub.registry.page(who.tenant, limit, cursor)
    return StreamList(streams=[stream_reply(entry, hub.core.clocks) for entry in entries], next_cursor=following)


@router.get("/{id}", dependencies=[needs("view")])
async def get_stream(hub: TheHub, entry: Stream) -> StreamReply:
    """One stream and how it fares."""
    return stream_reply(entry, hub.core.clocks)


@router.patch("/{id}", dependencies=[needs("admin")])
async def change_stream(hub: TheHub, entry: Stream, options: StreamOptions) -> StreamReply:
    """Change options at run time; null gives one back to the server's default."""
    await hub.life.change(entry, options)
    return stream_reply(entry, hub.core.clocks)


@router.delete("/{id}", status_code=204, response_class=Response, dependencies=[needs("admin")])
async def delete_stream(hub: TheHub, entry: Stream) -> None:
    """Stop a stream and forget it whole."""
    await hub.delete_stream(entry)


@router.delete("/{id}/memory", dependencies=[needs("admin")])
async def forget(hub: TheHub, entry: Stream, since: Since = None, until: Until = None) -> ForgetReply:
    """Forget every event that touches the range, whole; without a range all."""
    return forget_reply(entry, await hub.forgetting.forget_range(entry, since, until))


@router.get("/{id}/memory", response_class=StreamingResponse, responses=_ARCHIVE, dependencies=[needs("admin")])
async def export(hub: TheHub, entry: Stream) -> StreamingResponse:
    """The stream's memory as one file, without source, credentials or anything that was forgotten."""
    length, pieces = await hub.archives.export(entry)
    return StreamingResponse(pieces, media_type=_KIND, headers={"Content-Length": str(length)})


@router.put(
    "/{id}/memory",
    status_code=201,
    dependencies=[needs("admin")],
    openapi_extra={"requestBody": {"required": True, "content": _CONTENT}},
)
async def take_in(
    hub: TheHub, who: Who, request: Request, id: Annotated[str, Path(pattern=f"^(?:{STREAM_ID.pattern})$")]
) -> StreamReply:
    """A new stream, offline, with the memory of an archive."""
    if hub.registry.by_key(f"{who.tenant}/{id}") is not None:
        raise RequestError("stream_exists", "there is a stream of this id: choose another or delete it", "id")
    path = await hub.archives.receive(aiter(request.stream()))
    try:
        return stream_reply(await hub.archives.take_in(who.tenant, id, path), hub.core.clocks)
    finally:
        path.unlink(missing_ok=True)
