"""Questions that lean on earlier ones of their conversation: "and before that?", "where did he go then?".

What is taken over is the time, as the relation says ("before that", "since then", "two minutes before that"), and the
subject, where the question names none ("and before that?") or says "he", "it", "there" for it. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from memory.gate import decide, is_about_now
from memory.messages import About, Earlier
from memory.timewords import LENGTH, Moment, TimeRange, length_us, parse

Relation = Literal["before", "after", "since", "until", "at"]

_S: Final = 1_000_000
_CLOSE_US: Final = 60 * _S
"""How far "just before that" reaches."""
_NEAR_US: Final = 30 * _S
"""How near to "that" the events lie that "before that" means first; more, where "that" was long itself."""
_MOST_TEXT: Final = 400

# "Before that car came" is no reference: behind the reference the sentence ends, or another part of it begins.
_ENDS: Final = (
    r"(?=\s*(?:[?.!,;:]|$)|\s+(?:who|what|where|when|which|how|was|were|did|had|could|anyone|anybody|anything|someone"
    r"|something|nobody|it|he|she|they|there|i|you|we|in|on|at|with)\b)"
)
_CLOSE: Final = r"(?:(?P<close>just|right|shortly|immediately|directly)\s+)?"
_PATTERNS: Final = [
    (rf"\b(?P<length>{LENGTH})\s+(?P<how>before|after)\s+(?:that|then|this)\b{_ENDS}", None),
    (rf"\b{_CLOSE}(?P<how>before|after|since|until|till|by)\s+(?:that|then|this)\b{_ENDS}", None),
    (rf"^(?:and|but|so|ok|okay)?,?\s*(?:(?:what|how)\s+about\s+)?{_CLOSE}(?P<how>before)(?:hand)?\s*[?.!]*$", None),
    (r"^(?:(?:and|but)\b.*\s)?(?:previously|earlier)\s*[?.!]*$", "before"),
    (rf"\b{_CLOSE}(?P<how>after)(?:wards?)?\s*[?.!]*$", None),
    (r"\b(?:later|next)\s*[?.!]*$|^(?:and\s+)?then\s*[?.!]*$|^and\s+then\b", "after"),
    (r"\b(?:at|around|about)\s+(?:that|the\s+same)\s+(?:time|moment|point)\b|\bmeanwhile\b|\bback\s+then\b", "at"),
    (r"\bthen\s*[?.!]*$", "at"),
]  # fmt: skip
_REFERENCES: Final[list[tuple[re.Pattern[str], Relation | None]]] = [
    (re.compile(pattern, re.IGNORECASE | re.ASCII), relation)  # type: ignore[misc]
    for pattern, relation in _PATTERNS
]
_PRONOUN: Final = re.compile(
    r"\b(?:he|she|it|they|him|her|them|his|hers|its|their|theirs|there|this|that|those|these|one|ones|same|else)\b",
    re.IGNORECASE,
)
_FILLER_WORDS: Final = """
and but so ok okay what about how who where when which why whose was were is are did do does had has have be been
then there that this those these before after since until till by at around the a an any anything anyone anybody
something someone else it he she they him her them his its their happened happen happening going on just right
shortly immediately now again more please tell me us you see saw seen show earlier later previously next meanwhile
same time moment point i we one ones of in to with for came come went go"""
_FILLER: Final = frozenset(_FILLER_WORDS.split())
"""Words that name nothing that could be looked for."""


@dataclass(frozen=True)
class _Reference:
    """What a question says of "that". away_us: a moment so far from it; reach_us: what lies so near to it at most."""

    relation: Relation
    words: str
    rest: str
    away_us: int | None = None
    reach_us: int | None = None


def lean(time: TimeRange, question: str, earlier: Sequence[Earlier], moment: Moment) -> TimeRange:
    """What was understood of a question, with what it takes from earlier ones. A time of its own wins."""
    if not earlier:
        return time
    about = earlier[-1].about
    if about is not None and not time.limited:
        found = _reference(time.rest)
        if found is not None:
            time = _placed(time, found, about, moment)
        elif about.named and _goes_on(question, time):
            time = _placed(time, _Reference("at", "", time.rest), about, moment)
    return replace(time, rest=_with_subject(time.rest, earlier, moment))


# ---------------------------------------------------------------- time


def _reference(text: str) -> _Reference | None:
    for pattern, fixed in _REFERENCES:
        match = pattern.search(text)
        if match is None:
            continue
        said = match.groupdict()
        how = fixed or ("until" if said["how"].lower() in {"till", "by"} else said["how"].lower())
        away_us = length_us(said["length"]) if said.get("length") else None
        reach_us = _CLOSE_US if said.get("close") else None
        rest = " ".join(f"{text[: match.start()]} {text[match.end() :]}".split())
        return _Reference(how, match[0].strip(" ?.!,"), rest, away_us, reach_us)  # type: ignore[arg-type]
    return None


def _goes_on(question: str, time: TimeRange) -> bool:
    """Whether a question about the past goes on with what was talked of: "And who opened it?"."""
    leans = question.lower().lstrip().startswith(("and ", "but ")) or _PRONOUN.search(question) is not None
    return leans and time.order is None and not is_about_now(question) and decide(question, time, explicit=False).past


def _placed(time: TimeRange, found: _Reference, about: About, moment: Moment) -> TimeRange:
    """The range that a reference to `about` means, on the stream's clock."""
    since, until = about.since_wall_us - moment.start_wall_us, about.until_wall_us - moment.start_wall_us
    words = (*time.words, found.words) if found.words else time.words
    time = replace(time, past=True, words=words, rest=found.rest)
    if found.away_us is not None:
        target = since - found.away_us if found.relation == "before" else until + found.away_us
        width = max(2 * _S, found.away_us // 8)
        return replace(time, since_us=target - width, until_us=target + width, target_us=target)
    now, near_us = moment.now_us + 1, max(_NEAR_US, until - since)
    match found.relation:
        case "before" | "until":
            low = None if found.reach_us is None else since - found.reach_us
            return replace(time, since_us=low, until_us=since, target_us=since - 1, near_us=near_us)
        case "after":
            high = now if found.reach_us is None else min(now, until + found.reach_us)
            return replace(time, since_us=until, until_us=max(until + 1, high), target_us=until, near_us=near_us)
        case "since":
            return replace(time, since_us=since, until_us=max(since + 1, now))
        case "at":
            return replace(time, since_us=since, until_us=max(since + 1, until))


# ---------------------------------------------------------------- subject


def _with_subject(rest: str, earlier: Sequence[Earlier], moment: Moment) -> str:
    """What is looked for: the question's own words, and of earlier ones what they leave open."""
    if _names_something(rest) and _PRONOUN.search(rest) is None:
        return rest
    subject, answer = "", ""
    for turn in earlier:
        said = parse(turn.question, moment).rest
        found = _reference(said)
        said = said if found is None else found.rest
        if _names_something(said):
            subject = said if _PRONOUN.search(said) is None else f"{said} {subject}"
            answer = turn.answer
    # "He" is who the answer told of; "and before that?" asks the earlier question once more.
    told = answer if _names_something(rest) or _PRONOUN.search(rest) is not None else ""
    parts = [part for part in (rest.strip(" ?.!,"), told[:_MOST_TEXT], subject[:_MOST_TEXT]) if part]
    return " ".join(parts)[: len(rest) + _MOST_TEXT]


def _names_something(text: str) -> bool:
    return any(word not in _FILLER for word in re.findall(r"\w+", text.lower()))
