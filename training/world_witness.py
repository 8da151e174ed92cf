"""Who has seen only some frames of a film: which questions can such a witness answer, and what does it know?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.world_questions import SETTLED_US, WorldQuestion
from training.world_script import Script

_STOOD_US: Final = 900_000
"""A frame that has stood for so long shows that nothing moves."""


@dataclass(frozen=True)
class Shown:
    """One frame of a prompt: frame `index` of the film, said to be of `media_us`."""

    index: int
    media_us: int


@dataclass(frozen=True)
class Sheet:
    """What one prompt shows: evidence and window, in time order, at the moment `now_us` of the film."""

    evidence: tuple[Shown, ...]
    window: tuple[Shown, ...]
    now_us: int

    @property
    def frames(self) -> tuple[Shown, ...]:
        """All of them, the oldest first."""
        return (*self.evidence, *self.window)


class Witness:
    """Judges which questions of a script's can be answered from the frames of a sheet, and how."""

    def __init__(self, script: Script, times: Sequence[int]) -> None:
        self._script = script
        self._times = times
        self._whole = [
            frozenset(
                visit.thing.name
                for visit in script.scene(at_us).present(at_us)
                if visit.whole_us <= at_us <= visit.leaving_us
            )
            for at_us in times
        ]

    def proves(self, question: WorldQuestion, sheet: Sheet) -> bool:
        """Whether the frames shown settle the question."""
        if question.about == "never":
            return True
        if question.about == "now":
            return self._proves_now(question, sheet)
        if question.kind == "order":
            first, second = (self._first(name, sheet) for name in _names_first(question))
            return first is not None and second is not None and first < second
        if question.kind == "when":
            return self._first(_name_of_when(question), sheet) is not None
        name = _name_of(question)
        true = [
            question.truth_start_us <= self._times[one.index] < question.truth_end_us
            and (name is None or name in self._whole[one.index])
            for one in sheet.frames
        ]
        if question.timed and true:
            middle_us = (question.truth_start_us + question.truth_end_us) // 2
            nearest = min(range(len(true)), key=lambda n: abs(sheet.frames[n].media_us - middle_us))
            return true[nearest]
        return any(true)

    def age_us(self, question: WorldQuestion, sheet: Sheet) -> int:
        """Of a question when: how long ago the frame was that shows the thing for the first time."""
        first = self._first(_name_of_when(question), sheet)
        assert first is not None
        return sheet.now_us - first

    def _proves_now(self, question: WorldQuestion, sheet: Sheet) -> bool:
        if question.kind != "motion":
            return bool(sheet.window)
        if len(sheet.window) < 2:
            return False
        # Two frames within the second for which the answer has been true; or one that has stood for so long.
        *_, before, last = sheet.window
        return sheet.now_us - before.media_us <= SETTLED_US or self._times[last.index] + _STOOD_US <= last.media_us

    def _first(self, name: str, sheet: Sheet) -> int | None:
        return next((one.media_us for one in sheet.frames if name in self._whole[one.index]), None)


def _names_first(question: WorldQuestion) -> tuple[str, str]:
    """The thing that came first and the other one."""
    [other] = [choice for choice in question.choices if choice != question.answer]
    return question.answer, other


def _name_of(question: WorldQuestion) -> str | None:
    """The thing that must be wholly seen to know its look; None where the question is of something else."""
    if question.kind == "colour":
        return f"{question.answer} {question.text.removeprefix('What colour was the ').removesuffix('?')}"
    if question.kind == "exist":
        return question.text.removeprefix("Was there ever a ").removesuffix("?")
    return None


def _name_of_when(question: WorldQuestion) -> str:
    return question.text.removeprefix("When did the ").removesuffix(" first appear?")
