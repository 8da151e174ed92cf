"""Time words of a question to a range of media time: "two minutes ago", "at 10:15", "in the last hour", "earlier"."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SECOND: Final = 1_000_000
_UNITS: Final = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "day": 86_400,
}
_NUMBERS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "half an": 0.5,
    "a few": 3, "a couple of": 2,
}  # fmt: skip
_AMOUNT: Final = r"(?P<n>\d+(?:\.\d+)?|half an|a few|a couple of|" + "|".join(w for w in _NUMBERS if " " not in w) + ")"
_UNIT: Final = r"(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?)\b"
_AGO = re.compile(rf"\b{_AMOUNT}\s*{_UNIT}\s+(?:ago|before now|earlier)\b", re.IGNORECASE)
_LAST = re.compile(rf"\b(?:in|over|during|within|for)?\s*the (?:last|past)\s+(?:{_AMOUNT}\s*)?{_UNIT}", re.IGNORECASE)
_CLOCK = re.compile(
    r"\b(?:at|around|about)\s+(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?\b", re.IGNORECASE
)
_MEDIA = re.compile(r"\bat\s+(?P<n>\d+(?:\.\d+)?)\s*(?:s|sec|seconds?)\b", re.IGNORECASE)
_YESTERDAY = re.compile(r"\byesterday\b", re.IGNORECASE)
_PAST = re.compile(
    r"\b(?:ago|earlier|before|previously|last|past|first|ever|yesterday|already|was|were|did|had|happened|appeared|left|"
    r"remember|seen|said|so far|since|until now)\b",
    re.IGNORECASE,
)
_NOW = re.compile(r"\b(?:now|right now|currently|at the moment|at present|is|are|does|do)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TimeRange:
    """[since_us, until_us) of media time, and the words that it came from."""

    since_us: int
    until_us: int
    words: str


@dataclass(frozen=True)
class Gate:
    """Whether a question needs the past, and why."""

    needs_past: bool
    reason: str


def parse_range(question: str, now_us: int, start_wall_us: int, zone: str) -> TimeRange | None:
    """The range that a question speaks of; None where it names no time. Ranges never begin below 0."""
    for pattern, reading in ((_LAST, _last), (_AGO, _ago), (_MEDIA, _media)):
        match = pattern.search(question)
        if match is not None:
            since, until = reading(match, now_us)
            return TimeRange(max(0, since), max(0, until), match[0].strip())
    wall = datetime.fromtimestamp((start_wall_us + now_us) / 1e6, _zone(zone))
    match = _CLOCK.search(question)
    if match is not None:
        return _clock(match, wall, start_wall_us)
    match = _YESTERDAY.search(question)
    if match is not None:
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        since, until = (_media_us(at, start_wall_us) for at in (midnight - timedelta(days=1), midnight))
        return TimeRange(max(0, since), max(0, until), match[0])
    return None


def gate(question: str, *, explicit: bool, ranged: bool) -> Gate:
    """A range needs the past, and so do words of the past; a question about now does not: stale frames mislead."""
    if explicit:
        return Gate(needs_past=True, reason="an explicit range")
    if ranged:
        return Gate(needs_past=True, reason="time words")
    past = _PAST.search(question)
    if past is not None:
        return Gate(needs_past=True, reason=f"a word of the past: {past[0].lower()}")
    now = _NOW.search(question)
    if now is not None:
        return Gate(needs_past=False, reason=f"about now: {now[0].lower()}")
    return Gate(needs_past=True, reason="no word of time")


def _ago(match: re.Match[str], now_us: int) -> tuple[int, int]:
    """A moment: as wide as people are exact about it, a quarter of the distance on either side."""
    distance = _seconds(match) * _SECOND
    slack = max(2 * _SECOND, distance // 4)
    return now_us - distance - slack, now_us - distance + slack


def _last(match: re.Match[str], now_us: int) -> tuple[int, int]:
    return now_us - _seconds(match) * _SECOND, now_us + 1


def _media(match: re.Match[str], now_us: int) -> tuple[int, int]:
    at = round(float(match["n"]) * _SECOND)
    return at - 2 * _SECOND, at + 2 * _SECOND


def _clock(match: re.Match[str], wall: datetime, start_wall_us: int) -> TimeRange:
    """The latest such time that has been: a minute where no second is named, else two seconds on either side."""
    at = wall.replace(hour=int(match["h"]), minute=int(match["m"]), second=int(match["s"] or 0), microsecond=0)
    if at > wall:
        at -= timedelta(days=1)
    since = _media_us(at, start_wall_us)
    if match["s"] is None:
        return TimeRange(max(0, since), max(0, since + 60 * _SECOND), match[0])
    return TimeRange(max(0, since - 2 * _SECOND), max(0, since + 2 * _SECOND), match[0])


def _seconds(match: re.Match[str]) -> int:
    word = (match["n"] or "1").lower()
    amount = _NUMBERS.get(word)
    if amount is None:
        amount = float(word)
    unit = match["unit"].lower()
    return round(amount * (_UNITS.get(unit) or _UNITS[unit.rstrip("s")]))


def _media_us(at: datetime, start_wall_us: int) -> int:
    return round(at.timestamp() * 1e6) - start_wall_us


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
