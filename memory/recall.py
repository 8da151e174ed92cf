"""What of the past a question needs: time words, the gate, a ranking of events, and what memory covers."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from memory.events import Vector
from memory.index import Hit
from memory.messages import Coverage, Evidence, GapRecord, Recall, SpeechLine
from memory.stream import StreamMemory
from memory.timewords import Gate, TimeRange, gate, parse_range

_WORD_WEIGHT: Final = 1.0
_RECENCY_WEIGHT: Final = 0.05
_RECENCY_HALF_US: Final = 600_000_000
_CANDIDATES: Final = 64
_SPREAD_US: Final = 1_000_000
"""Two keyframes closer than this show the same; one of them is enough."""
_STOP: Final = frozenset(
    (
        *("the", "a", "an", "of", "in", "on", "at", "to", "is", "are", "was", "were", "did", "do", "does", "what", "when"),
        *("where", "who", "how", "i", "you", "it", "that", "this"),
    )
)


@dataclass(frozen=True)
class Candidate:
    """A keyframe that was considered, and why it stands where it stands."""

    stream: str
    event: str
    n: int
    media_us: int
    likeness: float
    words: float
    recency: float

    @property
    def score(self) -> float:
        """What candidates are ranked by."""
        return self.likeness + self.words + self.recency


@dataclass(frozen=True)
class Understood:
    """How a question was read for one stream."""

    range: TimeRange | None
    gate: Gate


def understand(recall: Recall, memory: StreamMemory, now_us: int) -> Understood:
    """Range and gate; an explicit range wins over time words."""
    if recall.since_us is not None or recall.until_us is not None:
        since = recall.since_us if recall.since_us is not None else 0
        until = recall.until_us if recall.until_us is not None else now_us + 1
        return Understood(TimeRange(since, until, "explicit"), gate(recall.question, explicit=True, ranged=True))
    found = parse_range(recall.question, now_us, memory.start_wall_us, memory.time_zone)
    return Understood(found, gate(recall.question, explicit=False, ranged=found is not None))


def rank(memory: StreamMemory, question: str, query: Vector, within: TimeRange | None, now_us: int) -> list[Candidate]:
    """The stream's keyframes inside a range, best first."""
    since, until = (within.since_us, within.until_us) if within is not None else (0, 2**62)
    said = {event: overlap(question, words) for event, _, _, words in memory.spoken(since, until)}
    hits = memory.search(query, since, until, _CANDIDATES)
    spoken = [Hit(event, *memory.first_frame(event), 0.0) for event in said if all(event != hit.event for hit in hits)]
    found = [
        Candidate(
            memory.stream, hit.event, hit.n, hit.media_us, round(hit.score, 6),
            round(_WORD_WEIGHT * said.get(hit.event, 0.0), 6),
            round(_RECENCY_WEIGHT * 0.5 ** (max(0, now_us - hit.media_us) / _RECENCY_HALF_US), 6),
        )
        for hit in (*hits, *spoken)
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one.score)


def choose(candidates: list[Candidate], limit: int) -> list[Candidate]:
    """The best, spread over events first: a second frame of an event only when every event has had its turn."""
    ranked = sorted(candidates, key=lambda one: -one.score)
    chosen: list[Candidate] = []
    for again in (False, True):
        for one in ranked:
            if len(chosen) == limit:
                return sorted(chosen, key=lambda c: c.media_us)
            near = any(one.stream == c.stream and abs(one.media_us - c.media_us) < _SPREAD_US for c in chosen)
            seen = any(one.event == c.event for c in chosen)
            if one not in chosen and not near and seen == again:
                chosen.append(one)
    return sorted(chosen, key=lambda c: c.media_us)


def overlap(question: str, words: str) -> float:
    """Share of the question's telling words that were said."""
    asked = {word for word in re.findall(r"\w+", question.lower()) if word not in _STOP}
    heard = set(re.findall(r"\w+", words.lower()))
    return len(asked & heard) / len(asked) if asked else 0.0


def evidence_of(memory: StreamMemory, candidate: Candidate) -> Evidence | None:
    """The keyframe with its picture; None where it is gone or damaged."""
    jpeg = memory.jpeg(candidate.event, candidate.n)
    span = memory.span_of(candidate.event)
    if jpeg is None or span is None:
        return None
    return Evidence(
        memory.stream, candidate.event, candidate.n, candidate.media_us, *span, round(candidate.score, 6), jpeg
    )


def coverage_of(memory: StreamMemory, within: TimeRange | None) -> Coverage:
    """What memory spans, and how far it holds the asked range."""
    start, end = memory.span()
    if start < 0:
        return Coverage("none", -1, -1, [], 0)
    since, until = (within.since_us, within.until_us) if within is not None else (start, end + 1)
    gaps = memory.gaps(since, until)
    if until <= start or since > end or any(gap.start_us <= since and until <= gap.end_us for gap in gaps):
        return Coverage("none", start, end, gaps, 0)
    outside = since < start - _SPREAD_US or until > end + memory.tolerance_us
    return Coverage("partial" if outside or gaps else "full", start, end, _clip(gaps, since, until), 0)


def _clip(gaps: list[GapRecord], since: int, until: int) -> list[GapRecord]:
    return [GapRecord(max(since, gap.start_us), min(until, gap.end_us), gap.reason) for gap in gaps]


def speech_of(memory: StreamMemory, within: TimeRange | None, now_us: int) -> list[SpeechLine]:
    """What was said in the range, or lately."""
    since, until = (within.since_us, within.until_us) if within is not None else (now_us - 60_000_000, 2**62)
    return [
        SpeechLine(memory.stream, start, end, words) for _, start, end, words in memory.spoken(since, until) if words
    ]


def explain(understood: list[Understood], candidates: list[Candidate], chosen: list[Candidate]) -> dict[str, Any]:
    """The recall as `GET /v1/questions/{id}/explain` shows it."""
    first = understood[0]
    return {
        "range": None if first.range is None else asdict(first.range),
        "gate": asdict(first.gate),
        "candidates": [
            {**asdict(one), "score": round(one.score, 6), "chosen": one in chosen} for one in candidates[:_CANDIDATES]
        ],
    }
