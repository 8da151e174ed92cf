"""Lessons of the language model: a sheet of frames in the form that reasoning sends, many questions behind it.

The questions share the sheet and do not see one another: a lesson is one sequence with segments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from transformers import AutoTokenizer

from memory.messages import Evidence
from perception.window import WindowFrame
from reasoning.families.marks import Marks
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt, age
from reasoning.render import Renderer
from training.blank import TOKENS
from training.watching import pick_evidence, window_at
from training.words import END, SYSTEM
from training.world import CANNOT_TELL, SECOND, Sheet, Shown, Witness, WorldQuestion, as_letters, as_yes_no

QUESTIONS: Final = 28
PER_GROUP: Final = 3
_PER_TIMED: Final = 6
LETTERED_LATE: Final = frozenset({"place", "count", "sign"})
"""What is told freely long before it is told by letters; asked by letters twice as often as the rest."""
_TIMED: Final = 0.8
"""Share of sheets with evidence of moments that some question names: at random, few would settle one of them."""
_FAKE: Final = "<fake_token_around_image>"
_MARKS: Final = Marks("<image>", f"{_FAKE}<global-img>", _FAKE)
_STREAM: Final = "local/film"
_DAY_US: Final = 86_400 * SECOND


@dataclass(frozen=True)
class Level:
    """How much a sheet shows at most, how often one asks in another form too, whether about more than now."""

    window: int
    evidence: int
    forms: float = 0.4
    past: bool = True


LEVELS: Final = (Level(1, 0, past=False), Level(1, 1), Level(3, 3), Level(8, 8))


@dataclass(frozen=True)
class Item:
    """A question as it stands behind a sheet. skill: what it counts to."""

    text: str
    answer: str
    skill: str


@dataclass(frozen=True)
class Lesson:
    """Ids of the sheet (one image token a visual token) and of all questions; frames: which frame each run shows.

    segments: 0 for the sheet, k for question k; answers: where an answer's tokens are; skills[k - 1] of question k.
    """

    ids: list[int]
    segments: list[int]
    answers: list[bool]
    frames: list[int]
    skills: list[str]


def draw_sheet(
    dice: np.random.Generator,
    level: Level,
    states: Sequence[Any],
    times: Sequence[int],
    at_us: int,
    asked: Sequence[WorldQuestion] = (),
) -> Sheet:
    """What might be at hand at a time of a film, when something of `asked` is."""
    newest = max(n for n, time_us in enumerate(times) if time_us <= at_us)
    most = level.window if dice.random() < 0.6 else int(dice.integers(1, level.window + 1))
    window = window_at(states, times, newest, most)
    count = int(dice.integers(0 if level.window > 1 else level.evidence, level.evidence + 1)) if level.evidence else 0
    moments = [(one.truth_start_us + one.truth_end_us) // 2 for one in asked if one.timed]
    wanted = dice.permutation(moments)[: int(dice.integers(1, count + 1))].tolist() if count else []
    return Sheet(pick_evidence(dice, window, times, count, wanted if dice.random() < _TIMED else ()), window, at_us)


def choose(
    dice: np.random.Generator, level: Level, found: Sequence[WorldQuestion], witness: Witness, sheet: Sheet
) -> list[Item]:
    """Questions that the sheet settles, of each group a few, some of them in another form too."""
    groups: dict[tuple[object, ...], list[WorldQuestion]] = {}
    for question in found:
        if question.about != "now" and not level.past:
            continue
        key = (question.kind, question.about, question.timed, question.denies)
        groups.setdefault(key, []).append(question)
    items: dict[bool, list[Item]] = {True: [], False: []}
    for (*_, denied), alike in groups.items():
        proved = (alike[n] for n in dice.permutation(len(alike)) if witness.proves(alike[n], sheet))
        for question in islice(proved, _PER_TIMED if alike[0].timed else PER_GROUP):
            items[bool(denied)] += _items(dice, level, question, witness, sheet)
    told, denials = items[False], items[True]
    # There is much more that is not than that is.
    fewer = [denials[n] for n in dice.permutation(len(denials))[: max(1, len(told) // 2)]]
    chosen = [*told, *fewer]
    return [chosen[n] for n in dice.permutation(len(chosen))[:QUESTIONS]]


def _items(
    dice: np.random.Generator, level: Level, question: WorldQuestion, witness: Witness, sheet: Sheet
) -> Iterator[Item]:
    if question.kind == "when":
        question = replace(question, answer=age(witness.age_us(question, sheet)))
    yield told(question)
    other = _other_form(dice, level, question)
    if other is not None:
        yield Item(other.text, other.answer, "letter" if other.answer in "ABCDE" else "yes_no")


def told(question: WorldQuestion) -> Item:
    """The question as it is, to be answered freely."""
    skill = question.kind if question.about == "now" else f"{question.kind}.{question.about}"
    return Item(question.text, question.answer, f"{skill}.timed" if question.timed else skill)


def _other_form(dice: np.random.Generator, level: Level, question: WorldQuestion) -> WorldQuestion | None:
    """None where it is asked in no other."""
    if dice.random() >= level.forms * (1 + (question.kind in LETTERED_LATE)):
        return None
    yes_no = as_yes_no(question) if dice.random() < 0.5 else None
    return yes_no or as_letters(question)


def cannot_tell(
    dice: np.random.Generator, level: Level, found: Sequence[WorldQuestion], skill: str = "stranger"
) -> list[Item]:
    """The questions of a film, asked where nothing of it is to be seen."""
    chosen = [found[n] for n in dice.permutation(len(found))[: QUESTIONS // 2]]
    return [Item((_other_form(dice, level, one) or one).text, CANNOT_TELL, skill) for one in chosen]


class Writer:
    """Writes lessons as token ids, through reasoning's own prompt and renderer."""

    def __init__(self, model: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        [self._image] = self._encode("<image>")
        self._renderer = Renderer(self._tokenizer, self._image, _MARKS, model)
        self._asked = self._encode(" ?")
        self._tail = self._ending()

    def write(self, dice: np.random.Generator, sheet: Sheet, items: Sequence[Item], timeless: bool) -> Lesson:
        """One lesson. timeless: no item speaks of a time, so that the evidence may be of long ago."""
        head, frames = self.head(dice, sheet, timeless)
        ids, segments, answers = list(head), [0] * len(head), [False] * len(head)
        for number, item in enumerate(items, start=1):
            asked = [*self._encode(f" {item.text}"), *self._tail]
            said = self._encode(f" {item.answer}{END}")
            ids += asked + said
            segments += [number] * len(asked + said)
            answers += [False] * len(asked) + [True] * len(said)
        return Lesson(ids, segments, answers, frames, [item.skill for item in items])

    def head(self, dice: np.random.Generator, sheet: Sheet, timeless: bool) -> tuple[list[int], list[int]]:
        """The prompt up to "Question:", and the film's frames in the order in which it shows them."""
        prompt, order = self.prompt(dice, sheet, timeless)
        ids: list[int] = []
        for token in self._renderer.encode(prompt.messages()):
            ids += [self._image] * TOKENS if token == self._image else [token]
        return ids[: len(ids) - len(self._asked) - len(self._tail)], order

    def prompt(self, dice: np.random.Generator, sheet: Sheet, timeless: bool) -> tuple[Prompt, list[int]]:
        """The prompt of a sheet with the question "?", and which frame of the film each of its pictures is."""
        far_us = _long_ago(dice) if timeless else 0
        evidence = [Evidence(_STREAM, "", 0, one.media_us - far_us, 0, 0, 0.0, b"") for one in sheet.evidence]
        window = [WindowFrame(_STREAM, one.media_us, 0, b"", None) for one in sheet.window]
        # Days lie before the film, so that times of long ago are times at all.
        start_us = int(dice.integers(10_000, 20_000)) * _DAY_US + int(dice.integers(_DAY_US))
        asked = AskedStream(_STREAM, 0, start_us, sheet.now_us, "", "UTC")
        prompt = Prompt(SYSTEM, [asked], [], evidence, [], window, "?")
        known = {id(one): shown.index for one, shown in zip([*evidence, *window], sheet.frames, strict=True)}
        return prompt, [known[id(picture)] for picture in prompt.pictures()]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _ending(self) -> list[int]:
        """What stands between a question and its answer."""
        sheet = Sheet((), (Shown(0, 0),), 0)
        prompt, _ = self.prompt(np.random.default_rng(0), sheet, timeless=False)
        ids = self._renderer.encode(prompt.messages())
        last = max(n for n in range(len(ids)) if ids[n : n + len(self._asked)] == self._asked)
        return ids[last + len(self._asked) :]


def _long_ago(dice: np.random.Generator) -> int:
    """Seconds to days, each order of size as often."""
    return round(10 ** dice.uniform(1, 5.5) * SECOND)
