"""The honest sentence for a time that memory does not hold."""

from memory.messages import Context
from reasoning.messages import Ask
from reasoning.prompt import clock_time, zone_of


def uncovered_text(context: Context, ask: Ask) -> str:
    """Says that the asked time is not covered, and what is."""
    sentences = []
    for asked, one in zip(ask.streams, context.coverage, strict=True):
        coverage, zone = one.coverage, zone_of(asked.time_zone)
        if coverage.start_us < 0:
            sentences.append("My memory of this stream is empty.")
            continue
        start = clock_time(asked.start_wall_us + coverage.start_us, zone)
        end = clock_time(asked.start_wall_us + coverage.end_us, zone)
        sentences.append(f"My memory does not cover that time. It spans {start} to {end}.")
    return " ".join(dict.fromkeys(sentences))
