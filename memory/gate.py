"""Does a question need the past? Rules on tense and time words; what spoke for and against is told."""

import re
from typing import Final

import msgspec

from memory.timewords import TimeRange


class Gate(msgspec.Struct, frozen=True):
    """The verdict and its reasons: the rules that hit, with the words that they hit."""

    past: bool
    reasons: list[str]


_NOW = re.compile(r"\b(?:right now|at the moment|at present|currently|now|presently)\b", re.IGNORECASE)
_PAST: Final = {
    "past tense": re.compile(
        r"\b(?:was|were|wasn't|weren't|did|didn't|had|hadn't|happened|saw|went|came|left|gone|said|told|took|gave|put"
        r"|got|fell|ran|stood|sat|began|became|brought|held|threw|drove|spoke|wore|lost|found|met|kept|made|seen|been)\b",
        re.IGNORECASE,
    ),
    "perfect": re.compile(
        r"\b(?:have|has|having|'ve)\s+(?:\w+\s+){0,2}\w+(?:ed|en|wn|ne|ade|aid|eft|ent)\b", re.IGNORECASE
    ),
    "looking back": re.compile(
        r"\b(?:before|earlier|previously|ever|already|so far|since|until now|up to now|again|anymore|any more|no longer"
        r"|ago|past|history|remember|recall|forgotten|forget|once|used to|recap|summar\w+|missed|happening lately)\b",
        re.IGNORECASE,
    ),
    "count or order": re.compile(
        r"\b(?:how many times|how often|how long|when|first|last time|(?:what|which) order|what time"
        r"|sequence|timeline)\b",
        re.IGNORECASE,
    ),
}  # fmt: skip
_PRESENT_AUXILIARY = re.compile(
    r"\b(?:is|are|am|isn't|aren't|do|does|can|what's|who's|where's|there's)\b", re.IGNORECASE
)
_REGULAR_PAST = re.compile(
    r"\b(?!red\b|bed\b|need|speed|seed|feed|shed\b|sled\b|colou?red\b|led\b)\w{2,}ed\b", re.IGNORECASE
)


def is_about_now(question: str) -> bool:
    """Whether it says so: "right now", "currently"."""
    return _NOW.search(question) is not None


def decide(question: str, time: TimeRange, *, explicit: bool) -> Gate:
    """An explicit range or time words decide; then tense; a question without any sign is about now."""
    reasons = ["explicit range"] if explicit else []
    reasons += [f"time words: {words}" for words in time.words if time.past]
    for name, pattern in _PAST.items():
        match = pattern.search(question)
        if match is not None:
            reasons.append(f"{name}: {match[0].lower()}")
    regular = _REGULAR_PAST.search(question)
    if regular is not None and _PRESENT_AUXILIARY.search(question) is None:
        reasons.append(f"past tense: {regular[0].lower()}")
    if reasons:
        return Gate(True, reasons)
    now = _NOW.search(question)
    return Gate(False, [f"now: {now[0].lower()}"] if now is not None else ["no sign of the past"])
