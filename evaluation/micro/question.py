"""Time to the first token of a question about now, whose frames are encoded already, over what one gets without us.

A random checkpoint of the shape of SmolVLM-256M, 8 frames of the window and 4 of evidence, the evidence in reasoning's
cache. Ours is measured from `Ask` to the first delta of the stage; memory's answer to the recall is at hand.
"""

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluation.baselines.bare_generate import BareModel
from evaluation.checks import Check
from evaluation.micro.equal import random_jpeg
from evaluation.registry import Progress
from evaluation.stats import median
from memory.messages import Context, Coverage, Evidence, Recall, StreamCoverage
from perception.checkpoint import place
from perception.config import ModelConfig
from perception.vision import decode_picture
from perception.window import LocalWindow, WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, Ask, AskedStream
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import make_idefics3
from reasoning.stage import ReasoningStage

ALLOWANCE_S: Final = 0.005
_ROUNDS: Final = 5
_STREAM: Final = AskedStream("default/cam", 0, 1_700_000_000_000_000, 600_000_000, "", "UTC")
_SETTINGS: Final = ReasoningConfig(ModelConfig(""))
"""The stage loads nothing: its engine is handed in."""
_QUESTION: Final = "What is the person at the door doing, and what did they carry before?"


@dataclass(frozen=True)
class Scene:
    """What is asked about: the window and recalled keyframes, both as JPEG, the window encoded too."""

    window: list[WindowFrame]
    evidence: list[Evidence]


def run(full: bool, progress: Progress) -> list[Check]:
    """Five rounds of ours, bare `generate` with visual tokens ready, and bare `generate` with pixels, in turn."""
    with tempfile.TemporaryDirectory() as made:
        progress("a checkpoint of the shape of SmolVLM-256M is made")
        folder = make_idefics3(Path(made), "smolvlm-256m")
        config = ModelConfig(str(folder), device="cpu")
        engine, bare = load_engine(config, 512 * 2**20), BareModel(folder, place(config).dtype)
        scene = _scene(engine)
        return _measure(engine, bare, scene, 3 * _ROUNDS if full else _ROUNDS, progress)


def _measure(engine: LocalEngine, bare: BareModel, scene: Scene, rounds: int, progress: Progress) -> list[Check]:
    shown = Prompt(_SETTINGS.system_prompt, [_STREAM], [], scene.evidence, [], scene.window, _QUESTION)
    pictures = [decode_picture(one.jpeg) for one in shown.pictures()]
    visual = bare.encode(pictures)
    stage = _stage(engine, scene)
    ids = engine.prompt_ids(shown, [engine.vision.encode([one])[0] for one in pictures])
    ask_s(stage, len(ids))
    bare.first_token_s(ids, visual)
    ours, ready, pixels = [], [], []
    for n in range(rounds):
        progress(f"round {n + 1} of {rounds}, {len(ids)} tokens")
        ours.append(ask_s(stage, len(ids)))
        ready.append(bare.first_token_s(ids, visual))
        pixels.append(bare.first_token_s(ids, None, pictures))
    fast, bare_s, pixels_s = median(ours), median(ready), median(pixels)
    note = (
        f"ours {fast * 1e3:.0f} ms, bare {bare_s * 1e3:.0f} ms, with pixels {pixels_s * 1e3:.0f} ms, {len(ids)} tokens"
    )
    return [
        Check("question.now_ratio", (fast - ALLOWANCE_S) / bare_s, "ratio", "<= 1.1", note=note),
        Check("question.pixels_ratio", pixels_s / fast, "ratio", ">= 3", note=note),
    ]


def _scene(engine: LocalEngine) -> Scene:
    dice = random.Random(0)
    jpegs = [random_jpeg(dice) for _ in range(12)]
    window = [
        WindowFrame(_STREAM.stream, 596_000_000 + 500_000 * n, 0, jpeg, engine.vision.encode([decode_picture(jpeg)])[0])
        for n, jpeg in enumerate(jpegs[:8])
    ]
    evidence = [
        Evidence(_STREAM.stream, f"e_{n}", 0, 20_000_000 * n, 20_000_000 * n, 20_000_000 * (n + 1), 0.5, jpeg)
        for n, jpeg in enumerate(jpegs[8:])
    ]
    return Scene(window, evidence)


class _StageWithMemory:
    """The stage, with a memory that answers each recall with the same evidence, at once."""

    def __init__(self, stage: ReasoningStage, evidence: list[Evidence]) -> None:
        self._stage = stage
        self._evidence = evidence

    def first_delta(self, ask: Ask) -> None:
        """Step until the first text. Raises RuntimeError where the question ends without one."""
        self._stage.submit(ask)
        while True:
            for output in self._stage.step():
                if isinstance(output, Recall):
                    self._stage.submit(self._context(output))
                elif isinstance(output, AnswerDelta):
                    return
                elif isinstance(output, AnswerDone | AnswerFailed):
                    raise RuntimeError(f"the question ended before its first token: {output}")

    def finish(self) -> AnswerDone:
        """Step until the answer is complete. Raises RuntimeError where it fails."""
        while True:
            for output in self._stage.step():
                if isinstance(output, AnswerDone):
                    return output
                if isinstance(output, AnswerFailed):
                    raise RuntimeError(f"the question failed: {output.fault.code}")

    def _context(self, recall: Recall) -> Context:
        coverage = [StreamCoverage(_STREAM.stream, Coverage("full", 0, 600_000_000, [], 1_000_000))]
        return Context(recall.request, self._evidence, [], coverage, None, None, needs_past=True, explain="{}")


def _stage(engine: LocalEngine, scene: Scene) -> _StageWithMemory:
    window = LocalWindow(8)
    for frame in scene.window:
        window.push(_STREAM.lane, frame)
    return _StageWithMemory(ReasoningStage(_SETTINGS, engine, window, _now_us), scene.evidence)


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def ask_s(stage: _StageWithMemory, tokens: int) -> float:
    """Seconds from the question to its first delta. Raises RuntimeError unless its prompt has just so many tokens."""
    began = time.perf_counter()
    now_us = _now_us()
    stage.first_delta(Ask(f"q_{now_us}", [_STREAM], _QUESTION, None, None, 2, now_us + 600_000_000, now_us, 0.0, 0, []))
    taken = time.perf_counter() - began
    done = stage.finish()
    if done.input_tokens != tokens:
        raise RuntimeError(f"ours read {done.input_tokens} tokens, the baseline {tokens}: not the same prompt")
    return taken
