"""V-NIAH and V-NIAH-D: is one frame of up to a day found again, and answered from? On films of the procedural world.

Needles go the whole way with the frames around them: drawn, H.264, decoded, sampled, encoded, committed, recalled,
answered. Hay goes it once and is kept. Notes of the same kind stand near as distractors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.checks import Check
from evaluation.micro.model_ask import Asker
from evaluation.micro.model_view import STREAM, View, embedded
from evaluation.micro.needle_store import Encoders, HaystackMemory
from evaluation.micro.needle_watch import Hay, Record, Watcher, cache_folder, composed, index_of, vectors_of
from evaluation.needle import baselines
from evaluation.needle.figures import BEST, Found, Outcome, figures, table
from evaluation.needle.films import hay_script
from evaluation.needle.heat_map import draw
from evaluation.needle.plan import LENGTHS, Haystack, Needle, absent_question, haystacks
from evaluation.registry import Progress
from memory.messages import Context, Recall
from perception.messages import Percept
from perception.window import WindowFrame
from training.world import SECOND, WorldQuestion

SEED: Final = 20_261_127
_QUICK: Final = (64, 512, 2048)
_NEEDLES: Final = (4, 25)
"""Of each length and depth, in the quick and the full profile."""
_WINDOW: Final = 8
_THRESHOLDS: Final = tuple(n / 50 for n in range(5, 50))


def run(full: bool, progress: Progress) -> list[Check]:
    """132 needles in three lengths, or 3300 in twelve."""
    # Encoders this small are slower on many threads than on one.
    torch.set_num_threads(1)
    bench = Bench()
    found = bench.examine(LENGTHS if full else _QUICK, _NEEDLES[full], progress)
    return figures(found, keep(found, cache_folder()), full=full)


def keep(found: Found, folder: Path) -> str:
    """Write the table and draw the heat map; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needle.md").write_text(table(found.needles), encoding="utf-8")
    picture = folder / "needle.png"
    return f"heat map: {picture}" if draw(found.needles, picture) else "no heat map: `pip install matplotlib`"


@dataclass(frozen=True)
class Recalled:
    """What memory answered, and what was answered from that."""

    context: Context
    right: bool

    def rank(self, needle: Needle) -> int | None:
        """Where the needle is among what was recalled, best first."""
        best = sorted(self.context.evidence, key=lambda one: -one.score)
        return next((n for n, one in enumerate(best) if needle.note.shows(one.media_us)), None)


class Bench:
    """The stages, loaded once for all haystacks."""

    def __init__(self) -> None:
        """Raises StartRefused."""
        self._config, model = embedded()
        self._watcher = Watcher(self._config)
        self._hay = Hay(self._watcher, self._config)
        self._encoders = Encoders(self._config)
        self._asker = Asker(model)

    def examine(self, lengths: Sequence[int], needles: int, progress: Progress) -> Found:
        """So many needles at each depth of each length."""
        found = Found()
        hits: list[tuple[Outcome, NDArray[np.bool_]]] = []
        for length in lengths:
            for haystack in haystacks(SEED, length, needles):
                hits += self.search(haystack, found)
                progress(f"{len(hits)} needles, in {length} frames the last")
        best = int(np.stack([over for _, over in hits]).sum(axis=0).argmax()) if hits else 0
        for outcome, over in hits:
            outcome.shown["first_clip_best"] = bool(over[best])
            found.needles.append(outcome)
        return found

    def search(self, haystack: Haystack, found: Found) -> Iterator[tuple[Outcome, NDArray[np.bool_]]]:
        """Each needle's outcome, and for each threshold whether the first clip over it holds the needle."""
        records = composed(self._hay, self._watcher, haystack)
        vectors = vectors_of(records, haystack.length, self._encoders.text.dim)
        clips = baselines.clips(vectors)
        with HaystackMemory(self._config, self._encoders, records) as memory:
            view = _view(records, haystack.length - 1)
            for needle in haystack.needles:
                question = needle.note.question()
                outcome = self._outcome(memory, view, haystack, needle, question, records)
                text = self._encoders.text.embed_texts([question.text])[0]
                likeness = baselines.clip_likeness(vectors, clips, text)
                over = np.array([_holds(clips, likeness, at, needle) for at in (baselines.THRESHOLD, *_THRESHOLDS)])
                outcome.shown["first_clip"] = bool(over[0])
                yield outcome, over
                found.codes += self._codes(memory, view, haystack, needle, records)
            for look in haystack.absent:
                asked = absent_question(look)
                found.false_recalls.append(not self._ask(memory, view, asked).right)

    def _codes(
        self, memory: HaystackMemory, view: View, haystack: Haystack, needle: Needle, records: Sequence[Record]
    ) -> Iterator[Outcome]:
        code = needle.note.code_question()
        if code is not None:
            yield self._outcome(memory, view, haystack, needle, code, records)

    def _outcome(
        self,
        memory: HaystackMemory,
        view: View,
        haystack: Haystack,
        needle: Needle,
        question: WorldQuestion,
        records: Sequence[Record],
    ) -> Outcome:
        recalled = self._ask(memory, view, question)
        in_view = question if question.kind == "sign" else needle.note.question_in_view()
        text = "What does the sign say now?" if question.kind == "sign" else in_view.text
        seen = self._asker.ask(_view(records, needle.note.index + needle.note.frames - 1), text, [])
        frames = range(needle.note.index, needle.note.index + needle.note.frames)
        shown = {
            "last4": not set(frames).isdisjoint(baselines.last_frames(haystack.length)),
            "uniform64": not set(frames).isdisjoint(baselines.uniform_frames(haystack.length)),
        }
        told = (haystack.length, needle.depth, needle.distractors, needle.note.frames, recalled.rank(needle))
        return Outcome(*told, recalled.right, in_view.accepts(seen.text), shown)

    def _ask(self, memory: HaystackMemory, view: View, question: WorldQuestion) -> Recalled:
        contexts: list[Context] = []

        def recall(message: Recall) -> Context:
            contexts.append(memory.recall(message, BEST))
            return contexts[-1]

        said = self._asker.ask_memory(view, question.text, recall)
        return Recalled(contexts[-1], question.accepts(said.text))


def _view(records: Sequence[Record], index: int) -> View:
    """What is in view when frame `index` is the newest."""
    seen = [one for one in records if isinstance(one, Percept) and index_of(one) <= index][-_WINDOW:]
    window = [WindowFrame(STREAM, one.media_us, 0, one.jpeg, None) for one in seen]
    return View(hay_script(0), index * SECOND, window, [])


def _holds(clips: Sequence[range], likeness: NDArray[np.float32], threshold: float, needle: Needle) -> bool:
    first = baselines.first_over(likeness, threshold)
    note = needle.note
    return first is not None and any(note.index <= index < note.index + note.frames for index in clips[first])
