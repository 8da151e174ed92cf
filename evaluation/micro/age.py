"""Does a long memory make answers slow? Time to the first token of a question about the past, with a memory of a day
over one of a minute: as many evidence frames in the prompt, recalled by memory's own stage from its own store.

Events of six seconds with three keyframes each and vectors of 768 numbers, written through the stage as perception's
records would be; a random checkpoint of the shape of SmolVLM-256M. Nothing is cached of the evidence.
"""

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.checks import Check
from evaluation.micro.equal import random_jpeg
from evaluation.micro.model_view import clock_us
from evaluation.registry import Progress
from evaluation.stats import median
from memory.config import MemoryConfig
from memory.messages import Context, MemoryOptions, OpenMemory, Recall
from memory.stage import MemoryStage
from perception.config import ModelConfig
from perception.encoders import Image, Vectors
from perception.messages import Percept
from perception.vision import decode_picture
from perception.window import LocalWindow, WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, Ask, AskedStream
from reasoning.random_checkpoints import make_idefics3
from reasoning.stage import ReasoningStage

DAY_EVENTS: Final = 14_400
_MINUTE_EVENTS: Final = 10
_EVENT_US: Final = 6_000_000
_FRAMES: Final = 3
_DIM: Final = 768
_PICTURES: Final = 64
_START_US: Final = 1_700_000_000_000_000
_QUESTION: Final = "What did the person who was at the door carry?"
_EVIDENCE: Final = 4


class _AnyText:
    """Texts and pictures lie wherever; what is measured is the search, not what it finds."""

    dim = _DIM

    def __init__(self) -> None:
        self._dice = np.random.default_rng(1)

    def embed_texts(self, texts: list[str]) -> Vectors:
        """A direction a text."""
        return _units(self._dice, len(texts))

    def embed_images(self, images: list[Image]) -> Vectors:
        """A direction a picture."""
        return _units(self._dice, len(images))


def _units(dice: np.random.Generator, count: int) -> NDArray[np.float32]:
    drawn = dice.standard_normal((count, _DIM), np.float32)
    found: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


@dataclass
class _Life:
    """A stream's memory and a reasoning stage that asks it, stepped in turn."""

    memory: MemoryStage
    reasoning: ReasoningStage
    stream: AskedStream

    def first_token_s(self, evidence: int) -> float:
        """Seconds from a question to its first token. Raises RuntimeError where it is shown fewer evidence frames."""
        now_us = clock_us()
        ask = Ask(f"q_{now_us}", [self.stream], _QUESTION, None, None, 1, now_us + 600_000_000, now_us, 0.0, 0, [])
        began, taken, seen = time.perf_counter(), 0.0, 0
        self.reasoning.submit(ask)
        while True:
            for output in self.reasoning.step():
                if isinstance(output, Recall):
                    self.memory.submit(output)
                elif isinstance(output, AnswerDelta) and not taken:
                    taken = time.perf_counter() - began
                elif isinstance(output, AnswerFailed):
                    raise RuntimeError(f"the question failed: {output.fault.code}")
                elif isinstance(output, AnswerDone):
                    if seen != evidence:
                        raise RuntimeError(f"{seen} evidence frames were recalled, not {evidence}")
                    return taken or time.perf_counter() - began
            while self.memory.has_work():
                for found in self.memory.step():
                    if isinstance(found, Context):
                        seen = len(found.evidence)
                        self.reasoning.submit(found)


def run(full: bool, progress: Progress) -> list[Check]:
    """Five rounds in the quick profile, 25 in the full one."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        progress("a checkpoint of the shape of SmolVLM-256M is made")
        config = ModelConfig(str(make_idefics3(folder / "model", "smolvlm-256m")), device="cpu")
        engine = load_engine(config, 512 * 2**20)
        young = _live(folder / "young", _MINUTE_EVENTS, engine, lambda _: None)
        old = _live(folder / "old", DAY_EVENTS, engine, progress)
        minute: list[float] = []
        day: list[float] = []
        for n in range(25 if full else 5):
            progress(f"round {n + 1}")
            for life, times in ((young, minute), (old, day)):
                engine.cache.clear()
                times.append(life.first_token_s(_EVIDENCE))
        for life in (young, old):
            life.memory.close()
    short, long = median(minute), median(day)
    note = (
        f"{long * 1e3:.0f} ms with {DAY_EVENTS} events of a day, {short * 1e3:.0f} ms with {_MINUTE_EVENTS} of a minute"
    )
    return [Check("engine.age_ratio", long / short, "ratio", "<= 1.2", note=note)]


def _live(folder: Path, events: int, engine: LocalEngine, progress: Callable[[str], None]) -> _Life:
    key = "default/cam"
    text = _AnyText()
    memory = MemoryStage(
        MemoryConfig(str(folder / "streams"), str(folder / "cache"), ModelConfig(""), evidence=_EVIDENCE),
        text, text, clock_us,
    )  # fmt: skip
    memory.submit(OpenMemory(key, _START_US, "{}", MemoryOptions(), "UTC"))
    dice, blocks = np.random.default_rng(2), random.Random(2)
    jpegs = [random_jpeg(blocks) for _ in range(_PICTURES)]
    for event in range(events):
        for frame, vector in enumerate(_units(dice, _FRAMES)):
            at_us = event * _EVENT_US + frame * _EVENT_US // _FRAMES
            jpeg = jpegs[int(dice.integers(_PICTURES))]
            memory.submit(Percept(key, at_us, at_us, jpeg, vector.tobytes(), frame == 0, at_us if frame == 0 else 0))
        while memory.has_work():
            memory.step()
        if event % 1000 == 999:
            progress(f"{event + 1} of {events} events are remembered")
    end_us = events * _EVENT_US
    window = LocalWindow(8)
    for n in range(8):
        jpeg = jpegs[n]
        tokens = engine.vision.encode([decode_picture(jpeg)])[0]
        window.push(0, WindowFrame(key, end_us - (8 - n) * 500_000, 0, jpeg, tokens))
    reasoning = ReasoningStage(ReasoningConfig(ModelConfig("")), engine, window, clock_us)
    return _Life(memory, reasoning, AskedStream(key, 0, _START_US, end_us, "", "UTC"))
