"""What travels through the doors: pydantic models of requests (unknown fields refused) and of answers."""

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from server.schemas import NO_NUL, SAYS_SOMETHING, STREAM_ID_PATTERN, TIME, source_schema, time_zones

STREAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""What a stream may be called."""

Pace = Literal["real", "fast"]
State = Literal["connecting", "live", "frozen", "offline", "ended", "failed"]
Decoded = Literal["all", "keyframes"]
TimeSpec = Annotated[str | float | None, WithJsonSchema(TIME)]
"""RFC 3339 with offset, `-10m` before now, or seconds of media time."""


def _whole(value: Any) -> Any:
    """A whole number that is written with a fraction of zero: JSON knows no difference."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_WHOLE = BeforeValidator(_whole)


class Request(BaseModel):
    """Base of all that clients send: strict types, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Reply(BaseModel):
    """Base of all that the server answers."""

    model_config = ConfigDict(frozen=True)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


def known_zone(value: str) -> str:
    """The name of a time zone that there is. Raises ValueError."""
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, LookupError):
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from None


# ---------------------------------------------------------------- errors


class ErrorBody(Reply):
    """What went wrong and what to do."""

    type: str
    code: str
    message: str
    param: str | None = None


class ErrorReply(Reply):
    """OpenAI's error object."""

    error: ErrorBody


# ---------------------------------------------------------------- requests


class SourceSpec(Request):
    """Where a stream comes from: a camera or file by `url`, or `push` by a client. No `pace` means real."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    push: Literal[True] | None = None
    pace: Pace | None = None
    start: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "SourceSpec":
        if (self.url is None) == (self.push is None):
            raise ValueError('give either "url" or "push": true')
        return self


class SampleOptions(Request):
    """How a stream is sampled."""

    fps: Annotated[float, Field(ge=0.001, le=60)] | None = None


class MemoryOptionsSpec(Request):
    """Bounds of a stream's memory."""

    max_event_s: Annotated[float, Field(ge=1, le=86_400)] | None = None
    max_bytes: Annotated[int, Field(ge=1_048_576, le=2**53), _WHOLE] | None = None
    max_age_s: Annotated[float, Field(ge=1, le=3_153_600_000)] | None = None


class StreamOptions(Request):
    """What may be set when a stream is added, and changed at run time."""

    sample: SampleOptions | None = None
    memory: MemoryOptionsSpec | None = None
    prompt: Annotated[str, StringConstraints(max_length=8192), Field(json_schema_extra=NO_NUL)] | None = None
    time_zone: Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra=time_zones())] | None = None

    @field_validator("prompt")
    @classmethod
    def _plain_prompt(cls, value: str | None) -> str | None:
        return value if value is None else _no_nul(value)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else known_zone(value)


class StreamRequest(StreamOptions):
    """POST /v1/streams, and a stream declared in the configuration."""

    id: Annotated[str, Field(json_schema_extra={"pattern": STREAM_ID_PATTERN})]
    source: Annotated[SourceSpec, WithJsonSchema(source_schema())]

    @field_validator("id")
    @classmethod
    def _good_id(cls, value: str) -> str:
        if STREAM_ID.fullmatch(value) is None:
            raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
        return value


class QuestionRequest(Request):
    """A question to one stream."""

    question: Annotated[str, StringConstraints(min_length=1), Field(json_schema_extra=SAYS_SOMETHING)]
    since: TimeSpec = None
    until: TimeSpec = None
    max_tokens: Annotated[int, Field(ge=1, le=4096), _WHOLE] = 256
    deadline_ms: Annotated[int, Field(ge=1, le=600_000), _WHOLE] | None = None
    stream: bool = False
    conversation: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: Annotated[int, Field(ge=0, le=2**53), _WHOLE] = 0

    @field_validator("question")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return _no_nul(value)


class QuestionsRequest(QuestionRequest):
    """A question over several streams; null: all."""

    streams: Annotated[list[str], Field(min_length=1, max_length=256)] | None = None


# ---------------------------------------------------------------- answers


class SourceView(Reply):
    """A stream's source as it is shown: no userinfo, no query."""

    url: str | None = None
    push: bool | None = None
    pace: Pace | None = None
    start: str | None = None


class FpsView(Reply):
    """Frames a second."""

    received: float
    sampled: float


class FramesView(Reply):
    """Frames counted."""

    received: int
    sampled: int
    encoded: int
    dropped: int


class MemoryView(Reply):
    """What a stream's store holds."""

    events: int
    start: str | None
    end: str | None
    bytes: int
    gaps: int


class OptionsView(Reply):
    """A stream's options, null where the server's default holds."""

    sample_fps: float | None
    max_event_s: float | None
    max_bytes: int | None
    max_age_s: float | None
    prompt: str | None
    time_zone: str | None


class StreamReply(Reply):
    """A stream and how it fares. decoded: `keyframes` alone of its video while the server cannot keep up with all."""

    id: str
    state: State
    source: SourceView
    created: str
    last_frame: str | None
    lag_ms: int | None
    fps: FpsView
    frames: FramesView
    size: tuple[int, int] | None
    codec: str | None
    decoded: Decoded
    memory: MemoryView
    options: OptionsView
    error: ErrorBody | None


class StreamList(Reply):
    """A page of streams."""

    streams: list[StreamReply]
    next_cursor: str | None


class SpanView(Reply):
    """From when to when."""

    start: str
    end: str


class FrameView(Reply):
    """A stored frame of an event."""

    n: int
    time: str
    url: str


class EventReply(Reply):
    """A committed event."""

    id: str
    stream: str
    start: str
    end: str
    media_start_us: int
    media_end_us: int
    caption: str | None
    transcript: str | None
    speech: list[SpanView]
    merged: int
    score: float | None
    frames: list[FrameView]


class GapView(Reply):
    """Nothing was perceived from when to when, and why."""

    start: str
    end: str
    reason: str
    stream: str | None = None


class EventList(Reply):
    """A page of events; with the first one of a list by time, the gaps of the asked range."""

    events: list[EventReply]
    next_cursor: str | None
    gaps: list[GapView] = []


class EvidenceView(Reply):
    """A moment that was in the prompt."""

    stream: str
    event: str
    start: str
    end: str
    score: float
    frame: str


class CoverageView(Reply):
    """What memory spans, and how it covers the asked range."""

    covered: Literal["full", "partial", "none"]
    start: str | None
    end: str | None
    gaps: list[GapView]
    grain_ms: int


class TimingView(Reply):
    """Where the time of an answer went."""

    queue_ms: float
    recall_ms: float
    prefill_ms: float
    ttft_ms: float
    total_ms: float


class UsageView(Reply):
    """Tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class AnswerReply(Reply):
    """The answer, its evidence, and how far both can be trusted."""

    id: str
    stream: str | None
    streams: list[str]
    question: str
    answer: str
    finish_reason: Literal["stop", "length", "not_covered"]
    evidence: list[EvidenceView]
    coverage: CoverageView
    staleness_ms: int | None
    timing: TimingView
    usage: UsageView


class RangeView(Reply):
    """The range that was understood; null where a side is open."""

    since: str | None
    until: str | None


class ExplainReply(Reply):
    """How an answer came about."""

    range: RangeView
    gate: dict[str, Any]
    candidates: list[dict[str, Any]]


class DeletedView(Reply):
    """What a forget took away."""

    events: int
    bytes: int


class ForgetReply(Reply):
    """What was forgotten and the whole range that it spanned; null where nothing was."""

    deleted: DeletedView
    start: str | None
    end: str | None


class ProcessView(Reply):
    """A stage process."""

    pid: int | None
    state: str
    restarts: int
    rss_bytes: int
    progress_age_ms: int


class ServerReply(Reply):
    """The server itself. decoding: how questions that are open at once get their tokens: `together` in one pass of the
    model, `apart` where the model's cache cannot be shared, `elsewhere`; null until the model is loaded."""

    version: str
    pid: int
    model: str
    encoder: str
    decoding: Literal["together", "apart", "elsewhere"] | None
    uptime_s: float
    processes: dict[str, ProcessView]
    limits: dict[str, int | float]


class ReadyReply(Reply):
    """Whether the server can work."""

    status: Literal["ready", "not_ready"]
    stages: dict[str, str]


class LiveReply(Reply):
    """The server's loop turns."""

    status: Literal["live"] = "live"
