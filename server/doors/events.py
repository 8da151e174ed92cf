"""Events over HTTP: list and search, one event, its stored frames, forget one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import WithJsonSchema

from memory.messages import FOREVER_US, EventPage
from server.doors.replies import CHECKED, ERRORS, Limit, Since, Stream, TheHub, Until, needs
from server.errors import RequestError
from server.hub import Hub
from server.pictures import check_picture
from server.protocol import EventList, EventReply
from server.schemas import SAYS_SOMETHING
from server.streams import StreamEntry
from server.times import parse_range
from server.views import event_reply

router = APIRouter(prefix="/v1/streams/{id}/events", tags=["events"], responses=ERRORS, dependencies=CHECKED)

EventId = Annotated[str, Path(max_length=128)]
_CursorText = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[tr][0-9]{1,12}$"})]
Cursor = Annotated[_CursorText | None, Query(max_length=1024, description="the next_cursor of the page before")]
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "the frame as stored"}}


def _range(hub: Hub, entry: StreamEntry, since: str | None, until: str | None) -> tuple[int, int]:
    since_us, until_us = parse_range(since, until, entry.clock(hub.core.clocks))
    return (0 if since_us is None else since_us), (FOREVER_US if until_us is None else until_us)


def _list(entry: StreamEntry, page: EventPage) -> EventList:
    return EventList(events=[event_reply(entry, event) for event in page.events], next_cursor=page.next_cursor)


@router.get("", dependencies=[needs("view")])
async def list_events(
    hub: TheHub,
    entry: Stream,
    q: Annotated[str | None, Query(min_length=1, max_length=4096, json_schema_extra=SAYS_SOMETHING)] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> EventList:
    """Newest first; with `q` by likeness to it, best first."""
    if q is not None and ("\0" in q or not q.strip()):
        raise RequestError("invalid_field", "q: say what to look for", "q")
    since_us, until_us = _range(hub, entry, since, until)
    return _list(entry, await hub.list_events(entry, q, since_us, until_us, limit, cursor))


@router.post(
    "/search",
    dependencies=[needs("view")],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
                        ("image/jpeg", "image/png", "image/webp")},
        }
    },
)  # fmt: skip
async def search_events(
    hub: TheHub, entry: Stream, request: Request, since: Since = None, until: Until = None, limit: Limit = 50
) -> EventList:
    """Events by likeness to the picture in the body, best first."""
    since_us, until_us = _range(hub, entry, since, until)
    picture = await request.body()
    check_picture(picture, hub.core.config.limits.image_pixels)
    return _list(entry, await hub.search_picture(entry, picture, since_us, until_us, limit))


@router.get("/{event}", dependencies=[needs("view")])
async def get_event(hub: TheHub, entry: Stream, event: EventId) -> EventReply:
    """One event."""
    return event_reply(entry, (await hub.get_event(entry, event)).event)


@router.delete("/{event}", status_code=204, response_class=Response, dependencies=[needs("admin")])
async def forget_event(hub: TheHub, entry: Stream, event: EventId) -> None:
    """Forget one event."""
    await hub.forgetting.forget_event(entry, event)


@router.get(
    "/{event}/frames/{n}", response_class=Response, responses=_JPEG, dependencies=[needs("view")]
)  # fmt: skip
async def get_frame(hub: TheHub, entry: Stream, event: EventId, n: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
    """A stored frame, byte for byte."""
    return Response(await hub.get_frame(entry, event, n), media_type="image/jpeg")
