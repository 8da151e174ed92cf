"""Films for the language model: what the trained encoder sees in them, questions, and batches of lessons."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import AutoModelForImageTextToText

from reasoning.captioning import DESCRIBE
from training.bank import HELD_OUT_SEEDS, TRAINING_SEEDS, fill, films_of, scaled, strangers
from training.device import half, loaded
from training.drills import Drills, stills_of
from training.films import Film, training_preset
from training.labels import FOREIGN, blank_labels, labels_of
from training.lessons import LEVELS, Item, Lesson, Writer, cannot_tell, choose, draw_sheet
from training.reading import Fit, read
from training.see import normalised, place_features
from training.watching import State, states_of
from training.world import UNSEEN_PAIRS, Script, Sheet, Shown, Witness, WorldQuestion, captions, questions

FILMS: Final = 600
HELD_OUT_FILMS: Final = 50
STRANGERS: Final = 4000
HELD_OUT_STRANGERS: Final = 300
_FIRST: Final = 1_000_000
"""Films of the language model have seeds of their own, behind those of the encoder."""
_ASKS: Final = 20
_MOST: Final = 40
_KEPT: Final = 8
"""Questions of one kind at one moment; of those that name a time, which fit few sheets, _MOST."""
_NOTHING: Final = 0.03
"""Share of lessons without any picture."""
_LATEST_US: Final = 450_000
_CHUNK: Final = 256
_STRANGE: Final = 0.06
"""Share of lessons whose pictures are not of the world."""
_TIMELESS: Final = 0.1
_DESCRIBED: Final = 0.7
_FEWEST: Final = 4
_SIGNED: Final = 0.2
_CALM: Final = 0.35
_FEWEST_TIMED: Final = 4
_SORTED: Final = 48
_TOKENS: Final = 8192
"""Of a batch, padding included."""
_DRILLED: Final = 0.5
"""Share of lessons that are drills."""
_EASIER: Final = 0.4


@dataclass(frozen=True)
class Story:
    """A film without its pictures: what is seen in them is rows [first, first + len(times)) of the shelf's."""

    script: Script
    times: tuple[int, ...]
    first: int
    states: list[State]
    asks: list[tuple[int, list[WorldQuestion], str | None]]


@dataclass(frozen=True)
class Batch:
    """Lessons side by side: ids, segments, answers [n, length]; seen [frames, 9, numbers] in reading order."""

    ids: Tensor
    segments: Tensor
    positions: Tensor
    answers: Tensor
    seen: Tensor
    skills: list[list[str]]


def prepare(model: Path, banks: Path, device: torch.device, scale: float = 1.0, *, held_out: bool) -> Path:
    """Draw the films and look at them, where that is not done yet; the folder. Those held out come after the others."""
    name = "stories-held-out" if held_out else "stories"
    first = (HELD_OUT_SEEDS if held_out else TRAINING_SEEDS) + _FIRST
    fill(banks / name, first, scaled(HELD_OUT_FILMS if held_out else FILMS, scale), training_preset, model)
    folder = banks / f"{name}-features"
    if (folder / "stories.pkl").is_file():
        return folder
    folder.mkdir(exist_ok=True)
    seer = loaded(AutoModelForImageTextToText, model, device)
    others = strangers(banks, first, scaled(HELD_OUT_STRANGERS if held_out else STRANGERS, scale), model)
    stories: list[Story] = []
    parts = [features_of(seer, others)]
    rows = len(others)
    fit = Fit(parts[0].shape[-1])
    fit.add(parts[0], [blank_labels(FOREIGN)] * rows)
    for film in films_of(banks / name):
        parts.append(features_of(seer, film.pictures))
        fit.add(parts[-1], [labels_of(film.script, at_us, film.width, film.height) for at_us in film.times])
        stories.append(_story(film, rows))
        rows += len(film.times)
    reading = load_reading(banks) if held_out else fit.solve()
    np.save(folder / "reading.npy", reading)
    np.save(folder / "seen.npy", np.concatenate([read(part, reading) for part in parts]))
    (folder / "stories.pkl").write_bytes(pickle.dumps(stories))
    return folder


def load_reading(banks: Path) -> NDArray[np.float32]:
    """How features are read, fitted to the training films: [numbers, width]. `prepare` leaves it there."""
    reading: NDArray[np.float32] = np.load(banks / "stories-features" / "reading.npy")
    return reading


def load_stories(folder: Path) -> list[Story]:
    """What `prepare` made."""
    stories: list[Story] = pickle.loads((folder / "stories.pkl").read_bytes())  # noqa: S301 (written by `prepare`)
    return stories


@torch.inference_mode()
def features_of(model: Any, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    """What the connector gets of each picture: [n, 9, width]."""
    found = []
    for start in range(0, len(pictures), _CHUNK):
        with half(model.device):
            shown = torch.from_numpy(pictures[start : start + _CHUNK]).to(model.device)
            seen = place_features(model, normalised(shown))
        found.append(seen.half().cpu().numpy())
    return np.concatenate(found)


def _story(film: Film, first: int) -> Story:
    dice = np.random.default_rng([film.script.seed, 40])
    asks = []
    for newest in sorted(dice.permutation(np.arange(2, len(film.times)))[:_ASKS].tolist()):
        at_us = min(film.times[newest] + int(dice.integers(_LATEST_US)), film.script.duration_us - 1)
        asks.append((at_us, asked_at(film.script, at_us), _caption(film.script, at_us)))
    return Story(film.script, film.times, first, states_of(film.script, film.times), asks)


def asked_at(script: Script, at_us: int) -> list[WorldQuestion]:
    """What a lesson may ask then: never of a pair that is held back, of which the answer would always be no."""
    dice = np.random.default_rng([script.seed, 41, at_us])
    kept: dict[tuple[object, ...], list[WorldQuestion]] = {}
    for one in questions(script, at_us, _MOST):
        if not any(f"{colour} {shape}" in one.text for colour, shape in UNSEEN_PAIRS):
            kept.setdefault((one.kind, one.about, one.timed, one.denies), []).append(one)
    return [one for alike in kept.values() for one in (alike if alike[0].timed else _some(dice, alike))]


def _some(dice: np.random.Generator, alike: Sequence[WorldQuestion]) -> list[WorldQuestion]:
    """At random: they come by colour, and the first of them would deny the first colours alone."""
    return [alike[n] for n in dice.permutation(len(alike))[:_KEPT]]


def _caption(script: Script, at_us: int) -> str | None:
    """What is to be seen, where it has been the same for a second and nothing moves."""
    [caption] = [one for one in captions(script) if one.start_us <= at_us < one.end_us]
    calm = at_us - caption.start_us >= 1_000_000 and "moving" not in caption.text
    return caption.text if calm else None


class Shelf(IterableDataset[Batch]):
    """Endless batches of lessons, of levels up to `level`: the same for a seed, others in each worker of a loader."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        seed: int,
        level: int,
        only: bool = False,
        drilled: float = _DRILLED,
    ) -> None:
        """only: lessons of this level alone, instead of half of them. drilled: share of drills."""
        self._folder, self._model, self._seed = folder, model, seed
        self._level, self._only, self._drilled = level, only, drilled
        self._stories = load_stories(folder)
        stills = (still for one in self._stories for still in stills_of(one.script, one.times, one.first))
        self._drills = Drills(list(stills) if drilled else [])
        self._strangers = self._stories[0].first

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        dice = np.random.default_rng([self._seed, 50, *([worker.id] if worker and worker.id else [])])
        seen = np.load(self._folder / "seen.npy")
        writer = Writer(self._model)
        while True:
            easier = self._level > 0 and not self._only and dice.random() < _EASIER
            level = int(dice.integers(self._level)) if easier else self._level
            batches = list(_batches([self._lesson(dice, level, writer) for _ in range(_SORTED)]))
            for n in dice.permutation(len(batches)):
                yield collate(batches[n], seen)

    def _lesson(self, dice: np.random.Generator, level: int, writer: Writer) -> Lesson:
        """A sheet costs as much for one question as for many: those with few are left out."""
        while len((lesson := self._any_lesson(dice, level, writer)).skills) < _FEWEST:
            pass
        return lesson

    def _ask(self, dice: np.random.Generator, story: Story) -> tuple[int, list[WorldQuestion], str | None]:
        """A moment of the film: signs and calm, of which one may ask by its time, are rare and come up more often."""
        chance = dice.random()
        among: list[tuple[int, list[WorldQuestion], str | None]] = []
        if chance < _SIGNED:
            among = [ask for ask in story.asks if any(one.kind == "sign" and one.about == "now" for one in ask[1])]
        elif chance < _SIGNED + _CALM:
            among = [ask for ask in story.asks if sum(one.timed for one in ask[1]) >= _FEWEST_TIMED]
        among = among or story.asks
        return among[int(dice.integers(len(among)))]

    def _any_lesson(self, dice: np.random.Generator, level: int, writer: Writer) -> Lesson:
        if dice.random() < self._drilled:
            drilled = level if self._only else int(dice.integers(self._level + 1))
            return writer.write(dice, *self._drills.draw(dice, LEVELS[drilled]), timeless=False)
        story = self._stories[int(dice.integers(len(self._stories)))]
        at_us, found, caption = self._ask(dice, story)
        if dice.random() < _NOTHING:
            unseen = cannot_tell(dice, LEVELS[level], found, "blind")
            return writer.write(dice, Sheet((), (), at_us), unseen, timeless=False)
        sheet = draw_sheet(dice, LEVELS[level], story.states, story.times, at_us, found)
        if dice.random() < _STRANGE:
            strange = int(dice.integers(self._strangers))
            return writer.write(dice, _strange(sheet, strange), cannot_tell(dice, LEVELS[level], found), timeless=False)
        timeless = dice.random() < _TIMELESS
        asked = [one for one in found if not (timeless and (one.timed or one.kind == "when"))]
        items = choose(dice, LEVELS[level], asked, Witness(story.script, story.times), sheet)
        if caption is not None and dice.random() < _DESCRIBED:
            items.append(Item(DESCRIBE, caption, "describe"))
        lesson = writer.write(dice, sheet, items, timeless)
        return Lesson(
            lesson.ids, lesson.segments, lesson.answers, [story.first + n for n in lesson.frames], lesson.skills
        )


def _batches(lessons: Sequence[Lesson]) -> Iterator[list[Lesson]]:
    """Lessons of about one length share a batch: little of it is padding."""
    batch: list[Lesson] = []
    for lesson in sorted(lessons, key=lambda one: -len(one.ids)):
        if batch and len(batch[0].ids) * (len(batch) + 1) > _TOKENS:
            yield batch
            batch = []
        batch.append(lesson)
    yield batch


def _strange(sheet: Sheet, row: int) -> Sheet:
    """The same sheet with one picture that is not of the world in all its frames."""
    evidence = tuple(Shown(row, one.media_us) for one in sheet.evidence)
    return Sheet(evidence, tuple(Shown(row, one.media_us) for one in sheet.window), sheet.now_us)


def collate(lessons: Sequence[Lesson], seen: NDArray[np.float16]) -> Batch:
    """Lessons as one batch; padding is a segment of its own (-1)."""
    length = max(len(lesson.ids) for lesson in lessons)
    shape = (len(lessons), length)
    ids, segments = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    positions, answers = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for n, lesson in enumerate(lessons):
        size = len(lesson.ids)
        ids[n, :size], segments[n, :size] = torch.tensor(lesson.ids), torch.tensor(lesson.segments)
        answers[n, :size] = torch.tensor(lesson.answers)
        positions[n, :size] = torch.from_numpy(_positions(np.array(lesson.segments)))
    rows = [row for lesson in lessons for row in lesson.frames]
    picked = torch.from_numpy(seen[rows])
    return Batch(ids, segments, positions, answers, picked, [lesson.skills for lesson in lessons])


def _positions(segments: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each question stands right behind the sheet."""
    starts = np.flatnonzero(np.diff(segments, prepend=-1))
    base = int((segments == 0).sum())
    own = np.arange(len(segments)) - np.repeat(starts, np.diff([*starts, len(segments)]))
    return np.where(segments == 0, own, own + base)
