"""What is hidden where: needles and distractors in haystacks of sampled frames, one a second. All follows from a seed.

A needle is a note: a thing, and a sign with a fresh code of three digits, at places drawn anew, for one frame or three.
A question names the thing and asks for its place; another asks what the sign said at the moment that was found. Things
that name needles are never in a haystack otherwise. The hay has no signs, but every distractor has one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from evaluation.needle.looks import HAY_LOOKS, NEEDLE_LOOKS, Look
from training.world import NONE, PLACES, SECOND, WorldQuestion

DEPTHS: Final = tuple(n / 10 for n in range(11))
DAY: Final = 86_400
LENGTHS: Final = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, DAY)
REACH: Final = 16
"""Frames before and after a needle that go the whole way with it."""
_ROOM: Final = 2 * REACH + 8
"""A haystack holds one needle for so many frames."""
_DISTRACTORS: Final = (0, 1, 4)
_PERIODS: Final = (50, 100, 200, 400)
_FRAMES: Final = (1, 3)
_ABSENT: Final = 3


@dataclass(frozen=True)
class Note:
    """A thing at a place in frames [index, index + frames), and elsewhere in them a sign that says a code."""

    index: int
    frames: int
    look: Look
    place: int
    code: str
    sign_place: int
    room: int

    @property
    def name(self) -> str:
        """How one speaks of the thing."""
        return " ".join(self.look)

    def shows(self, media_us: int) -> bool:
        """Whether it is what the frame of that time shows."""
        return self.index * SECOND <= media_us < (self.index + self.frames) * SECOND

    def question(self) -> WorldQuestion:
        """Where the thing was: one of nine places."""
        text = f"Where was the {self.name} last at rest?"
        return WorldQuestion("place", text, PLACES[self.place], "past", 0, 0, PLACES)

    def question_in_view(self) -> WorldQuestion:
        """The same while it is to be seen."""
        return replace(self.question(), text=f"Where is the {self.name} now?", about="now")

    def code_question(self) -> WorldQuestion:
        """What the sign said, asked of a time: any of a thousand codes."""
        return WorldQuestion("sign", "What did the sign say?", self.code, "past", 0, 0, (self.code,))

    def code_question_in_view(self) -> WorldQuestion:
        """The same while it is to be seen."""
        return replace(self.code_question(), text="What does the sign say now?", about="now")


def absent_question(look: Look) -> WorldQuestion:
    """After a thing that was never there: the answer is that there is none."""
    text = f"Where was the {' '.join(look)} last at rest?"
    return WorldQuestion("absent", text, NONE, "never", 0, 0, (NONE, *PLACES))


@dataclass(frozen=True)
class Needle:
    """A note that is asked about, at a depth of its haystack, with so many distractors near."""

    note: Note
    depth: float
    distractors: int


@dataclass(frozen=True)
class Haystack:
    """So many frames with needles and distractors in them. absent: looks that are in none of its frames."""

    seed: int
    length: int
    needles: tuple[Needle, ...]
    distractors: tuple[Note, ...]
    absent: tuple[Look, ...]

    @property
    def notes(self) -> tuple[Note, ...]:
        """All of them, in order of time."""
        return tuple(sorted((*(one.note for one in self.needles), *self.distractors), key=lambda note: note.index))

    def stretches(self) -> list[tuple[int, int]]:
        """Frames [since, until) that go the whole way with the notes in them, in order, none twice."""
        reach = [(one.note, REACH) for one in self.needles] + [(note, 4) for note in self.distractors]
        spans = [(max(0, note.index - far), min(self.length, note.index + note.frames + far)) for note, far in reach]
        joined: list[tuple[int, int]] = []
        for since, until in sorted(spans):
            if joined and since <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(until, joined[-1][1]))
            else:
                joined.append((since, until))
        return joined


def haystacks(seed: int, length: int, needles_per_depth: int) -> Iterator[Haystack]:
    """Haystacks of one length that together hold so many needles at each depth, as many in each as have room."""
    together = max(1, min(len(DEPTHS), length // _ROOM))
    groups = [DEPTHS[n :: -(-len(DEPTHS) // together)] for n in range(-(-len(DEPTHS) // together))]
    for turn in range(needles_per_depth):
        for n, depths in enumerate(groups):
            yield _haystack(int(np.random.SeedSequence([seed, length, turn, n]).generate_state(1)[0]), length, depths)


def _haystack(seed: int, length: int, depths: Sequence[float]) -> Haystack:
    dice = np.random.default_rng([seed, 90])
    looks = [NEEDLE_LOOKS[n] for n in dice.permutation(len(NEEDLE_LOOKS))]
    taken: list[tuple[int, int]] = []
    notes: list[Note] = []
    for look, depth in zip(looks, depths, strict=False):
        frames = _FRAMES[int(dice.integers(len(_FRAMES)))]
        index = min(round(depth * length), length - frames)
        notes.append(_note(dice, index, frames, look))
        taken.append((index, index + frames))
    kept: list[Needle] = []
    distractors: list[Note] = []
    for note, depth in zip(notes, depths, strict=True):
        near = [*_distractors(dice, note, length, taken)]
        distractors += near
        kept.append(Needle(note, depth, len(near)))
    absent = looks[len(depths) :][: _ABSENT if len(depths) > 1 else 1]
    return Haystack(seed, length, tuple(kept), tuple(distractors), tuple(absent))


def _distractors(
    dice: np.random.Generator, note: Note, length: int, taken: list[tuple[int, int]]
) -> Iterator[Note]:  # fmt: skip
    """Notes that share a colour or a shape with it, some way before or after it, where there is room."""
    alike = [look for look in HAY_LOOKS if look[0] == note.look[0] or look[1] == note.look[1]]
    for _ in range(int(dice.choice(_DISTRACTORS))):
        far = int(dice.choice(_PERIODS)) * int(dice.choice((-1, 1)))
        sides = (note.index + far, note.index - far)
        index = next((at for at in sides if _is_free(at, note.frames, length, taken)), -1)
        if index >= 0:
            taken.append((index, index + note.frames))
            yield _note(dice, index, note.frames, alike[int(dice.integers(len(alike)))])


def _is_free(index: int, frames: int, length: int, taken: Sequence[tuple[int, int]]) -> bool:
    apart = all(index + frames + 2 <= since or index >= until + 2 for since, until in taken)
    return 0 <= index <= length - frames and apart


def _note(dice: np.random.Generator, index: int, frames: int, look: Look) -> Note:
    place, sign_place = (int(one) for one in dice.permutation(len(PLACES))[:2])
    code = f"{dice.integers(1000):03d}"
    return Note(index, frames, look, place, code, sign_place, int(dice.integers(1 << 16)))
