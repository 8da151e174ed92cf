"""What can be told from pictures with strips: the oracle's answers to the questions of the synthetic OVO-Bench.

It knows a question's words and the pictures that came with it, in their order, and nothing else. What the pictures do
not show it does not guess at: it answers A, No or 0 then, or that it is unable to, where that is an option.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from training.world import PLACES, StripState

Seen = Sequence[StripState]

_CANNOT: Final = "I cannot tell."
_UNABLE: Final = "unable to answer"
_CHOICE: Final = re.compile(r"\nQuestion: (?P<question>.*)\nOptions:\n(?P<options>.*)\n\n", re.DOTALL)
_COUNT: Final = re.compile(r"How many times did they hang up a sign and take it down again\?")
_STEP: Final = re.compile(r"procedures: \nshow the (?P<look>.*) in the centre\n")
_CLUE: Final = re.compile(r"\nWhere did the (?P<look>.*) appear\?\n")
_PLACE: Final = re.compile(r"Where did the (?P<look>.*) appear\?")
_CENTRE: Final = PLACES.index("centre")
_WAYS: Final = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}
_ENDS: Final = {"left": "left", "right": "right", "up": "top", "down": "bottom"}
_SIDES: Final = {"left": "to the left", "right": "to the right", "top": "above", "bottom": "below"}


def answer(prompt: str, seen: Seen) -> str:
    """The answer to one of OVO-Bench's prompts about the synthetic films; seen: the pictures, oldest first."""
    choice = _CHOICE.search(prompt)
    if choice is not None:
        return _letter(choice["options"], _told(choice["question"], seen))
    if _COUNT.search(prompt) is not None:
        return str(seen[-1].taken_down) if seen else "0"
    step = _STEP.search(prompt)
    if step is not None:
        return _yes(bool(seen) and seen[-1].lead == step["look"])
    clue = _CLUE.search(prompt)
    if clue is not None:
        return _yes(_place_of(clue["look"], seen) is not None)
    place = _PLACE.fullmatch(prompt)
    if place is not None:
        return _place_of(place["look"], seen) or _CANNOT
    return _CANNOT


def _yes(so: bool) -> str:
    return "Yes" if so else "No"


def _letter(options: str, told: str | None) -> str:
    """The option that says it; where nothing is known, the one that refuses, else the first."""
    listed: dict[str, str] = {text.lower(): letter for letter, text in re.findall(r"([A-E])\. (.*?);", options)}
    if told is not None:
        return listed.get(told, "A")
    return listed.get(_UNABLE, "A")


def _told(question: str, seen: Seen) -> str | None:
    for pattern, rule in _RULES.items():
        match = pattern.fullmatch(question)
        if match is not None:
            return rule(match[1], seen) if seen else None
    return None


# ---------------------------------------------------------------- rules: what is asked for, the pictures


def _place_of(look: str, seen: Seen) -> str | None:
    """Where it stood when it was seen last, round the centre."""
    for state in reversed(seen):
        for place, there in zip(PLACES, state.cells, strict=True):
            if there == look and place != PLACES[_CENTRE]:
                return place
    return None


def _replaced(look: str, seen: Seen) -> str | None:
    return next((state.before for state in reversed(seen) if state.lead == look), None)


def _at(place: str, seen: Seen) -> str | None:
    return seen[-1].cells[PLACES.index(place)] if place in PLACES else None


def _of_shape(shape: str, seen: Seen) -> tuple[str, str] | None:
    """Colour and place of what has this shape now, round the centre."""
    for place, look in zip(PLACES, seen[-1].cells, strict=True):
        if look is not None and place != PLACES[_CENTRE] and look.endswith(f" {shape}"):
            return look.split()[0], place
    return None


def _colour(shape: str, seen: Seen) -> str | None:
    found = _of_shape(shape, seen)
    return found[0] if found is not None else None


def _side(shape: str, seen: Seen) -> str | None:
    found = _of_shape(shape, seen)
    return _SIDES.get(found[1]) if found is not None else None


def _sign(_: str, seen: Seen) -> str | None:
    return seen[-1].sign


def _way(look: str, seen: Seen) -> str | None:
    """From the last two pictures, of one scene: one alone shows where something is, not where it goes."""
    if len(seen) < 2 or seen[-1].lead != look:
        return None
    before, last = seen[-2], seen[-1]
    if before.mover is None or last.mover is None or before.lead != look:
        return None
    x, y = (b - a for a, b in zip(before.mover, last.mover, strict=True))
    return _WAYS.get(((x > 0) - (x < 0), (y > 0) - (y < 0)))


def _end(look: str, seen: Seen) -> str | None:
    way = _way(look, seen)
    return _ENDS[way] if way is not None else None


_RULES: Final[Mapping[re.Pattern[str], Callable[[str, Seen], str | None]]] = {
    re.compile(r"Where was the (.*)\?"): _place_of,
    re.compile(r"What did the (.*) in the centre take the place of\?"): _replaced,
    re.compile(r"What is at the (.*) now\?"): _at,
    re.compile(r"What colour is the (.*) now\?"): _colour,
    re.compile(r"Where is the (.*) now, as seen from the centre\?"): _side,
    re.compile(r"What does the (sign) say now\?"): _sign,
    re.compile(r"Which way is the (.*) moving now\?"): _way,
    re.compile(r"Which place will the (.*) reach next\?"): _end,
}
