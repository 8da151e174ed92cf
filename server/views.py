"""Structs of the stages as the replies that clients read: wall times, addresses on this server, nothing secret."""

import json
from collections.abc import Sequence
from typing import Any

from memory.messages import Coverage, EventRecord, Forgotten, GapRecord
from perception.messages import Fault
from reasoning.messages import AnswerDone, EvidenceUsed
from server.core import Clocks
from server.errors import type_of
from server.protocol import (
    AnswerReply,
    CoverageView,
    DeletedView,
    ErrorBody,
    EventReply,
    EvidenceView,
    ExplainReply,
    ForgetReply,
    FpsView,
    FramesView,
    FrameView,
    GapView,
    MemoryView,
    OptionsView,
    RangeView,
    SourceView,
    SpanView,
    StreamReply,
    TimingView,
    UsageView,
)
from server.sources import shown_url
from server.streams import StreamEntry
from server.times import wall_text

_WATCHED = frozenset({"live", "frozen"})


def error_body(fault: Fault) -> ErrorBody:
    """A fault as the error object that every door speaks."""
    return ErrorBody(type=type_of(fault.code), code=fault.code, message=fault.message, param=fault.param)


def stream_reply(entry: StreamEntry, clocks: Clocks) -> StreamReply:
    """A stream and how it fares, now."""
    status = entry.status
    start = entry.declaration.start_wall_us
    return StreamReply(
        id=entry.id,
        state=entry.state,
        source=_source(entry),
        created=wall_text(entry.declaration.created_wall_us),
        last_frame=None if entry.newest_us < 0 else wall_text(start + entry.newest_us),
        lag_ms=lag_ms(entry, clocks),
        fps=FpsView(
            received=0.0 if status is None else round(status.received_fps, 3),
            sampled=0.0 if status is None else round(status.sampled_fps, 3),
        ),
        frames=FramesView(
            received=0 if status is None else status.received,
            sampled=0 if status is None else status.sampled,
            encoded=0 if status is None else status.encoded,
            dropped=0 if status is None else status.dropped,
        ),
        size=None if status is None or status.width <= 0 else (status.width, status.height),
        codec=None if status is None else status.codec,
        decoded="all" if status is None else status.decoded,
        memory=_memory(entry),
        options=_options(entry),
        error=None if entry.error is None else error_body(entry.error),
    )


def lag_ms(entry: StreamEntry, clocks: Clocks) -> int | None:
    """Age of the newest perceived frame of a stream that is watched; null where there is none."""
    if entry.state not in _WATCHED or entry.newest_arrival_us < 0:
        return None
    return max(0, clocks.monotonic_us() - entry.newest_arrival_us) // 1000


def _source(entry: StreamEntry) -> SourceView:
    declaration = entry.declaration
    pace = declaration.pace
    if declaration.url is None:
        return SourceView(push=True, pace=pace or "real", start=declaration.start)
    if pace is None and declaration.url[:5].lower() == "file:":
        pace = "real"
    return SourceView(url=shown_url(declaration.url), pace=pace, start=declaration.start)


def _memory(entry: StreamEntry) -> MemoryView:
    held, start = entry.memory, entry.declaration.start_wall_us
    if held is None:
        return MemoryView(events=0, start=None, end=None, bytes=0, gaps=0)
    return MemoryView(
        events=held.events,
        start=None if held.start_us < 0 else wall_text(start + held.start_us),
        end=None if held.end_us < 0 else wall_text(start + held.end_us),
        bytes=held.bytes,
        gaps=held.gaps,
    )


def _options(entry: StreamEntry) -> OptionsView:
    declaration = entry.declaration
    return OptionsView(
        sample_fps=declaration.sample_fps,
        max_event_s=declaration.max_event_s,
        max_bytes=declaration.max_bytes,
        max_age_s=declaration.max_age_s,
        prompt=declaration.prompt,
        time_zone=declaration.time_zone,
    )


def frame_address(stream: str, event: str, n: int) -> str:
    """Where a stored frame is served."""
    return f"/v1/streams/{stream}/events/{event}/frames/{n}"


def event_reply(entry: StreamEntry, event: EventRecord) -> EventReply:
    """A committed event."""
    start = entry.declaration.start_wall_us
    return EventReply(
        id=event.id,
        stream=entry.id,
        start=wall_text(start + event.start_us),
        end=wall_text(start + event.end_us),
        media_start_us=event.start_us,
        media_end_us=event.end_us,
        caption=event.caption,
        transcript=event.transcript,
        speech=[
            SpanView(start=wall_text(start + span.start_us), end=wall_text(start + span.end_us))
            for span in event.speech
        ],
        merged=event.merged,
        score=event.score,
        frames=[
            FrameView(n=frame.n, time=wall_text(start + frame.media_us), url=frame_address(entry.id, event.id, frame.n))
            for frame in event.frames
        ],
    )


def gap_reply(entry: StreamEntry, gap: GapRecord, *, named: bool = False) -> GapView:
    """When nothing was perceived. named: whether it says of which stream."""
    return GapView(
        start=wall_text(_wall(entry, gap.start_us)),
        end=wall_text(_wall(entry, gap.end_us)),
        reason=gap.reason,
        stream=entry.id if named else None,
    )


def forget_reply(entry: StreamEntry, forgotten: Forgotten) -> ForgetReply:
    """What went."""
    start, nothing = entry.declaration.start_wall_us, forgotten.start_us < 0
    return ForgetReply(
        deleted=DeletedView(events=len(forgotten.events), bytes=forgotten.bytes),
        start=None if nothing else wall_text(start + forgotten.start_us),
        end=None if nothing else wall_text(start + forgotten.end_us),
    )


# ---------------------------------------------------------------- answers


def answer_reply(
    question_id: str, question: str, entries: Sequence[StreamEntry], text: str, done: AnswerDone, arrival_us: int
) -> AnswerReply:
    """A finished answer. text: the joined deltas."""
    by_key = {entry.key: entry for entry in entries}
    stale_us = arrival_us - done.newest_arrival_us
    timing = done.timing
    return AnswerReply(
        id=question_id,
        stream=entries[0].id if len(entries) == 1 else None,
        streams=[entry.id for entry in entries],
        question=question,
        answer=text,
        finish_reason=done.finish_reason,
        evidence=[_evidence(by_key[used.stream], used) for used in done.evidence if used.stream in by_key],
        coverage=_coverage(entries, done.coverage),
        staleness_ms=None if done.newest_arrival_us < 0 else max(0, stale_us) // 1000,
        timing=TimingView(
            queue_ms=_ms(timing.queue_us),
            recall_ms=_ms(timing.recall_us),
            prefill_ms=_ms(timing.prefill_us),
            ttft_ms=_ms(timing.ttft_us),
            total_ms=_ms(timing.total_us),
        ),
        usage=UsageView(
            input_tokens=done.input_tokens,
            output_tokens=done.output_tokens,
            total_tokens=done.input_tokens + done.output_tokens,
        ),
    )


def _ms(us: int) -> float:
    return round(us / 1000, 3)


def _evidence(entry: StreamEntry, used: EvidenceUsed) -> EvidenceView:
    start = entry.declaration.start_wall_us
    return EvidenceView(
        stream=entry.id,
        event=used.event,
        start=wall_text(start + used.start_us),
        end=wall_text(start + used.end_us),
        score=used.score,
        frame=frame_address(entry.id, used.event, used.n),
    )


def _coverage(entries: Sequence[StreamEntry], parts: Sequence[Coverage]) -> CoverageView:
    """Of several streams: full if all are, none if none is; the span holds all of theirs."""
    pairs = list(zip(entries, parts, strict=False))
    spans = [(_wall(entry, part.start_us), _wall(entry, part.end_us)) for entry, part in pairs if part.start_us >= 0]
    kinds = {part.covered for _, part in pairs}
    return CoverageView(
        covered=kinds.pop() if len(kinds) == 1 else ("partial" if kinds else "none"),
        start=wall_text(min(start for start, _ in spans)) if spans else None,
        end=wall_text(max(end for _, end in spans)) if spans else None,
        gaps=[gap_reply(entry, gap, named=len(pairs) > 1) for entry, part in pairs for gap in part.gaps],
        grain_ms=max((part.grain_us for _, part in pairs), default=0) // 1000,
    )


def _wall(entry: StreamEntry, media_us: int) -> int:
    return entry.declaration.start_wall_us + media_us


def explain_reply(explain: str, start_wall_us: int, since_us: int | None, until_us: int | None) -> ExplainReply:
    """How an answer came about; `explain` is memory's own JSON: range, gate and candidates."""
    try:
        content: dict[str, Any] = json.loads(explain) if explain else {}
    except ValueError:
        content = {}
    understood = content.get("range") or content
    since_us = understood.get("since_us", since_us)
    until_us = understood.get("until_us", until_us)
    return ExplainReply(
        range=RangeView(
            since=None if since_us is None else wall_text(start_wall_us + since_us),
            until=None if until_us is None else wall_text(start_wall_us + until_us),
        ),
        gate=content.get("gate") or {},
        candidates=[_candidate(one) for one in content.get("candidates", [])],
    )


def _candidate(one: dict[str, Any]) -> dict[str, Any]:
    """A candidate with its stream as its tenant calls it."""
    return {**one, "stream": str(one.get("stream", "")).partition("/")[2]}
