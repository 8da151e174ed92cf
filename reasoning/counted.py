"""The answer to "how many times ...?": what memory's event list counts, and when it was."""

from memory.messages import Context, Occurred
from memory.timewords import zone_of
from reasoning.messages import Ask, AskedStream
from reasoning.prompt import clock_time, stream_id

_NAMED = 10
"""With more times than this the first and the last alone are told."""


def counted_text(ask: Ask, context: Context) -> str:
    """How often, and the times of it in the zone of each stream; those that the events tell apart, and no others."""
    times = context.counted or []
    streams = {one.stream: one for one in ask.streams}
    told = [_when(streams[one.stream], one, named=len(streams) > 1) for one in times if one.stream in streams]
    if len(told) == 1:
        return f"Once, at {told[0]}."
    if len(told) > _NAMED:
        return f"{len(told)} times, the first at {told[0]}, the last at {told[-1]}."
    return f"{len(told)} times: at {', '.join(told[:-1])} and {told[-1]}."


def _when(asked: AskedStream, one: Occurred, *, named: bool) -> str:
    zone, now_us = zone_of(asked.time_zone), asked.start_wall_us + asked.now_us
    at = clock_time(asked.start_wall_us + one.start_us, zone, now_us)
    return f"{at} ({stream_id(one.stream)})" if named else at
