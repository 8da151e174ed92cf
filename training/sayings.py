"""What texts say of pictures: captions and questions read off the script, true of some pictures and not of others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.world import PLACES, Script, at_place

Fact = tuple[str, ...]
"""One thing that is so, such as ("colour", "red") or ("colour place", "red", "top left")."""
_WHOLE: Final = 0.4


@dataclass(frozen=True)
class Content:
    """What is wholly in view: (colour, shape, place) of each thing, row by row; the sign's text and place."""

    things: tuple[tuple[str, str, str], ...]
    sign: tuple[str, str] | None

    def facts(self) -> list[Fact]:
        """All that can be said of it, in single facts."""
        return [fact for here in self.by_place().values() for fact in here]

    def by_place(self) -> dict[str, list[Fact]]:
        """The facts of each place that holds something."""
        told: dict[str, list[Fact]] = {}
        for colour, shape, place in self.things:
            told.setdefault(place, []).extend(_of_thing(colour, shape, place))
        if self.sign is not None:
            told.setdefault(self.sign[1], []).extend(_of_sign(*self.sign))
        return told


@dataclass(frozen=True)
class Said:
    """A text; the facts that it speaks of; of which pictures it is true."""

    text: str
    facts: list[Fact]
    holds: Callable[[Content], bool]


def content_of(script: Script, at_us: int) -> Content:
    """What is wholly in view at a time."""
    scene = script.scene(at_us)
    found = []
    for visit in scene.present(at_us):
        x, y = visit.leg(at_us).position(at_us, 1 / 6, 1 / 6)
        if visit.whole_us <= at_us <= visit.leaving_us:
            place = min(2, max(0, int(y * 3))) * 3 + min(2, max(0, int(x * 3)))
            found.append((place, visit.thing.colour, visit.thing.shape))
    sign = scene.sign(at_us)
    things = tuple((colour, shape, PLACES[place]) for place, colour, shape in sorted(found))
    return Content(things, (sign.text, PLACES[sign.place]) if sign is not None else None)


def caption(content: Content) -> str:
    """All of it in words, as the world's own captions say it."""
    parts = [f"a {colour} {shape} {at_place(place)}" for colour, shape, place in content.things]
    if content.sign is not None:
        parts.append(f"a sign that says {content.sign[0]} {at_place(content.sign[1])}")
    return (", ".join(parts) or "nothing") + "."


def sayings(dice: np.random.Generator, contents: Sequence[Content]) -> tuple[list[Said], Tensor]:
    """A text for each picture, true of it; and of which of the others it is true as well: [pictures, texts]."""
    said = [_saying(dice, content) for content in contents]
    truth = torch.tensor([[float(one.holds(content)) for one in said] for content in contents])
    return said, truth


def _saying(dice: np.random.Generator, content: Content) -> Said:
    options = [of(*thing) for thing in content.things for of in (_thing, _thing, _thing_there, _shape, _colour)]
    if content.sign is not None:
        options += [_sign(content.sign[0])] * 2 + [_any_sign()]
    # The whole picture is what tells frames of one film apart.
    if not options or dice.random() < _WHOLE:
        return Said(caption(content), content.facts(), lambda one: one == content)
    chosen = options[int(dice.integers(len(options)))]
    return Said(chosen.forms[int(dice.integers(len(chosen.forms)))], chosen.facts, chosen.holds)


@dataclass(frozen=True)
class _Option:
    """Forms in which some facts may be said."""

    forms: tuple[str, ...]
    facts: list[Fact]
    holds: Callable[[Content], bool]


def _thing(colour: str, shape: str, place: str) -> _Option:
    def holds(one: Content) -> bool:
        return any(thing[:2] == (colour, shape) for thing in one.things)

    facts = [fact for fact in _of_thing(colour, shape, place) if place not in fact]
    return _Option(tuple(form.format(f"{colour} {shape}") for form in _OF_LOOKS), facts, holds)


def _thing_there(colour: str, shape: str, place: str) -> _Option:
    def holds(one: Content) -> bool:
        return (colour, shape, place) in one.things

    return _Option((f"a {colour} {shape} {at_place(place)}",), list(_of_thing(colour, shape, place)), holds)


def _shape(_: str, shape: str, __: str) -> _Option:
    def holds(one: Content) -> bool:
        return any(thing[1] == shape for thing in one.things)

    return _Option((f"What colour was the {shape}?", f"a {shape}", f"the {shape}"), [("shape", shape)], holds)


def _colour(colour: str, _: str, __: str) -> _Option:
    def holds(one: Content) -> bool:
        return any(thing[0] == colour for thing in one.things)

    forms = (f"What shape was the {colour} object?", f"something {colour}", f"the {colour} object")
    return _Option(forms, [("colour", colour)], holds)


def _sign(text: str) -> _Option:
    def holds(one: Content) -> bool:
        return one.sign is not None and one.sign[0] == text

    forms = (f"a sign that says {text}", f"the sign {text}", f"When did the sign say {text}?", text)
    return _Option(forms, [("sign",), *_digits(text)], holds)


def _any_sign() -> _Option:
    return _Option(("What did the sign say?", "a sign", "the sign"), [("sign",)], lambda one: one.sign is not None)


def _of_thing(colour: str, shape: str, place: str) -> Iterator[Fact]:
    yield ("colour", colour)
    yield ("shape", shape)
    yield ("place", place)
    yield ("look", colour, shape)
    yield ("colour at", colour, place)
    yield ("shape at", shape, place)


def _of_sign(text: str, place: str) -> Iterator[Fact]:
    yield ("sign",)
    yield ("sign at", place)
    yield from _digits(text)


def _digits(text: str) -> Iterator[Fact]:
    for n, digit in enumerate(text):
        yield ("digit", str(n), digit)


_OF_LOOKS: Final = (
    "a {}",
    "the {}",
    "Was there ever a {}?",
    "Where was the {} last at rest?",
    "Where was the {}?",
    "Where was the {} at rest?",
    "When did the {} first appear?",
    "Is there a {}?",
)
