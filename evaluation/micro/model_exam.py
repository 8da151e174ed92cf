"""Which questions are put to a model, and on what evidence: the same for a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from evaluation.micro.model_view import PLAIN, Look, View, Viewer
from memory.messages import Evidence
from training.world import PRESETS, SECOND, Preset, Sheet, Shown, Witness, World, WorldQuestion, questions

EVIDENCE: Final = (1, 4, 8)
_PER_FILM: Final = 2
"""Questions of one kind from one film: more would tell little more."""
_SHORTEST_US: Final = 12 * SECOND
_TRIES: Final = 6


@dataclass(frozen=True)
class Posed:
    """A question with the frames that it is asked on. pieces: how many of them are evidence (0: it is about now)."""

    view: View
    question: WorldQuestion
    evidence: tuple[Evidence, ...]

    @property
    def pieces(self) -> int:
        """How many frames are evidence."""
        return len(self.evidence)


def films(
    viewer: Viewer, first: int, preset: Preset = PRESETS["plain"], look: Look = PLAIN, every: int = 1
) -> Iterator[View]:
    """Endless films, `every` seeds apart, broken off at any moment: so that something may be moving."""
    seed = first
    while True:
        dice = np.random.default_rng([seed, 70])
        whole = World(seed, preset).script()
        # Half of them end where they end: in quiet.
        broken = dice.random() < 0.5
        end_us = int(dice.integers(_SHORTEST_US, whole.duration_us)) if broken else whole.duration_us
        yield viewer.show(whole.until(end_us // 100_000 * 100_000), look)
        seed += every


def pose(view: View, kinds: Sequence[str] | None = None) -> Iterator[Posed]:
    """Some questions of every kind about a film, each with evidence that settles it and is no more than it says."""
    dice = np.random.default_rng([view.script.seed, 71])
    witness = Witness(view.script, [one.media_us for one in view.kept])
    groups: dict[tuple[object, ...], list[WorldQuestion]] = {}
    for question in questions(view.script, view.now_us, most=1000):
        if kinds is None or question.kind in kinds:
            groups.setdefault((question.kind, question.about, question.denies), []).append(question)
    for alike in groups.values():
        found = (_with_evidence(dice, view, witness, alike[n]) for n in dice.permutation(len(alike)))
        yield from islice((one for one in found if one is not None), _PER_FILM)


def _with_evidence(dice: np.random.Generator, view: View, witness: Witness, asked: WorldQuestion) -> Posed | None:
    if asked.about == "now":
        sheet = _sheet(view, ())
        return Posed(view, asked, ()) if witness.proves(asked, sheet) else None
    pieces = int(dice.choice(EVIDENCE))
    true = [n for n, one in enumerate(view.kept) if asked.truth_start_us <= one.media_us < asked.truth_end_us]
    for _ in range(_TRIES):
        chosen = set(dice.permutation(len(view.kept))[:pieces].tolist())
        if true and not chosen & set(true):
            chosen = {*list(chosen)[1:], int(dice.choice(true))}
        sheet = _sheet(view, tuple(sorted(chosen)))
        if not witness.proves(asked, sheet):
            continue
        if asked.kind == "when" and abs(witness.age_us(asked, sheet) / SECOND - float(asked.answer.split()[0])) > 1:
            continue
        return Posed(view, asked, tuple(view.kept[n] for n in sorted(chosen)))
    return None


def _sheet(view: View, chosen: tuple[int, ...]) -> Sheet:
    """The frames of a prompt, as the witness knows them: by their place among all that was encoded."""
    places = {one.media_us: n for n, one in enumerate(view.kept)}
    window = [Shown(places.get(one.media_us, len(view.kept) - 1), one.media_us) for one in view.window]
    return Sheet(tuple(Shown(n, view.kept[n].media_us) for n in chosen), tuple(window), view.now_us)
