"""A memory made of films of the world, and questions about it whose moments are known: what ranking is fitted on.

Frames are drawn, not encoded as video, a second apart; what is said and the captions are put in as text. All of it
follows from the seeds.
"""

import io
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from memory.caption_messages import Captioned
from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    EventPage,
    ListEvents,
    MemoryInput,
    MemoryOptions,
    MemoryOutput,
    OpenMemory,
    Recall,
)
from memory.recall import Ranked
from memory.stage import MemoryStage
from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from perception.encoders import ImageEncoder
from perception.messages import Barrier, Percept, Speech
from training.world import SECOND, Script, World, captions, frame

STREAM: Final = "default/films"
EVIDENCE: Final = 4
_SIZE: Final = (320, 240)
_FILM_S: Final = 30.0
_PAUSE_US: Final = 500_000
_NEAR_US: Final = 4 * SECOND
_ABOUT_US: Final = 30 * SECOND
_START_US: Final = 1_767_225_600_000_000
_NAMES: Final = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "June", "Kai", "Lena")
_GOODS: Final = ("parcel", "ladder", "invoice", "bicycle", "piano", "kettle", "umbrella", "suitcase", "lamp", "violin")
_CHATTER: Final = ("Good morning, how are you?", "Did you see that?", "It is getting late.", "What shall we do now?")

Span = tuple[int, int]


@dataclass(frozen=True)
class Posed:
    """A question; each of `truths` is a moment that proves its answer. ranked: what is to be ranked for it."""

    kind: str
    text: str
    truths: tuple[Span, ...]
    ranked: Ranked


@dataclass
class Told:
    """What happened in the films, on the memory's clock: visits by name of the thing, sentences with their words."""

    end_us: int = 0
    visits: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    said: list[tuple[Span, str, str]] = field(default_factory=list)
    captions: list[tuple[Span, str]] = field(default_factory=list)


def recollect(seeds: range, encoder: ModelConfig, most: int) -> list[Posed]:
    """Questions about these films, up to `most` of a kind. Raises StartRefused."""
    images, told = load_image_encoder(encoder), Told()
    with tempfile.TemporaryDirectory() as folder:
        config = MemoryConfig(str(Path(folder) / "streams"), str(Path(folder) / "cache"), encoder)
        stage = MemoryStage(config, load_text_encoder(encoder), images, lambda: 0)
        _drive(stage, OpenMemory(STREAM, _START_US, "{}", MemoryOptions(), "UTC"))
        for seed in seeds:
            _drive(stage, *_shown(World(seed).script(_FILM_S), told, images, np.random.default_rng([seed, 60])))
        _drive(stage, Barrier(STREAM, 1))
        _describe(stage, told)
        posed = [_posed(stage, told, *one) for one in _questions(told, np.random.default_rng([seeds.start, 61]), most)]
        stage.close()
    return [one for one in posed if one is not None]


def _shown(script: Script, told: Told, images: ImageEncoder, dice: np.random.Generator) -> Iterator[MemoryInput]:
    """A film's records behind those before it."""
    start = told.end_us
    cuts = {scene.start_us for scene in script.scenes}
    moments = sorted({*range(0, script.duration_us, SECOND), *cuts})
    pictures = [frame(script, at, *_SIZE) for at in moments]
    for at, picture, vector in zip(moments, pictures, images.embed_images(pictures), strict=True):
        cut = at in cuts
        yield Percept(STREAM, start + at, 0, _jpeg(picture), vector.tobytes(), cut, start + at if cut else 0)
    for visit in script.visits:
        told.visits[visit.thing.name].append((start + visit.start_us, start + visit.end_us))
    told.captions += [((start + one.start_us, start + one.end_us), one.text) for one in captions(script)]
    for n in range(2):
        at = start + round((4 + 13 * n + 6 * dice.random()) * SECOND)
        name, goods = (str(dice.choice(words)) for words in (_NAMES, _GOODS))
        text = f"The {goods} is for {name}." if dice.random() < 0.7 else str(dice.choice(_CHATTER))
        told.said.append(((at, at + 2 * SECOND), text, f"the {goods} for {name}"))
        yield Speech(STREAM, at, at + 2 * SECOND, text)
    told.end_us = start + script.duration_us + _PAUSE_US


def _jpeg(picture: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG")
    return written.getvalue()


def _describe(stage: MemoryStage, told: Told) -> None:
    """Captions as a model that errs in nothing would give them: of each keyframe what was there."""
    outputs = _drive(stage, ListEvents(STREAM, 1, None, 0, FOREVER_US, 100_000, None))
    [page] = [one for one in outputs if isinstance(one, EventPage)]
    for event in page.events:
        texts = (_caption_at(told, shown.media_us) for shown in event.frames)
        _drive(stage, Captioned(STREAM, event.id, " ".join(dict.fromkeys(text for text in texts if text))))


def _caption_at(told: Told, at_us: int) -> str:
    return next((text for (start, end), text in told.captions if start <= at_us < end), "")


# ---------------------------------------------------------------- questions


def _questions(told: Told, dice: np.random.Generator, most: int) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    """(kind, text, truths)."""
    names = [str(name) for name in dice.permutation(sorted(told.visits))]
    often = [name for name in names if len(told.visits[name]) > 1]
    for name in often[:most]:
        yield "last", f"Where was the {name} seen last?", (told.visits[name][-1],)
        yield "first", f"Where was the {name} seen first?", (told.visits[name][0],)
    for name in names[:most]:
        yield "thing", f"Where was the {name}?", tuple(told.visits[name])
    for name in [name for name in often if len(told.visits[name]) > 2][:most]:
        yield "all", f"Where was the {name} every time?", tuple(told.visits[name])
    for _ in range(most):
        seconds = int(dice.integers(20, told.end_us // SECOND - 20))
        at = told.end_us - seconds * SECOND
        yield "ago", f"What was there {seconds} seconds ago?", ((at - _NEAR_US, at + _NEAR_US),)
    for name in names[:most]:
        start, end = told.visits[name][int(dice.integers(len(told.visits[name])))]
        ago = (told.end_us - (start + end) // 2) // SECOND
        if ago > 60:
            at = told.end_us - ago * SECOND
            truths = [span for span in told.visits[name] if span[0] < at + _ABOUT_US and span[1] > at - _ABOUT_US]
            yield "thing ago", f"Where was the {name} about {ago} seconds ago?", tuple(truths)
    for span, text, what in told.said:
        if text not in _CHATTER:
            same = [other for other, said, _ in told.said if said == text]
            if same[0] == span:
                truths = [(start - 2 * _NEAR_US, end + 2 * _NEAR_US) for start, end in same]
                yield "said", f"What was said about {what}?", tuple(truths)


def _posed(stage: MemoryStage, told: Told, kind: str, text: str, truths: tuple[Span, ...]) -> Posed | None:
    """With what memory would rank; None where it ranks nothing, since the event list answers."""
    seen: list[Ranked] = []
    stage._recaller.on_ranked = seen.append
    _drive(stage, Recall(1, [STREAM], text, None, None, [told.end_us], EVIDENCE))
    return Posed(kind, text, truths, seen[0]) if seen else None


def _drive(stage: MemoryStage, *messages: MemoryInput) -> list[MemoryOutput]:
    for message in messages:
        stage.submit(message)
    outputs: list[MemoryOutput] = []
    while stage.has_work():
        outputs += stage.step()
    return outputs
