"""Recall: a question in, its context out: the moments of the past that it needs, what was said, what memory covers."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from memory import anchors, coverage, ranking, search
from memory.followup import lean
from memory.gate import Gate, decide
from memory.instant import instant_of
from memory.messages import (
    FOREVER_US,
    About,
    Context,
    Coverage,
    Evidence,
    Occurred,
    Recall,
    SpeechLine,
    StreamCoverage,
)
from memory.occurrences import Occurrence, occurrences
from memory.ranking import WEIGHTS, Candidate, Wanted, Weights
from memory.rows import Vector
from memory.spans import Span
from memory.stream import Stream
from memory.timewords import Moment, TimeRange, order_of, parse
from perception.encoders import TextEncoder

_RECENT_SPEECH_US: Final = 60_000_000
_LINES: Final = 32
_ENDS: Final = 8
_SPREAD: Final = 32
_TOLD_CANDIDATES: Final = 32
_OPEN_WIDTH_US: Final = 600_000_000
_FRAMES: Final = 256
_LEAST: Final = 48
"""Frames that are looked at closely: of all streams together, of each at least. The less like half is never picked for
its likeness: its rows need not be read."""
_LISTED: Final = 2048
"""Frames that are looked at where every event counts, not only the best."""
_COUNT: Final = re.compile(r"\b(?:how many times|how often|the number of times)\b", re.IGNORECASE)
_WHEN: Final = re.compile(r"^\W*(?:when|(?:at )?what time|how long ago)\b", re.IGNORECASE)
_TELLS_TIME: Final = re.compile(
    r"\b(?:when|what|time|how|long|ago|did|does|do|was|were|is|has|have|been|first|last|final(?:ly)?)\b", re.IGNORECASE
)
"""What a question says beside the thing whose times it asks for."""


@dataclass(frozen=True)
class _Asked:
    """What a question asks of one stream, on its own clock, which began at `start_wall_us`."""

    stream: Stream | None
    key: str
    now_us: int
    start_wall_us: int
    time: TimeRange
    span: Span | None


@dataclass(frozen=True)
class Ranked:
    """Candidates of a question, and what picks the best of them."""

    found: Sequence[Candidate]
    wanted: Wanted
    limit: int
    width_us: int

    def best(self, weights: Weights = WEIGHTS) -> list[Candidate]:
        """At most `limit`, best first."""
        ranking.score(self.found, self.wanted, weights)
        return ranking.pick(self.found, self.limit, self.width_us, weights)


class Recaller:
    """Answers recalls from the streams' stores, indexes and open events."""

    def __init__(self, encoder: TextEncoder, evidence: int = 4) -> None:
        """evidence: keyframes for a recall that names no limit of its own (0)."""
        self._encoder = encoder
        self._limit = evidence
        self.on_ranked: Callable[[Ranked], None] | None = None
        """Told what is ranked for each question, before it is."""

    def recall(self, message: Recall, streams: Mapping[str, Stream]) -> Context:
        """One context; of streams that are unknown, an empty coverage."""
        explicit = message.since_us is not None or message.until_us is not None
        asked = [self._ask(message, n, streams) for n in range(len(message.streams))]
        asked = asked if explicit else self._anchored(asked)
        time = next((one.time for one in asked if one.time.limited), None)
        if time is None:
            time = asked[0].time if asked else TimeRange(rest=message.question)
        gate = decide(message.question, time, explicit=explicit)
        limit = message.limit or self._limit
        found = self._find(asked, time) if gate.past and limit > 0 else []
        times = self._times(message.question, asked, time) if found else []
        picked = self._pick(found, asked, time, limit) if not times else _of_times(times, time, limit)
        starts = {one.key: one.start_wall_us for one in asked}
        evidence = sorted(
            self._evidence(picked, streams), key=lambda one: (starts[one.stream] + one.media_us, one.stream)
        )
        coarse = {one.event for one in picked if one.merged > 1}
        covered = [StreamCoverage(one.key, self._coverage(one, gate, evidence, coarse)) for one in asked]
        lines = [line for one in asked for line in _speech(one, gate, found)]
        since_us, until_us = (asked[0].span or (None, None)) if asked else (None, None)
        about = _about(message, asked, time, picked) if gate.past else None
        instant_us = instant_of(asked[0].time) if len(asked) == 1 and not explicit else None
        if instant_us is not None:
            gate = Gate(gate.past, [*gate.reasons, "one instant"])
        explain = _explain(asked, gate, time, [*picked, *(one for one in found if one not in picked)])
        counted = [Occurred(one.stream, one.start_us, one.end_us) for one in times] if _COUNT.search(time.rest) else []
        return Context(
            message.request, evidence, lines, covered, since_us, until_us, gate.past, explain, about, counted or None,
            instant_us,
        )  # fmt: skip

    def _ask(self, message: Recall, n: int, streams: Mapping[str, Stream]) -> _Asked:
        """What the question asks of stream `n`. An explicit range wins over words."""
        key, now_us = message.streams[n], message.now_us[n]
        stream = streams.get(key)
        known = stream.spans().span if stream is not None else None
        start_wall_us, zone = (stream.settings[1], stream.settings[3]) if stream is not None else (0, "UTC")
        before = None if message.asked_wall_us is None else message.asked_wall_us - start_wall_us
        moment = Moment(now_us, start_wall_us, zone, known or (0, now_us), before)
        own = parse(message.question, moment)
        time = lean(own, message.question, message.earlier, moment)
        span: Span | None = None
        if message.since_us is not None or message.until_us is not None:
            time = replace(own, rest=time.rest)
            first = streams.get(message.streams[0])
            # A first stream that memory does not know began when it would have the same 'now'.
            shift = first.settings[1] - start_wall_us if first is not None else now_us - message.now_us[0]
            until = FOREVER_US if message.until_us is None else message.until_us + shift
            since = min(0, until - 1) if message.since_us is None else message.since_us + shift
            span = (since, min(until, max(now_us, since) + 1))
        elif time.limited:
            until = now_us + 1 if time.until_us is None else time.until_us
            # What lies before all that is known is asked about all the same: it is not covered.
            since = min(known[0] if known else 0, until - 1) if time.since_us is None else time.since_us
            span = (since, max(until, since + 1))
        return _Asked(stream, key, now_us, start_wall_us, time, span)

    # ------------------------------------------------------------ what other events say of the time

    def _anchored(self, asked: Sequence[_Asked]) -> list[_Asked]:
        """The question's range by the event that it names ("before the red car came"), where memory knows that one."""
        anchor = anchors.find(asked[0].time.rest) if asked else None
        if anchor is None:
            return list(asked)
        named = self._occurrences(asked, anchor.what, ranking.named)
        if not named:
            return list(asked)
        event = named[0] if anchor.first else named[-1]
        starts = {one.key: one.start_wall_us for one in asked}
        wall = (starts[event.stream] + event.start_us, starts[event.stream] + event.end_us)
        return [_near(one, anchor, wall) for one in asked]

    def _times(self, question: str, asked: Sequence[_Asked], time: TimeRange) -> list[Occurrence]:
        """For a question after when or how often something was so: every time that the events show."""
        if not (_COUNT.search(question) or (time.order is not None and _WHEN.search(question))):
            return []
        return self._occurrences(asked, _TELLS_TIME.sub(" ", _COUNT.sub(" ", time.rest)))

    def _occurrences(
        self,
        asked: Sequence[_Asked],
        text: str,
        shown: Callable[[Sequence[Candidate]], list[Candidate]] = ranking.matching,
    ) -> list[Occurrence]:
        words = search.words_of(text)
        if not words:
            return []
        vector: Vector = self._encoder.embed_texts([" ".join(text.split()).strip(" ?!.")])[0]
        found: list[Candidate] = []
        for one in asked:
            if one.stream is not None:
                # A caption that names something like it would make a time of it.
                query = search.query_for(one.stream, vector, words, one.span, said=True, stand_out=_is_alone(asked))
                found += search.candidates(one.stream, query, frames=_LISTED)
        return occurrences(found, {one.key: one.start_wall_us for one in asked}, shown)

    # ------------------------------------------------------------ evidence

    def _find(self, asked: Sequence[_Asked], time: TimeRange) -> list[Candidate]:
        text = time.rest.strip() or "a scene"
        words = search.words_of(text)
        vector: Vector = self._encoder.embed_texts([text])[0]
        found: list[Candidate] = []
        share = max(_LEAST, _FRAMES // max(1, len(asked)))
        for one in asked:
            if one.stream is not None:
                query = search.query_for(one.stream, vector, words, one.span, stand_out=_is_alone(asked))
                found += search.candidates(one.stream, query, self._extra(one, query, len(asked)), share, share // 2)
        return found

    def _extra(self, asked: _Asked, query: search.Query, streams: int) -> list[int]:
        """Events that time alone speaks for: spread over the range, and its ends; fewer of each of many streams."""
        assert asked.stream is not None
        reader = asked.stream.store.reader
        since, until = asked.span or (-FOREVER_US, FOREVER_US)
        ends = max(2, _ENDS // streams)
        extra = search.spread(asked.stream, query, max(4, _SPREAD // streams))
        if asked.time.order == "first":
            extra += [row.seq for row in reader.oldest(since, until, ends)]
        extra += [row.seq for row in reader.newest(since, until, 1 << 40, ends)]
        return extra

    def _pick(
        self, found: Sequence[Candidate], asked: Sequence[_Asked], time: TimeRange, limit: int
    ) -> list[Candidate]:  # fmt: skip
        if not found:
            return []
        width = max((one.span[1] - one.span[0] for one in asked if one.span is not None), default=_OPEN_WIDTH_US)
        targets = {one.key: one.time.target_us for one in asked if one.time.target_us is not None}
        starts = {one.key: one.start_wall_us for one in asked}
        sharp = width // 4 if time.near_us is None else min(width // 4, time.near_us)
        reach = width if time.near_us is None else min(width, limit * time.near_us)
        ranked = Ranked(found, Wanted(targets, time.order, max(1, sharp), starts), limit, reach)
        if self.on_ranked is not None:
            self.on_ranked(ranked)
        return ranked.best()

    def _evidence(self, picked: Sequence[Candidate], streams: Mapping[str, Stream]) -> list[Evidence]:
        evidence = []
        for one in picked:
            stream = streams[one.stream]
            jpeg = stream.live_frame(one.event, one.n)
            if jpeg is not None:
                stream.builder.pin(one.event, [one.n])
            else:
                jpeg = stream.store.reader.jpeg(one.event, one.n)
            if jpeg is not None:
                told = (one.stream, one.event, one.n, one.media_us, one.start_us, one.end_us, one.score)
                evidence.append(Evidence(*told, jpeg))
        return evidence

    # ------------------------------------------------------------ coverage

    def _coverage(self, asked: _Asked, gate: Gate, evidence: Sequence[Evidence], coarse: Collection[str]) -> Coverage:
        """A question about now is covered by the now window; one about the past by what was remembered of it.

        coarse: events that were merged.
        """
        if asked.stream is None:
            return coverage.EMPTY
        spans = asked.stream.spans()
        grain_us = max((e.end_us - e.start_us for e in evidence if e.stream == asked.key), default=0)
        if not gate.past:
            return coverage.EMPTY if spans.span is None else Coverage("full", *spans.span, [], grain_us)
        asked_span = asked.span if asked.span is not None else spans.span
        if asked_span is None:
            return coverage.EMPTY
        gaps = asked.stream.store.reader.gaps(*asked_span, 64)
        found = coverage.cover(spans, asked.span, asked.now_us, gaps, asked.stream.forgotten, grain_us)
        here = [one for one in evidence if one.stream == asked.key]
        if asked.span is None or not here or any(asked.span[0] <= one.media_us < asked.span[1] for one in here):
            return found
        return coverage.merged_over(found, asked.span) if all(one.event in coarse for one in here) else found


def _is_alone(asked: Sequence[_Asked]) -> bool:
    """Whether one memory is asked: how frames stand out in memories that differ cannot be compared."""
    return len(asked) == 1


def _near(asked: _Asked, anchor: anchors.Anchor, wall: Span) -> _Asked:
    """The range that an event gives, on the stream's own clock."""
    event = (wall[0] - asked.start_wall_us, wall[1] - asked.start_wall_us)
    known = asked.stream.spans().span if asked.stream is not None else None
    meant = anchor.span(event, asked.span or (known[0] if known else 0, asked.now_us + 1))
    if meant is None:
        return asked
    (since, until), target = meant
    order = order_of(anchor.rest)
    words = (*(word for word in asked.time.words if order is None or word != asked.time.order), anchor.words)
    time = replace(
        asked.time, since_us=since, until_us=until, target_us=target, past=True, words=words, rest=anchor.rest,
        order=None if order is None else order[0],
    )  # fmt: skip
    return replace(asked, time=time, span=(since, until))


def _of_times(times: Sequence[Occurrence], time: TimeRange, limit: int) -> list[Candidate]:
    """The moments that show when it was so: the first or last one alone, else some of all, spread evenly."""
    if time.order is not None:
        chosen = [times[0] if time.order == "first" else times[-1]]
    else:
        step = max(1.0, len(times) / limit)
        chosen = [times[int(n * step)] for n in range(min(limit, len(times)))]
    for one in chosen:
        one.best.picked = True
        one.best.score = max(one.best.vector or 0.0, 0.0) if one.best.words is None else 1.0
    return [one.best for one in chosen]


def _about(message: Recall, asked: Sequence[_Asked], time: TimeRange, picked: Sequence[Candidate]) -> About | None:
    """What "that" is behind this question: a range with both its ends; else the best of what was found."""
    if not asked:
        return None
    explicit = message.since_us is not None and message.until_us is not None
    starts = {one.key: one.start_wall_us for one in asked}
    first = asked[0]
    if first.span is not None and (explicit or _is_closed(time)):
        return About(first.start_wall_us + first.span[0], first.start_wall_us + first.span[1], named=True)
    best = max(picked, key=lambda one: one.score, default=None)
    if best is not None:
        start = starts[best.stream]
        return About(start + best.start_us, start + best.end_us, named=False)
    if first.span is not None:
        return About(first.start_wall_us + first.span[0], first.start_wall_us + first.span[1], named=False)
    return None


def _is_closed(time: TimeRange) -> bool:
    return time.since_us is not None and time.until_us is not None and time.near_us is None


def _speech(asked: _Asked, gate: Gate, found: Sequence[Candidate]) -> list[SpeechLine]:
    """What was said in the range; without one, lately and in the events that the words name."""
    stream = asked.stream
    if stream is None:
        return []
    since, until = asked.span or (asked.now_us - _RECENT_SPEECH_US, asked.now_us + 1)
    reader = stream.store.reader
    named = [one.seq for one in found if gate.past and one.words is not None and one.stream == asked.key]
    rows = {**reader.by_seq([*reader.spoken(*reader.hull(since, until), _LINES), *named])}
    rows |= {row.seq: row for row in stream.live()}
    lines = [
        SpeechLine(asked.key, said.start_us, said.end_us, said.text)
        for row in rows.values()
        for said in row.speech
        if said.text and (row.seq in named or (said.start_us < until and said.end_us > since))
    ]
    return sorted(lines, key=lambda line: line.start_us)[-_LINES:]


def _explain(asked: Sequence[_Asked], gate: Gate, time: TimeRange, found: Sequence[Candidate]) -> str:
    """What decided, as JSON: no picture, no transcript."""
    span = asked[0].span if asked else None
    since_us, until_us = span if span is not None else (None, None)
    best = sorted(found, key=lambda one: (not one.picked, -one.score))[:_TOLD_CANDIDATES]
    told: dict[str, Any] = {
        "since_us": since_us,
        "until_us": until_us,
        "time_words": list(time.words),
        "order": time.order,
        "gate": msgspec.to_builtins(gate),
        "candidates": [_told(one) for one in best],
    }
    return json.dumps(told)


def _told(one: Candidate) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "event": one.event,
        "n": one.n,
        "media_us": one.media_us,
        "score": round(one.score, 4),
        "likeness": None if one.vector is None else round(one.vector, 4),
        "salience": None if one.salience is None else round(one.salience, 4),
        "words": None if one.words is None else round(one.words, 4),
        "parts": {name: round(value, 4) for name, value in one.parts.items()},
        "picked": one.picked,
    }
