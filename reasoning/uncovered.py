"""The honest sentence about a time that memory does not hold."""

from memory.messages import Context
from memory.timewords import zone_of
from reasoning.messages import Ask, AskedStream
from reasoning.prompt import clock_time, stream_id
from reasoning.question import NOTHING


def uncovered_text(ask: Ask, context: Context) -> str:
    """Says that the asked time is not covered, and for each stream what is."""
    known = {one.stream: one.coverage for one in context.coverage}
    spans = []
    for asked in ask.streams:
        coverage = known.get(asked.stream, NOTHING)
        name = f"of {stream_id(asked.stream)} " if len(ask.streams) > 1 else ""
        if coverage.start_us < 0:
            spans.append(f"My memory {name}is empty.")
        else:
            spans.append(f"My memory {name}spans {_span(asked, coverage.start_us, coverage.end_us)}.")
    return " ".join(["My memory does not cover the time that you ask about.", *spans])


def _span(asked: AskedStream, start_us: int, end_us: int) -> str:
    zone, now_us = zone_of(asked.time_zone), asked.start_wall_us + asked.now_us
    start, end = (clock_time(asked.start_wall_us + us, zone, now_us) for us in (start_us, end_us))
    return f"{start} to {end}"
