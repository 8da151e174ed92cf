"""What can be asked of a script at a time, with the true answers and the moments that prove them; and captions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from string import ascii_uppercase
from typing import Final, Literal

import numpy as np

from training.world_script import (
    COLOURS,
    PLACES,
    SECOND,
    SHAPES,
    Scene,
    Script,
    SignShown,
    Thing,
    Visit,
)

Kind = Literal["colour", "shape", "place", "exist", "sign", "absent", "count", "motion", "order", "when"]
About = Literal["now", "past", "never"]

SETTLED_US: Final = 1_000_000
"""A question about now is asked only where its answer has been the same for so long: cameras are sampled."""
NONE: Final = "there is none"
STILL: Final = "it is still"
DIRECTIONS: Final = ("left", "right", "up", "down", STILL)
NUMBERS: Final = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DENIALS: Final = re.compile(
    r"\b(none|no|not|never|nothing|cannot tell|can't tell|do not know|don't know|did ?n[o']t|wasn't|isn't)\b"
)


@dataclass(frozen=True)
class WorldQuestion:
    """A question and its truth. It is proved by what was in view in [truth_start_us, truth_end_us).

    choices: possible answers in random order, the true one among them; empty where anything may be said. about `never`:
    what is asked for has not been in view; the truth's span is all that has been. timed: the question names its time.
    """

    kind: Kind
    text: str
    answer: str
    about: About
    truth_start_us: int
    truth_end_us: int
    choices: tuple[str, ...] = ()
    timed: bool = False

    @property
    def denies(self) -> bool:
        """Whether the truth is that there is no such thing."""
        return self.answer in {"no", NONE}

    def accepts(self, said: str) -> bool:
        """Whether these words give the true answer, and no other one beside it."""
        plain = re.sub(r"\s+", " ", re.sub(r"[^a-z0-9' ]", " ", said.lower())).strip()
        if self.answer == NONE:
            return _DENIALS.search(plain) is not None
        if self.choices and self.answer in ascii_uppercase:
            return re.findall(r"\b[A-E]\b", said) == [self.answer]
        if self.answer in {"yes", "no"}:
            return [word for word in plain.split() if word in {"yes", "no"}][:1] == [self.answer]
        if self.kind == "when":
            ages = [0.0] if plain == "now" else [float(age) for age in re.findall(r"\d+(?:\.\d+)?", said)]
            return any(abs(age - float(self.answer.split()[0])) <= 1 for age in ages)
        return _mentioned(plain, _vocabulary(self)) == {self.answer}


def _vocabulary(question: WorldQuestion) -> Sequence[str]:
    """What might be said instead of the true answer."""
    words: dict[str, Sequence[str]] = {
        "colour": COLOURS,
        "shape": SHAPES,
        "place": PLACES,
        "motion": (*DIRECTIONS, "still"),
        "count": NUMBERS,
    }
    return words.get(question.kind, question.choices)


def _mentioned(plain: str, vocabulary: Sequence[str]) -> set[str]:
    """Which of these words are there: the longest first, so that `top left` is not also `top`. Digits count too."""
    found = set()
    for word in sorted(vocabulary, key=len, reverse=True):
        plain, times = re.subn(rf"\b{re.escape(word)}\b", " ", plain)
        if times:
            found.add(word)
    numbers = re.findall(r"\d+", plain)
    digits = {NUMBERS[int(number)] for number in numbers if vocabulary is NUMBERS and int(number) < len(NUMBERS)}
    signs = set(numbers) if vocabulary and vocabulary[0].isdigit() else set()
    return {STILL if word == "still" else word for word in found | digits | signs}


@dataclass(frozen=True)
class Caption:
    """What is to be seen in [start_us, end_us), in words."""

    start_us: int
    end_us: int
    text: str


def captions(script: Script) -> list[Caption]:
    """One caption for each stretch in which nothing begins or ends."""
    made: list[Caption] = []
    for scene in script.scenes:
        for start_us, end_us in pairwise(_changes(scene)):
            made.append(Caption(start_us, end_us, _caption(scene, start_us)))
    return made


def _changes(scene: Scene) -> list[int]:
    times = {scene.start_us, scene.end_us}
    times |= {leg.start_us for visit in scene.visits for leg in visit.legs}
    times |= {visit.end_us for visit in scene.visits}
    times |= {edge for sign in scene.signs for edge in (sign.start_us, sign.end_us)}
    return sorted(times)


def _caption(scene: Scene, at_us: int) -> str:
    seen = sorted(scene.present(at_us), key=lambda visit: _reading_order(visit, at_us))
    parts = [f"a {visit.thing.name} {_doing(visit, at_us)}" for visit in seen]
    sign = scene.sign(at_us)
    if sign is not None:
        parts.append(f"a sign that says {sign.text} {at_place(PLACES[sign.place])}")
    return (", ".join(parts) or "nothing") + "."


def _reading_order(visit: Visit, at_us: int) -> tuple[int, float]:
    """Row by row, from the left: what a picture alone tells."""
    x, y = visit.leg(at_us).position(at_us, 1 / 6, 1 / 6)
    return int(y * 3), x


def _doing(visit: Visit, at_us: int) -> str:
    leg = visit.leg(at_us)
    return at_place(PLACES[leg.origin.place]) if leg.direction is None else f"moving {leg.direction}"


def at_place(place: str) -> str:
    """A place as captions say it."""
    return "in the centre" if place == "centre" else f"at the {place}"


# ---------------------------------------------------------------- questions


def questions(script: Script, at_us: int, most: int = 6) -> list[WorldQuestion]:
    """All that one may ask at a time, at most `most` of each kind about now, the past and what never was.

    Beyond the script's end, it is asked at its end.
    Only what has one true answer is asked. The same script and time give the same questions.
    """
    at_us = max(0, min(at_us, script.duration_us - 1))
    writer = _Writer(script, at_us)
    found: dict[tuple[Kind, About], list[WorldQuestion]] = {}
    for question in writer.write():
        found.setdefault((question.kind, question.about), []).append(question)
    dice = np.random.default_rng([script.seed, 8, at_us])
    kept: list[WorldQuestion] = []
    for alike in found.values():
        kept += [alike[n] for n in sorted(dice.permutation(len(alike))[:most])]
    return [with_shuffled_choices(question, dice) for question in kept]


def with_shuffled_choices(question: WorldQuestion, dice: np.random.Generator) -> WorldQuestion:
    """With four choices at most, in random order."""
    others = [choice for choice in question.choices if choice != question.answer]
    if len(others) > 3:
        others = [others[n] for n in dice.permutation(len(others))[:3]]
        # Were it among the choices only where it is true, nobody had to look.
        if question.kind in {"colour", "place"} and dice.random() < 0.5:
            others[0] = NONE
    choices = [question.answer, *others] if others else []
    mixed = tuple(choices[n] for n in dice.permutation(len(choices)))
    return replace(question, choices=mixed)


class _Writer:
    """Everything that can be asked at one time, from what is in view and what has been."""

    def __init__(self, script: Script, at_us: int) -> None:
        self._script = script
        self._at_us = at_us
        self._scene = script.scene(at_us)
        self._since_us = max(self._scene.start_us, at_us - SETTLED_US)
        self._now = self._scene.present(at_us)
        self._calm = self._is_calm(self._since_us, at_us)
        self._known = [visit for visit in script.visits if visit.whole_us < at_us]
        self._gone = [visit for visit in self._known if visit.end_us <= at_us]
        self._edge = [visit for visit in script.visits if visit.start_us <= at_us <= visit.whole_us]

    def write(self) -> Iterator[WorldQuestion]:
        """In a fixed order."""
        if self._at_us - self._scene.start_us >= SETTLED_US:
            yield from self._about_now()
        yield from self._about_past()
        yield from self._about_times()
        yield from self._about_order()
        yield from self._about_never()

    # ------------------------------------------------------------ now

    def _about_now(self) -> Iterator[WorldQuestion]:
        yield from self._motion()
        if not self._calm:
            return
        things = [visit.thing for visit in self._now]
        for visit in self._now:
            yield from self._look(visit, things)
            yield self._now_question("exist", f"Is there a {visit.thing.name} now?", "yes", ("yes", "no"))
        yield self._now_question("count", "How many objects are there now?", NUMBERS[len(things)], NUMBERS[:6])
        sign = self._scene.sign(self._at_us)
        if sign is not None:
            yield self._now_question("sign", "What does the sign say now?", sign.text, like_sign(sign.text))
        names = {thing.name for thing in things}
        for colour, shape in _near_misses(things):
            if f"{colour} {shape}" not in names:
                yield self._now_question("exist", f"Is there a {colour} {shape} now?", "no", ("yes", "no"))
        for shape in sorted({*SHAPES} - {thing.shape for thing in things}):
            yield self._now_question("absent", f"What colour is the {shape} now?", NONE, (NONE, *COLOURS))

    def _look(self, visit: Visit, things: list[Thing]) -> Iterator[WorldQuestion]:
        colour, shape = visit.thing.colour, visit.thing.shape
        if [thing.shape for thing in things].count(shape) == 1:
            yield self._now_question("colour", f"What colour is the {shape} now?", colour, COLOURS)
        if [thing.colour for thing in things].count(colour) == 1:
            yield self._now_question("shape", f"What shape is the {colour} object now?", shape, SHAPES)
        place = PLACES[visit.leg(self._at_us).origin.place]
        yield self._now_question("place", f"Where is the {visit.thing.name} now?", place, PLACES)

    def _motion(self) -> Iterator[WorldQuestion]:
        for visit in self._now:
            leg = visit.leg(self._at_us)
            whole = visit.whole_us <= self._since_us and self._at_us <= visit.leaving_us
            if whole and leg.start_us <= self._since_us:
                text = f"Which way is the {visit.thing.name} moving now?"
                yield self._now_question("motion", text, leg.direction or STILL, DIRECTIONS)

    def _now_question(self, kind: Kind, text: str, answer: str, choices: Sequence[str]) -> WorldQuestion:
        return WorldQuestion(kind, text, answer, "now", self._since_us, self._at_us + 1, tuple(choices))

    def _is_calm(self, since_us: int, until_us: int) -> bool:
        """Whether nothing begins, moves or ends then."""
        return not any(since_us < change <= until_us for change in _changes(self._script.scene(until_us))) and all(
            visit.leg(until_us).direction is None for visit in self._script.scene(until_us).present(until_us)
        )

    # ------------------------------------------------------------ the past

    def _about_past(self) -> Iterator[WorldQuestion]:
        """What is out of view: only where all that was seen gives one answer."""
        shapes_now = {visit.thing.shape for visit in (*self._now, *self._edge)}
        names_now = {visit.thing.name for visit in (*self._now, *self._edge)}
        for shape in SHAPES:
            seen = [visit for visit in self._gone if visit.thing.shape == shape]
            if shape not in shapes_now and len({visit.thing.colour for visit in seen}) == 1:
                yield self._past("colour", f"What colour was the {shape}?", seen[-1].thing.colour, seen, COLOURS)
        for name, visits in _by_name(self._gone):
            if name not in names_now:
                yield self._past("exist", f"Was there ever a {name}?", "yes", visits, ("yes", "no"))
                yield from self._last_place(name, visits[-1])
        signs = [sign for sign in self._script.signs if sign.start_us < self._at_us]
        if len(signs) == 1 and signs[0].end_us <= self._at_us:
            sign = signs[0]
            text = "What did the sign say?"
            yield WorldQuestion("sign", text, sign.text, "past", sign.start_us, sign.end_us, like_sign(sign.text))

    def _last_place(self, name: str, visit: Visit) -> Iterator[WorldQuestion]:
        """Where it rested last, before it left or the picture changed."""
        rests = [leg for leg in visit.legs if leg.direction is None]
        if rests:
            place = PLACES[rests[-1].origin.place]
            span = (rests[-1].start_us, rests[-1].end_us)
            yield WorldQuestion("place", f"Where was the {name} last at rest?", place, "past", *span, PLACES)

    def _past(
        self, kind: Kind, text: str, answer: str, visits: Sequence[Visit], choices: Sequence[str]
    ) -> WorldQuestion:
        last = visits[-1]
        return WorldQuestion(kind, text, answer, "past", last.start_us, last.end_us, tuple(choices))

    def _about_times(self) -> Iterator[WorldQuestion]:
        """What only the time tells apart: asked for whole seconds ago with calm round them."""
        for ago in range(2, self._at_us // SECOND):
            at_us = self._at_us - ago * SECOND
            scene = self._script.scene(at_us)
            calm = self._is_calm(at_us - SETTLED_US, at_us + SETTLED_US)
            if not calm or at_us - SETTLED_US < scene.start_us or at_us + SETTLED_US >= scene.end_us:
                continue
            span = (at_us - SETTLED_US, at_us + SETTLED_US)
            count = NUMBERS[len(scene.present(at_us))]
            text = f"How many objects were there {ago} s ago?"
            yield WorldQuestion("count", text, count, "past", *span, NUMBERS[:6], timed=True)
            yield from self._sign_at(scene.sign(at_us), ago, span)
            for visit in scene.present(at_us):
                text, place = f"Where was the {visit.thing.name} {ago} s ago?", visit.leg(at_us).origin.place
                yield WorldQuestion("place", text, PLACES[place], "past", *span, PLACES, timed=True)

    def _sign_at(self, sign: SignShown | None, ago: int, span: tuple[int, int]) -> Iterator[WorldQuestion]:
        if sign is not None:
            text = f"What did the sign say {ago} s ago?"
            yield WorldQuestion("sign", text, sign.text, "past", *span, like_sign(sign.text), timed=True)

    def _about_order(self) -> Iterator[WorldQuestion]:
        firsts = [visits[0] for _, visits in _by_name(self._known)]
        for first, second in combinations(sorted(firsts, key=lambda visit: visit.start_us), 2):
            if second.start_us - first.start_us < SETTLED_US:
                continue
            names = (first.thing.name, second.thing.name)
            told = names if (first.thing.number + second.thing.number) % 2 else names[::-1]
            text = f"Which came first, the {told[0]} or the {told[1]}?"
            span = (first.start_us, min(second.end_us, self._at_us + 1))
            yield WorldQuestion("order", text, names[0], "past", *span, names)
        for first in firsts:
            text = f"When did the {first.thing.name} first appear?"
            answer = f"{round((self._at_us - first.start_us) / SECOND)} s ago"
            yield WorldQuestion("when", text, answer, "past", first.start_us, first.whole_us + SETTLED_US)

    # ------------------------------------------------------------ what never was

    def _about_never(self) -> Iterator[WorldQuestion]:
        seen = [visit.thing for visit in (*self._known, *self._edge)]
        names, shapes = {thing.name for thing in seen}, {thing.shape for thing in seen}
        for shape in (shape for shape in SHAPES if shape not in shapes):
            yield self._never("absent", f"What colour was the {shape}?", NONE, (NONE, *COLOURS))
        for colour, shape in _near_misses(seen):
            if f"{colour} {shape}" not in names:
                yield self._never("exist", f"Was there ever a {colour} {shape}?", "no", ("yes", "no"))
                yield self._never("absent", f"Where was the {colour} {shape} last at rest?", NONE, (NONE, *PLACES))

    def _never(self, kind: Kind, text: str, answer: str, choices: Sequence[str]) -> WorldQuestion:
        return WorldQuestion(kind, text, answer, "never", 0, self._at_us + 1, tuple(choices))


def _by_name(visits: Sequence[Visit]) -> Iterator[tuple[str, list[Visit]]]:
    named: dict[str, list[Visit]] = {}
    for visit in visits:
        named.setdefault(visit.thing.name, []).append(visit)
    yield from named.items()


def _near_misses(things: Sequence[Thing]) -> list[tuple[str, str]]:
    """Looks that share colour or shape with something seen, all looks where nothing was."""
    colours, shapes = {thing.colour for thing in things}, {thing.shape for thing in things}
    return [(colour, shape) for colour, shape in product(COLOURS, SHAPES) if colour in colours or shape in shapes]


def like_sign(text: str) -> tuple[str, ...]:
    """Signs that differ in one character."""
    return (text, *(f"{text[:n]}{(int(text[n]) + 3 + n) % 10}{text[n + 1 :]}" for n in range(len(text))))
