"""Times that another event gives: "before the red car came", "while the door was open", "after the bell rang"."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from memory.spans import Span
from memory.timewords import order_of

Relation = Literal["before", "after", "during"]

_RELATIONS: Final[dict[str, Relation]] = {
    "before": "before", "until": "before", "till": "before", "after": "after", "since": "after",
    "during": "during", "while": "during", "when": "during",
}  # fmt: skip
_WHO = r"the|a|an|my|our|his|her|their|this|someone|somebody|anyone|anybody|everyone|people|he|she|it|they|you|i|we"
_CLAUSE: Final = re.compile(
    rf"\b(?:(?:just|right|shortly)\s+)?(?P<how>{'|'.join(_RELATIONS)})\s+(?P<what>(?:{_WHO})\s[^,.?!;]{{2,}})",
    re.IGNORECASE,
)
_NO_EVENT: Final = re.compile(
    r"^(?:the\s+)?(?:beginning|start|end|next|day|morning|afternoon|evening|night|time)\b"
    r"|^(?:i|we)\s+(?:last\s+)?(?:asked|spoke|talked|checked|looked)\b|\bquestion\b",
    re.IGNORECASE,
)
_TIME: Final = re.compile(r"^the\s+(?:very\s+)?(?:first|last)\s+time\s+(?:that\s+)?", re.IGNORECASE)
_NEAR_US: Final = 600_000_000
"""How far before an event "before it" reaches, and after it "after it", unless other words say more."""


@dataclass(frozen=True)
class Anchor:
    """A clause that names an event. words: the whole clause; rest: the question without it.

    near: whether what is asked for is near it; not so behind "since" and "until". first: the first such event is meant,
    not the last.
    """

    relation: Relation
    near: bool
    first: bool
    what: str
    words: str
    rest: str

    def span(self, event: Span, within: Span) -> tuple[Span, int] | None:
        """The range that is meant, and the moment in it that is meant most; None where it is empty.

        event: [start, end) of what the clause names; within: the range that other words give, or all of memory.
        """
        low, high = within
        start, end = event
        reach_us = _NEAR_US if self.near else high - low
        if self.relation == "before":
            since, until, target = max(low, start - reach_us), min(high, start), start
        elif self.relation == "after":
            since, until, target = max(low, start), min(high, end + reach_us), end
        else:
            since, until, target = max(low, start), min(high, end), (start + end) // 2
        return ((since, until), target) if since < until else None


def find(question: str) -> Anchor | None:
    """The clause of a question that says when by another event, None where there is none."""
    for match in _CLAUSE.finditer(question):
        what = match["what"].strip()
        if _NO_EVENT.match(what):
            continue
        rest = " ".join(f"{question[: match.start()]} {question[match.end() :].lstrip(' ,')}".split())
        if len(re.findall(r"\w+", rest)) >= 1:
            how, order = match["how"].lower(), order_of(what)
            first = order is not None and order[0] == "first"
            return Anchor(
                _RELATIONS[how], how in {"before", "after"}, first, _TIME.sub("", what), match[0].strip(), rest
            )  # fmt: skip
    return None
