"""What memory takes and gives. Media times in integer microseconds; `request` ties an answer to its question."""

from typing import Literal

import msgspec

from memory.caption_messages import Captioned, CaptionKept, ToCaption, WantCaption
from perception.messages import Fault, Message, PerceptRecord

FOREVER_US = 2**62
"""An `until_us` that means: without end."""

Covered = Literal["full", "partial", "none"]

# ---------------------------------------------------------------- records


class FrameRef(msgspec.Struct, frozen=True, array_like=True):
    """Frame `n` of an event, by its media time."""

    n: int
    media_us: int


class SpeechSpan(msgspec.Struct, frozen=True, array_like=True):
    """Someone spoke in [start_us, end_us)."""

    start_us: int
    end_us: int


class EventRecord(msgspec.Struct, frozen=True, array_like=True):
    """A committed event. `merged` counts the original events in it; `score` is set where it was searched for."""

    id: str
    stream: str
    start_us: int
    end_us: int
    caption: str | None
    transcript: str | None
    speech: list[SpeechSpan]
    merged: int
    frames: list[FrameRef]
    open: bool
    score: float | None = None


class GapRecord(msgspec.Struct, frozen=True, array_like=True):
    """Nothing was perceived in [start_us, end_us)."""

    start_us: int
    end_us: int
    reason: str


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """One recalled keyframe, as stored."""

    stream: str
    event: str
    n: int
    media_us: int
    start_us: int
    end_us: int
    score: float
    jpeg: bytes


class Coverage(msgspec.Struct, frozen=True, array_like=True):
    """What memory spans (start_us..end_us, -1 when empty) and how it covers the asked range."""

    covered: Covered
    start_us: int
    end_us: int
    gaps: list[GapRecord]
    grain_us: int


class MemoryOptions(msgspec.Struct, frozen=True, array_like=True):
    """Bounds of one stream's memory; None: the server's default."""

    max_event_us: int | None = None
    max_bytes: int | None = None
    max_age_us: int | None = None


# ---------------------------------------------------------------- server -> memory


class OpenMemory(Message, frozen=True):
    """Open or create a stream's store. `declaration`: the server's own JSON, kept and handed back at start."""

    stream: str
    start_wall_us: int
    declaration: str
    options: MemoryOptions
    time_zone: str


class UpdateMemory(Message, frozen=True):
    """Replace declaration and options of an open store; answered by `Updated`."""

    stream: str
    request: int
    declaration: str
    options: MemoryOptions
    time_zone: str


class DropMemory(Message, frozen=True):
    """Delete a stream's store whole; answered by `Dropped`."""

    stream: str
    request: int


class ExportMemory(Message, frozen=True):
    """Archive a stream; answered by `Exported`."""

    stream: str
    request: int


class ImportMemory(Message, frozen=True):
    """Make a stream of the archive at `path`, answered by `Imported`; start and zone of its declaration are put in."""

    stream: str
    request: int
    path: str
    declaration: str


class ListEvents(Message, frozen=True):
    """Events that touch [since_us, until_us): newest first, or by likeness to `q`, best first."""

    stream: str
    request: int
    q: str | None
    since_us: int
    until_us: int
    limit: int
    cursor: str | None


class SearchPicture(Message, frozen=True):
    """Events by likeness to a picture (JPEG, PNG or WebP)."""

    stream: str
    request: int
    picture: bytes
    since_us: int
    until_us: int
    limit: int


class GetEvent(Message, frozen=True):
    """One event."""

    stream: str
    request: int
    event: str


class GetFrame(Message, frozen=True):
    """One stored frame of an event."""

    stream: str
    request: int
    event: str
    n: int


class Forget(Message, frozen=True):
    """Forget one event, or (`event` None) every event that touches [since_us, until_us), the open one included."""

    stream: str
    request: int
    event: str | None
    since_us: int
    until_us: int


# ---------------------------------------------------------------- reasoning -> memory


class About(msgspec.Struct, frozen=True, array_like=True):
    """The time that a question was about, as Unix time. named: its own words, or its range, said which."""

    since_wall_us: int
    until_wall_us: int
    named: bool


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """An earlier question of the same conversation, and what "that" means behind it; None: nothing that is known."""

    question: str
    answer: str
    about: About | None


class Recall(Message, frozen=True):
    """What of the past does this question need?

    since_us/until_us: an explicit range on the first stream's clock, or None to let time words decide. now_us: the
    newest moment of each stream on its own media clock, same order as `streams`. earlier: of its conversation, oldest
    first. asked_wall_us: Unix time of the conversation's question before this one.
    """

    request: int
    streams: list[str]
    question: str
    since_us: int | None
    until_us: int | None
    now_us: list[int]
    limit: int
    earlier: tuple[Earlier, ...] = ()
    asked_wall_us: int | None = None


MemoryInput = (
    PerceptRecord
    | OpenMemory
    | UpdateMemory
    | DropMemory
    | ExportMemory
    | ImportMemory
    | ListEvents
    | SearchPicture
    | GetEvent
    | GetFrame
    | Forget
    | Recall
    | WantCaption
    | Captioned
)

# ---------------------------------------------------------------- memory -> reasoning


class StreamCoverage(msgspec.Struct, frozen=True, array_like=True):
    """Coverage of one of the streams that were asked."""

    stream: str
    coverage: Coverage


class SpeechLine(msgspec.Struct, frozen=True, array_like=True):
    """A transcript that belongs to the recalled or recent past."""

    stream: str
    start_us: int
    end_us: int
    text: str


class Occurred(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of neighbouring events that show what was asked for, on its stream's clock."""

    stream: str
    start_us: int
    end_us: int


class Context(Message, frozen=True):
    """Answer to `Recall`: evidence in time order (empty where the gate keeps the past out), speech, coverage.

    since_us/until_us: the range that was understood, None where none was. explain: JSON of gate, candidates and scores.
    about: the time of what was found, for who asks on; None for a question about now.
    counted: where a question asks how often: every time that the events show, in time order; None where none does.
    instant_us: where a question to one stream asks how things were at one instant: that, on the stream's clock.
    """

    request: int
    evidence: list[Evidence]
    speech: list[SpeechLine]
    coverage: list[StreamCoverage]
    since_us: int | None
    until_us: int | None
    needs_past: bool
    explain: str
    about: About | None = None
    counted: list[Occurred] | None = None
    instant_us: int | None = None


# ---------------------------------------------------------------- memory -> server


class StreamRestored(Message, frozen=True):
    """Found in the data folder at start: the declaration as it was stored, and where media time goes on."""

    stream: str
    declaration: str
    end_us: int


class MemoryOpened(Message, frozen=True):
    """Answer to `OpenMemory`: `end_us` is where stored media time ends (0 for a new store)."""

    stream: str
    end_us: int
    fault: Fault | None


class MemoryStatus(Message, frozen=True):
    """What a stream's store holds: after each commit, at most once a second.

    fault: nothing new can be stored now, and why. corrupt: rows found damaged, which are left out.
    """

    stream: str
    events: int
    start_us: int
    end_us: int
    bytes: int
    gaps: int
    fault: Fault | None = None
    corrupt: int = 0


class EventCommitted(Message, frozen=True):
    """A closed event is on disk."""

    event: EventRecord


class BarrierReached(Message, frozen=True):
    """Everything before this barrier is committed, but for what could not be stored (`fault`)."""

    stream: str
    barrier: int
    fault: Fault | None = None


class Updated(Message, frozen=True):
    """Answer to `UpdateMemory`: it is on disk."""

    request: int


class Dropped(Message, frozen=True):
    """Answer to `DropMemory`."""

    stream: str
    request: int


class Exported(Message, frozen=True):
    """Answer to `ExportMemory`: the archive lies at `path`, for the server to take away."""

    request: int
    path: str


class Imported(Message, frozen=True):
    """Answer to `ImportMemory`: the stream is on disk and open; `end_us` is where its media time goes on."""

    request: int
    declaration: str
    end_us: int


class EventPage(Message, frozen=True):
    """Answer to `ListEvents` and `SearchPicture`. gaps: of the asked range, with the first page of a list by time."""

    request: int
    events: list[EventRecord]
    next_cursor: str | None
    gaps: list[GapRecord] = msgspec.field(default_factory=list)


class EventFound(Message, frozen=True):
    """Answer to `GetEvent`."""

    request: int
    event: EventRecord


class FrameFound(Message, frozen=True):
    """Answer to `GetFrame`: the JPEG as stored."""

    request: int
    jpeg: bytes


class Forgotten(Message, frozen=True):
    """Answer to `Forget`: what went, and the whole range that it spanned (-1 when nothing did).

    changed: events that stay, without the pictures of theirs that were captured in what was forgotten.
    """

    stream: str
    request: int
    events: list[str]
    bytes: int
    start_us: int
    end_us: int
    changed: list[str]


class Refused(Message, frozen=True):
    """A request of the server that failed."""

    request: int
    fault: Fault


MemoryOutput = (
    Context | ToCaption | CaptionKept | StreamRestored | MemoryOpened | MemoryStatus | EventCommitted | BarrierReached
    | Updated | Dropped | Exported | Imported | EventPage | EventFound | FrameFound | Forgotten | Refused
)  # fmt: skip
