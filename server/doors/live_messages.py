"""What clients send on the live websocket as text."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from server.protocol import QuestionRequest, Request

Topic = Literal["state", "events", "frames"]


class AskMessage(QuestionRequest):
    """Websocket: ask; the terminal carries the caller's `id`."""

    type: Literal["ask"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CancelMessage(Request):
    """Websocket: nobody waits for this answer any more."""

    type: Literal["cancel"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class SubscribeMessage(Request):
    """Websocket: what to be told, from now on."""

    type: Literal["subscribe"]
    topics: Annotated[list[Topic], Field(max_length=16)]


class MediaMessage(Request):
    """Websocket: what the binary messages of a track are."""

    type: Literal["media"]
    track: Annotated[int, Field(ge=0, le=255)]
    codec: str
    rate: Annotated[int, Field(ge=8_000, le=192_000)] | None = None
    channels: Annotated[int, Field(ge=1, le=8)] | None = None


LiveMessage = Annotated[AskMessage | CancelMessage | SubscribeMessage | MediaMessage, Field(discriminator="type")]
live_message: TypeAdapter[AskMessage | CancelMessage | SubscribeMessage | MediaMessage] = TypeAdapter(LiveMessage)
