"""Time words of a question to a range of media time: "two minutes ago", "at 10:15", "at 37 s", "yesterday evening"."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Order = Literal["first", "last"]

_S: Final = 1_000_000
_DAY_US: Final = 86_400 * _S
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeRange:
    """What was understood. [since_us, until_us), None where open; target_us: the moment that is meant within it.

    near_us: how sharply `target_us` is meant, None: within the range. past: whether the words speak of the past; words:
    which they were; rest: the question without them.
    """

    since_us: int | None = None
    until_us: int | None = None
    target_us: int | None = None
    near_us: int | None = None
    order: Order | None = None
    past: bool = False
    words: tuple[str, ...] = ()
    rest: str = ""

    @property
    def limited(self) -> bool:
        """Whether there is a range."""
        return self.since_us is not None or self.until_us is not None


@dataclass(frozen=True)
class Moment:
    """When and where a question is asked: now and what memory spans in media time, wall time of media time 0, zone.

    asked_us: when the same conversation's question before this one was asked.
    """

    now_us: int
    start_wall_us: int
    zone: str
    span_us: tuple[int, int]
    asked_us: int | None = None

    def wall(self, media_us: int) -> datetime:
        """A media time on the wall. Raises OverflowError."""
        return (_EPOCH + timedelta(microseconds=self.start_wall_us + media_us)).astimezone(zone_of(self.zone))

    def media(self, wall: datetime) -> int:
        """A wall time as media time."""
        return (wall - _EPOCH) // timedelta(microseconds=1) - self.start_wall_us


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC where the name is unknown here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


# ---------------------------------------------------------------- words

_ONES: Final = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS: Final[dict[str, float]] = {
    **{word: float(n) for n, word in enumerate(_ONES)},
    **{word: 10.0 * n for n, word in enumerate(_TENS, 2)},
    "a": 1, "an": 1, "half a": 0.5, "half an": 0.5, "a couple of": 2, "couple of": 2, "a few": 3, "few": 3,
    "several": 5,
}  # fmt: skip
_UNITS: Final = {"s": _S, "m": 60 * _S, "h": 3600 * _S, "d": _DAY_US, "w": 7 * _DAY_US}
# Atomic: "twenty-five" is one number, and never twenty to five.
_TENS_AND_ONES = rf"(?>(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES[1:10])})\b)?)"
_OTHERS = "|".join(sorted((re.escape(word) for word in _NUMBERS if word not in _TENS), key=len, reverse=True))
_NUM = rf"(?:\d{{1,6}}(?:\.\d{{1,3}})?|(?:{_TENS_AND_ONES}|{_OTHERS})\b)"
_UNIT = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?)(?![a-z])"
_HALF = r"(?:\s+and\s+a\s+half)"
_PART = rf"{_NUM}{_HALF}?\s*{_UNIT}"
_MORE = rf"(?:,?\s*(?:and\s+)?{_PART}){{0,2}}{_HALF}?"
LENGTH = rf"{_PART}{_MORE}"
"""As in "an hour and twenty minutes", which is one length."""
_LENGTH_ALONE = rf"(?:{_PART}|{_UNIT}){_MORE}"
"""The same behind "the last": a unit without a number is one of it."""
_EACH_PART = re.compile(rf"(?:(?P<n>{_NUM})(?P<half>{_HALF})?\s*)?(?<![a-z])(?P<u>{_UNIT})", re.IGNORECASE | re.ASCII)
_CLOCK = r"(?:\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\b\.?)?|\d{1,2}\s*[ap]\.?m\b\.?|\d{1,2}\s+o'?clock|noon|midnight)"
_MEDIA = r"(?:\d{1,7}(?:\.\d{1,6})?)\s*(?:s|secs?|seconds?|mins?|minutes?)"
_DAYS: Final = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_PARTS: Final = {
    "morning": (5, 12), "noon": (11, 14), "afternoon": (12, 18), "evening": (17, 23), "night": (20, 30)
}  # fmt: skip


def _number(text: str) -> float:
    text = text.lower()
    if text in _NUMBERS:
        return _NUMBERS[text]
    tens, *ones = re.split(r"[\s-]", text)
    return _NUMBERS[tens] + _NUMBERS[ones[0]] if tens in _TENS else float(text)


def length_us(text: str) -> int:
    """Microseconds of what `LENGTH` matches: "1 hour 20 minutes", "2.5 h", "an hour and a half", "hour"."""
    length = 0.0
    scale = 0
    for part in _EACH_PART.finditer(text):
        scale = _UNITS[part["u"][0].lower()]
        length += (_number(part["n"] or "1") + (0.5 if part["half"] else 0.0)) * scale
    return round(length + (0.5 * scale if text.lower().endswith("half") else 0.0))


def _around(target_us: int, width_us: int, moment: Moment) -> TimeRange:
    since = target_us - width_us
    return TimeRange(since, max(since + 1, min(target_us + width_us, moment.now_us + 1)), target_us, past=True)


# ---------------------------------------------------------------- rules: a pattern, and what it says


def _ago(match: re.Match[str], moment: Moment) -> TimeRange:
    length = length_us(match["length"])
    how = (match["how"] or "").lower()
    target = moment.now_us - length
    if how.startswith(("more", "over", "longer")):
        return TimeRange(None, target, past=True)
    if how.startswith(("less", "since", "from")):
        return TimeRange(target, moment.now_us + 1, past=True)
    return _around(target, max(2 * _S, length // 8), moment)


def _between_ago(match: re.Match[str], moment: Moment) -> TimeRange:
    """A bare number is counted in the unit that follows: "between 10 and 5 minutes ago"."""
    far = match["far"] or f"{match['number']} {match['unit']}"
    far, near = (moment.now_us - length_us(length) for length in (far, match["near"]))
    return TimeRange(min(far, near), max(far, near) + 1, past=True)


def _last_length(match: re.Match[str], moment: Moment) -> TimeRange:
    length = length_us(match["length"])
    return TimeRange(moment.now_us - length, moment.now_us + 1, past=True)


def _first_length(match: re.Match[str], moment: Moment) -> TimeRange:
    start = moment.span_us[0]
    return TimeRange(start, start + max(1, length_us(match["length"])), past=True)


def _media_us(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)\s*([sm]).*", text.strip(), re.IGNORECASE | re.ASCII)
    assert found is not None
    return round(float(found[1]) * _UNITS[found[2].lower()])


def _media_point(match: re.Match[str], moment: Moment) -> TimeRange:
    return _around(_media_us(match["at"]), 2 * _S, moment)


def _media_second(match: re.Match[str], moment: Moment) -> TimeRange:
    return _around(_media_us(f"{match['n']} {match['u']}"), 2 * _S, moment)


def _media_between(match: re.Match[str], _: Moment) -> TimeRange:
    unit = match["u2"]
    one, two = _media_us(f"{match['n1']} {match['u1'] or unit}"), _media_us(f"{match['n2']} {unit}")
    return TimeRange(min(one, two), max(one, two) + 1, past=True)


def _clock_point(match: re.Match[str], moment: Moment) -> TimeRange | None:
    how = (match["how"] or "at").lower()
    found = _clock_us(match["at"], moment)
    if found is None:
        return None
    at, length = found
    if how in {"since", "after", "from"}:
        return TimeRange(at, moment.now_us + 1, past=True)
    if how in {"before", "until", "till", "by"}:
        return TimeRange(None, at, past=True)
    if how in {"around", "about", "near"}:
        return TimeRange(at - 300 * _S, at + 300 * _S, at, past=True)
    slack = 5 * _S if length <= _S else 0
    return TimeRange(at - slack, at + length + slack, at + length // 2, past=True)


def _clock_between(match: re.Match[str], moment: Moment) -> TimeRange | None:
    one, two = _clock_us(match["c1"], moment), _clock_us(match["c2"], moment)
    if one is None or two is None:
        return None
    since, until = one[0], two[0]
    return TimeRange(since - _DAY_US if since > until else since, max(until, since - _DAY_US + 1), past=True)


def _clock_us(text: str, moment: Moment) -> tuple[int, int] | None:
    """The latest such time that is not after now, and how exact it is; where only a clip's own clock fits, that one."""
    text = " ".join(text.lower().replace(".", "").split())
    if text in {"noon", "midnight"}:
        text = "12:00" if text == "noon" else "0:00"
    digits = [int(part) for part in re.findall(r"\d+", text)]
    hours, minutes, seconds = (*digits, 0, 0)[:3]
    length = _S if len(digits) == 3 else 60 * _S
    if "pm" in text or "am" in text:
        hours = hours % 12 + (12 if "pm" in text else 0)
    elif "clock" in text and hours < 12 and moment.wall(moment.now_us).hour >= 12 + hours:
        hours += 12
    if hours > 23 or minutes > 59 or seconds > 59:
        return _clip_us(digits, moment)
    wall_us = _latest(moment, time(hours, minutes, seconds))
    low, high = moment.span_us
    # Only a time that begins with zero may be a clip's: "at 03:00" about a young stream asks for three in the morning.
    if hours == 0 and not low - length <= wall_us <= high:
        clip = _clip_us(digits, moment)
        if clip is not None and low <= clip[0] <= high:
            return clip
    return wall_us, length


def _clip_us(digits: list[int], moment: Moment) -> tuple[int, int] | None:
    """MM:SS or HH:MM:SS from the beginning of the stream."""
    if len(digits) < 2:
        return None
    hours, minutes, seconds = (0, *digits) if len(digits) == 2 else digits
    return ((hours * 60 + minutes) * 60 + seconds) * _S, _S


def _latest(moment: Moment, clock: time) -> int:
    now = moment.wall(moment.now_us)
    at = datetime.combine(now.date(), clock, now.tzinfo)
    if at > now:
        at = datetime.combine(now.date() - timedelta(days=1), clock, now.tzinfo)
    return moment.media(at)


def _day(match: re.Match[str], moment: Moment) -> TimeRange | None:
    now = moment.wall(moment.now_us)
    word, part = match["day"].lower(), (match["part"] or "").lower()
    days = {"today": 0, "this": 0, "yesterday": 1, "last": 1, "the": 2, "tonight": 0}.get(word.split()[0])
    part = "night" if word == "tonight" else part
    if days is None:
        named = word.removeprefix("on ").removeprefix("last ").strip()
        if named not in _DAYS:
            return None
        days = (now.weekday() - _DAYS.index(named)) % 7 or 7
    first, last = _PARTS.get(part, (0, 24))
    midnight = datetime.combine(now.date() - timedelta(days=days), time(0), now.tzinfo)
    since, until = (moment.media(_hour(midnight, hour)) for hour in (first, last))
    if since > moment.now_us:
        # "This night" in the afternoon: there is nothing of it yet.
        return None
    return TimeRange(since, max(since + 1, min(until, moment.now_us + 1)), past=True)


def _hour(midnight: datetime, hour: int) -> datetime:
    """That hour on the wall, whatever the zone did that night."""
    return datetime.combine(midnight.date() + timedelta(days=hour // 24), time(hour % 24), midnight.tzinfo)


def _stamp(match: re.Match[str], moment: Moment) -> TimeRange | None:
    text = match["at"].upper().replace(" ", "T").replace("Z", "+00:00")
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        return None
    if wall.tzinfo is None:
        wall = wall.replace(tzinfo=zone_of(moment.zone))
    length = _DAY_US if len(text) == 10 else 60 * _S if len(text) == 16 else _S
    at = moment.media(wall)
    slack = 5 * _S if length == _S else 0
    return TimeRange(at - slack, at + length + slack, at + length // 2, past=True)


def _since_asked(_: re.Match[str], moment: Moment) -> TimeRange | None:
    """Without a conversation nobody knows when that was."""
    return None if moment.asked_us is None else TimeRange(moment.asked_us, moment.now_us + 1, past=True)


def _spoken_clock(match: re.Match[str], moment: Moment) -> TimeRange | None:
    """ "Half past ten", "a quarter to nine", "ten past three": the latest of the two a day that is not to come."""
    count = {"half": 30.0, "quarter": 15.0}.get(match["n"].lower().removeprefix("a "))
    minutes, hour = int(_number(match["n"]) if count is None else count), int(_number(match["hour"]))
    if not (0 < minutes < 60 and 1 <= hour <= 12):
        return None
    of_day = 60 * (hour % 12) + (minutes if match["way"].lower() == "past" else -minutes)
    at = max(_latest(moment, time(*divmod((of_day + half) % 1440, 60))) for half in (0, 720))
    return TimeRange(at, at + 60 * _S, at + 30 * _S, past=True)


def _recent(length_us: int) -> Callable[[re.Match[str], Moment], TimeRange]:
    return lambda _, moment: TimeRange(moment.now_us - length_us, moment.now_us + 1, past=True)


def _beginning(_: re.Match[str], moment: Moment) -> TimeRange:
    start, end = moment.span_us
    return TimeRange(start, start + max(30 * _S, (end - start) // 10), start, past=True)


_POINT = r"\d{1,7}(?:\.\d{1,6})?"
_MEDIA_UNIT = r"(?:s|secs?|seconds?|mins?|minutes?)"
_STAMP = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?)?"
_OVER = r"(?:(?:in|over|during|within|for|from)\s+)?(?:the\s+)?"
_NAMED_DAY = rf"(?:on|last)\s+(?:{'|'.join(_DAYS)})"
_DAY = rf"the\s+day\s+before\s+yesterday|yesterday|today|tonight|this|last(?=\s+night|\s+evening)|{_NAMED_DAY}"
_HOW_LONG = r"\b(?:(?P<how>more than|over|longer than|less than|since|from|about|around|some)\s+)?"
_HOW = r"\b(?P<how>at|around|about|since|after|before|until|till|by|near)\s+"
_FAR = rf"(?:(?P<far>{LENGTH})|(?P<number>{_NUM}))(?:\s+ago)?"
_NEAR = rf"(?P<near>{_NUM}{_HALF}?\s*(?P<unit>{_UNIT}){_MORE})"
_SINCE_ASKED = (
    r"\bsince\s+(?:(?:i|we)\s+(?:last\s+)?(?:asked|spoke|talked|checked|looked)(?:\s+(?:you|last|before|to\s+you))*"
    r"|(?:my|the)\s+(?:last|previous)\s+question)\b"
)
_P1 = rf"\b(?:between|from)\s+(?:second\s+|minute\s+)?(?P<n1>{_POINT})\s*(?P<u1>{_MEDIA_UNIT})?\s*"

_Rule = Callable[[re.Match[str], Moment], TimeRange | None]
_PATTERNS: Final[list[tuple[str, _Rule]]] = [
    (rf"\b(?:at|on|around)?\s*\b(?P<at>{_STAMP})(?!\d)", _stamp),
    # "And" joins two times only behind "between": elsewhere it adds to a length.
    (rf"\bbetween\s+{_FAR}\s*(?:and|to|-)\s*{_NEAR}\s+ago\b", _between_ago),
    (rf"\b(?:from\s+)?{_FAR}\s*(?:to|until|-)\s*{_NEAR}\s+ago\b", _between_ago),
    (rf"{_HOW_LONG}(?P<length>{LENGTH})\s+(?:ago|earlier|before now|back)\b", _ago),
    (rf"\b{_OVER}(?:last|past|previous)\s+(?P<length>{_LENGTH_ALONE})\b", _last_length),
    (rf"\b(?:in|over|during|within|for)\s+the\s+first\s+(?P<length>{_LENGTH_ALONE})\b", _first_length),
    (_SINCE_ASKED, _since_asked),
    (
        rf"\b(?:at\s+)?(?P<n>half|(?:a\s+)?quarter|{_NUM})\s+(?P<way>past|to)\s+(?P<hour>{_NUM})(?![\d:.])",
        _spoken_clock,
    ),
    (rf"\b(?P<day>{_DAY})\s*\b(?P<part>morning|noon|afternoon|evening|night)?\b", _day),
    (rf"\b(?:between|from)\s+(?P<c1>{_CLOCK})\s+(?:and|to|until)\s+(?P<c2>{_CLOCK})", _clock_between),
    (rf"{_P1}(?:and|to|until)\s+(?P<n2>{_POINT})\s*(?P<u2>{_MEDIA_UNIT})\b", _media_between),
    (rf"{_HOW}(?P<at>{_CLOCK})(?![\d:])", _clock_point),
    (rf"\bat\s+(?:about\s+)?(?:the\s+)?(?P<at>{_MEDIA})\b(?:\s+mark)?", _media_point),
    (rf"\bat\s+(?P<u>second|minute)\s+(?P<n>{_POINT})\b", _media_second),
    (rf"\b(?P<at>{_MEDIA})\s+in(?:to)?\b", _media_point),
    (r"\b(?:just now|a moment ago|moments ago|a (?:little|short) while ago)\b", _recent(60 * _S)),
    (r"\b(?:recently|a while ago|lately)\b", _recent(900 * _S)),
    (r"\b(?:at|in)\s+the\s+(?:beginning|start)\b", _beginning),
]
# ASCII: without it, "ſ" is an "s", and no unit.
_RULES: Final = [(re.compile(pattern, re.IGNORECASE | re.ASCII), rule) for pattern, rule in _PATTERNS]
_THIS_ALONE = re.compile(r"\bthis\s*$", re.IGNORECASE)
_FIRST = re.compile(r"\b(?:first|initially|originally)\b", re.IGNORECASE)
_LAST = re.compile(r"\b(?:last|latest|most recent(?:ly)?|final(?:ly)?)\b", re.IGNORECASE)
_ORDERS: Final[list[tuple[re.Pattern[str], Order]]] = [(_FIRST, "first"), (_LAST, "last")]


def parse(question: str, moment: Moment) -> TimeRange:
    """The range that the question's own words give; without any, one that is open on both ends. Never raises."""
    # White space in one form: patterns need not look at a run of it from each of its places.
    found = TimeRange(rest=" ".join(question.split()))
    for pattern, rule in _RULES:
        for match in pattern.finditer(found.rest):
            if _THIS_ALONE.search(match[0]):
                continue
            said = _apply(rule, match, moment)
            if said is not None:
                rest = f"{found.rest[: match.start()]} {found.rest[match.end() :]}"
                found = _joined(found, said, match[0].strip(), rest)
                break
    return _ordered(found)


def _apply(rule: _Rule, match: re.Match[str], moment: Moment) -> TimeRange | None:
    try:
        said = rule(match, moment)
    except (ArithmeticError, ValueError, LookupError):
        # A time that no calendar has, a number or unit that no table has.
        return None
    if said is not None and said.since_us is not None and said.until_us is not None and said.since_us >= said.until_us:
        return None
    return said


def _joined(one: TimeRange, two: TimeRange, words: str, rest: str) -> TimeRange:
    """Both hold: "yesterday at 10:15" is a minute of yesterday. Where they contradict, the first counts."""
    rest = " ".join(rest.split())
    if not one.limited:
        return replace(two, words=(*one.words, words), rest=rest)
    since = max((t for t in (one.since_us, two.since_us) if t is not None), default=None)
    until = min((t for t in (one.until_us, two.until_us) if t is not None), default=None)
    if since is not None and until is not None and since >= until:
        moved = _moved_into(two, one)
        if moved is not None:
            return replace(moved, words=(*one.words, words), rest=rest)
        return replace(one, words=(*one.words, words), rest=rest)
    target = one.target_us if one.target_us is not None else two.target_us
    return replace(one, since_us=since, until_us=until, target_us=target, words=(*one.words, words), rest=rest)


def _moved_into(clock: TimeRange, day: TimeRange) -> TimeRange | None:
    """A clock time was taken for today's: the same on the day that was named, None if it is on none."""
    if clock.since_us is None or clock.until_us is None or day.since_us is None or day.until_us is None:
        return None
    days = -((clock.since_us - day.since_us) // _DAY_US)
    since, until = clock.since_us + days * _DAY_US, clock.until_us + days * _DAY_US
    target = None if clock.target_us is None else clock.target_us + days * _DAY_US
    return TimeRange(since, until, target, past=True) if since < day.until_us else None


def _ordered(found: TimeRange) -> TimeRange:
    """The first or the last time that something was so."""
    order = order_of(found.rest)
    return found if order is None else replace(found, order=order[0], past=True, words=(*found.words, order[1]))


def order_of(text: str) -> tuple[Order, str] | None:
    """The first or the last of several, and the word that says so."""
    for pattern, order in _ORDERS:
        match = pattern.search(text)
        if match is not None:
            return order, match[0]
    return None
