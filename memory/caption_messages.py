"""What memory and reasoning say to each other about captions: events in, what is to be seen in them out."""

from typing import Final

import msgspec

from perception.messages import Message

LONGEST_CAPTION: Final = 1000
"""Characters of a caption that are kept."""


class CaptionFrame(msgspec.Struct, frozen=True, array_like=True):
    """A keyframe of an event, as stored."""

    media_us: int
    jpeg: bytes


class WantCaption(Message, frozen=True):
    """From reasoning, which has nothing else to do: answered by one `ToCaption` as soon as an event lacks a caption."""


class ToCaption(Message, frozen=True):
    """From memory: the newest closed event without a caption, its frames in time order."""

    stream: str
    event: str
    frames: list[CaptionFrame]


class Captioned(Message, frozen=True):
    """From reasoning: what is to be seen in the event, "" where nothing could be said."""

    stream: str
    event: str
    text: str


class CaptionKept(Message, frozen=True):
    """To the server, from memory: an event's caption is on disk."""

    stream: str
    event: str


class CaptionPutOff(Message, frozen=True):
    """To the server, from reasoning: a caption was broken off for a question."""
