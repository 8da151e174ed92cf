"""One haystack searched: what memory recalls of each needle, what is answered from that, and what others would show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.micro.model_ask import Asker
from evaluation.micro.model_view import STREAM, View, embedded
from evaluation.micro.needle_store import Encoders, HaystackMemory
from evaluation.micro.needle_watch import Hay, Record, Watcher, composed, digest, index_of, vectors_of
from evaluation.needle import baselines
from evaluation.needle.figures import BEST, Outcome
from evaluation.needle.films import hay_script
from evaluation.needle.plan import Haystack, Needle, absent_question
from evaluation.needle.searched import Searched
from memory.messages import Context, Recall
from memory.spans import Span
from perception.messages import Percept
from perception.window import WindowFrame
from training.world import SECOND, WorldQuestion

_WINDOW: Final = 8
_THRESHOLDS: Final = tuple(n / 50 for n in range(5, 50))
_SOURCES: Final = (
    "evaluation/clips.py",
    "evaluation/micro/model_*.py",
    "evaluation/micro/needle*.py",
    "evaluation/needle/*.py",
    "memory/*.*",
    "perception/*.py",
    "reasoning/**/*.py",
    "training/world*.py",
)
"""What outcomes follow from, with the weights."""


def digest_of_all() -> str:
    """Names what the outcome of a search follows from: weights and code. Raises StartError where models are missing."""
    perception, model = embedded()
    return digest([Path(perception.encoder.folder), Path(model.folder)], _SOURCES)


@dataclass(frozen=True)
class Recalled:
    """What memory answered, and what was answered from that."""

    context: Context
    said: str

    def best(self) -> Span | None:
        """The event of what was recalled first."""
        best = max(self.context.evidence, key=lambda one: one.score, default=None)
        return None if best is None else (best.start_us, max(best.end_us, best.start_us + 1))

    def rank(self, needle: Needle) -> int | None:
        """Where the needle is among what was recalled, best first."""
        best = sorted(self.context.evidence, key=lambda one: -one.score)
        return next((n for n, one in enumerate(best) if needle.note.shows(one.media_us)), None)


class Searcher:
    """The stages, loaded once for all haystacks."""

    def __init__(self) -> None:
        """Raises StartRefused."""
        self._config, model = embedded()
        self._watcher = Watcher(self._config)
        self._hay = Hay(self._watcher, self._config)
        self._encoders = Encoders(self._config)
        self._asker = Asker(model)

    def film(self, segment: int) -> None:
        """See to it that this segment of hay is in the cache."""
        self._hay.make(segment)

    def search(self, haystack: Haystack) -> Searched:
        """Every needle of it, and what is not in it."""
        records = composed(self._hay, self._watcher, haystack)
        with HaystackMemory(self._config, self._encoders, records) as memory:
            search = _Search(self._asker, memory, haystack, records)
            searched = Searched()
            for needle in haystack.needles:
                place, code = search.outcomes(needle)
                searched.needles.append(place)
                searched.codes.append(code)
            searched.false_recalls = list(search.false_recalls())
        self._first_clips(haystack, records, searched)
        return searched

    def _first_clips(self, haystack: Haystack, records: Sequence[Record], searched: Searched) -> None:
        """What the original's rule would have shown, with its threshold and with others."""
        vectors = vectors_of(records, haystack.length, self._encoders.text.dim)
        clips = baselines.clips(vectors)
        for needle, outcome in zip(haystack.needles, searched.needles, strict=True):
            text = self._encoders.text.embed_texts([needle.note.question().text])[0]
            likeness = baselines.clip_likeness(vectors, clips, text)
            outcome.shown["first_clip"] = _holds(clips, likeness, baselines.THRESHOLD, needle)
            searched.over.append([_holds(clips, likeness, at, needle) for at in _THRESHOLDS])


class _Search:
    """Questions to one haystack in memory."""

    def __init__(
        self, asker: Asker, memory: HaystackMemory, haystack: Haystack, records: Sequence[Record]
    ) -> None:  # fmt: skip
        self._asker, self._memory, self._haystack, self._records = asker, memory, haystack, records
        self._view = _view(records, haystack.length - 1)

    def outcomes(self, needle: Needle) -> tuple[Outcome, Outcome]:
        """Of the question where its thing was, and of what the sign said in the event that was recalled first."""
        place, code = needle.note.question(), needle.note.code_question()
        first = self._ask(place.text)
        then = self._ask(code.text, first.best())
        return (
            self._outcome(needle, first, place, needle.note.question_in_view()),
            self._outcome(needle, then, code, needle.note.code_question_in_view()),
        )

    def false_recalls(self) -> Iterator[str]:
        """For each thing that was nowhere: what is said of it; "": rightly, that it was not there."""
        for look in self._haystack.absent:
            question = absent_question(look)
            said = self._ask(question.text).said
            yield "" if question.accepts(said) else f"{' '.join(look)}: {said}"

    def _outcome(
        self, needle: Needle, recalled: Recalled, question: WorldQuestion, in_view: WorldQuestion
    ) -> Outcome:  # fmt: skip
        note, length = needle.note, self._haystack.length
        seen = self._asker.ask(_view(self._records, note.index + note.frames - 1), in_view.text, [])
        frames = range(note.index, note.index + note.frames)
        shown = {
            "last4": not set(frames).isdisjoint(baselines.last_frames(length)),
            "uniform64": not set(frames).isdisjoint(baselines.uniform_frames(length)),
        }
        told = (length, needle.depth, needle.distractors, note.frames, recalled.rank(needle))
        return Outcome(*told, question.accepts(recalled.said), in_view.accepts(seen.text), shown)

    def _ask(self, question: str, span: Span | None = None) -> Recalled:
        contexts: list[Context] = []

        def recall(message: Recall) -> Context:
            contexts.append(self._memory.recall(message, BEST))
            return contexts[-1]

        answer = self._asker.ask_memory(self._view, question, recall, span=span)
        return Recalled(contexts[-1], answer.text)


def _view(records: Sequence[Record], index: int) -> View:
    """What is in view when frame `index` is the newest."""
    seen = [one for one in records if isinstance(one, Percept) and index_of(one) <= index][-_WINDOW:]
    window = [WindowFrame(STREAM, one.media_us, 0, one.jpeg, None) for one in seen]
    return View(hay_script(0), index * SECOND, window, [])


def _holds(clips: Sequence[range], likeness: NDArray[np.float32], threshold: float, needle: Needle) -> bool:
    first = baselines.first_over(likeness, threshold)
    note = needle.note
    return first is not None and any(note.index <= index < note.index + note.frames for index in clips[first])
