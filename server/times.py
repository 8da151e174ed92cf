"""Times at the doors: RFC 3339 in and out, `-10m` before now, numbers as seconds of media time."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from server.errors import RequestError

FUTURE_TOLERANCE_US = 2_000_000
"""How far `since` may lie ahead: clocks of clients differ."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_BEFORE_NOW = re.compile(r"-(\d{1,9}(?:\.\d{1,6})?)([smhd])", re.ASCII)
_NUMBER = re.compile(r"\+?\d{1,18}(?:\.\d{1,9})?", re.ASCII)
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_MAX_NUMBER_S = 1e15
_LONG_AGO_US = -(2**61)
"""Before all memory, and far from what 64 bits cannot hold."""
_HOW = "write a time like 2026-11-20T23:24:34Z, -10m (before now) or 12.5 (seconds of media time)"


class Clock(NamedTuple):
    """A stream's clock at one moment: wall time of media time 0, its own 'now' in media time, and where that is behind
    (a file that is read as it was filmed), the media time behind which the future begins."""

    start_wall_us: int
    now_us: int
    latest_us: int = 0


def wall_text(wall_us: int) -> str:
    """Unix microseconds as RFC 3339 in UTC with microseconds; times that no calendar has are clamped."""
    try:
        moment = _EPOCH + timedelta(microseconds=wall_us)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC) if wall_us > 0 else datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_wall(text: str, param: str) -> int:
    """RFC 3339 with offset to Unix microseconds (finer digits are cut). Raises RequestError invalid_time."""
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise RequestError("invalid_time", f"{param}: {_HOW}", param)
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
        whole_us = (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise RequestError("invalid_time", f"{param}: there is no such time; {_HOW}", param) from None
    return whole_us + int((fraction or "0").ljust(6, "0")[:6])


def parse_time(value: str | float, clock: Clock, param: str) -> int:
    """One `since` or `until` to media microseconds. Raises RequestError invalid_time."""
    if isinstance(value, str):
        text = value.strip()
        before = _BEFORE_NOW.fullmatch(text)
        if before is not None:
            return max(_LONG_AGO_US, clock.now_us - round(float(before[1]) * _UNIT_US[before[2]]))
        if _NUMBER.fullmatch(text) is None:
            return parse_wall(text, param) - clock.start_wall_us
        value = float(text)
    if not 0 <= value <= _MAX_NUMBER_S:
        raise RequestError("invalid_time", f"{param}: {_HOW}", param)
    return round(value * 1_000_000)


def parse_range(since: str | float | None, until: str | float | None, clock: Clock) -> tuple[int | None, int | None]:
    """An asked range [since, until) in media microseconds, None where an end is open.

    `until` in the future means now. Raises RequestError invalid_time, invalid_time_range, time_in_future.
    """
    since_us = None if since is None else parse_time(since, clock, "since")
    until_us = None if until is None else parse_time(until, clock, "until")
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise RequestError("invalid_time_range", "since must be before until", "since")
    if since_us is not None and since_us > max(clock.now_us, clock.latest_us) + FUTURE_TOLERANCE_US:
        raise RequestError("time_in_future", "since lies in the future: ask about what has happened", "since")
    if until_us is not None and until_us > clock.now_us:
        # A `since` that clocks' differences put after 'now' still asks for a range that is not upside down.
        until_us = max(clock.now_us, (since_us if since_us is not None else clock.now_us - 1) + 1)
    return since_us, until_us
