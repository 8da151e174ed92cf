"""What memory can say about a range: covered or not, what it spans, where its gaps are."""

from collections.abc import Sequence
from typing import Final

import msgspec

from memory.messages import Coverage, Covered, GapRecord
from memory.spans import Span, Spans

JOINT_US: Final = 2_000_000
"""Shorter holes are the time between two samples or events."""
EDGE_US: Final = 5_000_000
"""How far memory may lag behind now and still cover it."""
_MOST_GAPS: Final = 64

EMPTY: Final = Coverage("none", -1, -1, [], 0)


def cover(
    spans: Spans, asked: Span | None, now_us: int, gaps: Sequence[GapRecord], forgotten: Spans, grain_us: int
) -> Coverage:
    """spans: of all events; asked: a range, or None: all that memory spans."""
    span = spans.span
    if span is None:
        return EMPTY
    start, end = asked if asked is not None else span
    end = min(end, max(now_us, span[1]))
    near = _joined(spans, forgotten, start, end)
    missing = near.without(start, end)
    if missing and asked is not None and missing[-1][1] == end >= now_us and missing[-1][1] - missing[-1][0] <= EDGE_US:
        missing.pop()
    missing = [(a, b) for a, b in missing if b - a > JOINT_US]
    return Coverage(_covered(near, start, end, missing), *span, _gaps(missing, span, gaps, forgotten), grain_us)


def merged_over(found: Coverage, asked: Span) -> Coverage:
    """The same where only merged events tell of the range, and no frame of theirs lies in it: covered in part."""
    if found.covered == "none":
        return found
    return msgspec.structs.replace(found, covered="partial", gaps=[*found.gaps, GapRecord(*asked, "merged")])


def _joined(spans: Spans, forgotten: Spans, start: int, end: int) -> Spans:
    """The spans in and around [start, end), short holes filled that are not there for something was forgotten."""
    start, end = start - JOINT_US, end + JOINT_US
    joined = Spans(spans.within(start, end), JOINT_US)
    for a, b in forgotten.within(start, end):
        for hole in spans.without(a, b):
            joined.remove(*hole)
    return joined


def _covered(spans: Spans, start: int, end: int, missing: Sequence[Span]) -> Covered:
    if not spans.touches(start, end) and not (start >= end and spans.holds(start)):
        return "none"
    return "partial" if missing else "full"


def _gaps(missing: Sequence[Span], span: Span, recorded: Sequence[GapRecord], forgotten: Spans) -> list[GapRecord]:
    """Recorded gaps, and holes inside the span that no record explains."""
    found = list(recorded)
    for start, end in missing:
        start, end = max(start, span[0]), min(end, span[1])
        if end - start <= JOINT_US:
            continue
        known = Spans([(gap.start_us, gap.end_us) for gap in recorded], JOINT_US)
        for a, b in known.without(start, end):
            if b - a > JOINT_US:
                found.append(GapRecord(a, b, "forgotten" if forgotten.touches(a, b) else "unknown"))
    return sorted(found, key=lambda gap: gap.start_us)[-_MOST_GAPS:]
