"""Are the engine's greedy tokens those of bare `generate`? On random checkpoints of several families, in fp32.

The engine has the window's visual tokens from perception's half of the model, frame by frame, and those of evidence
from its cache; it reads the prompt in chunks and decodes step by step. The baseline has the same ids, and pixels.
"""

import io
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from evaluation.baselines.bare_generate import BareModel, Generated, Picture
from evaluation.checks import Check
from evaluation.registry import Progress
from memory.messages import Evidence, SpeechLine
from perception.config import ModelConfig
from perception.vision import CheckpointVision, decode_picture, load_vision_half
from perception.window import WindowFrame
from reasoning.engine import Failed, Finished, Request
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AskedStream, Turn
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import make_idefics3, make_qwen3_vl

MARGIN: Final = 1e-3
_CACHE_BYTES: Final = 64 * 2**20
_STREAM: Final = AskedStream("default/cam", 0, 1_700_000_000_000_000, 600_000_000, "", "UTC")
_TALK: Final = "who left the red car near the door two minutes ago and what did she say"

MAKERS: Final[dict[str, Callable[[Path, int], Path]]] = {
    "Idefics3": lambda folder, seed: make_idefics3(folder, "small", seed),
    "SmolVLM": lambda folder, seed: make_idefics3(folder, "tiny-smolvlm", seed),
    "Qwen3-VL": make_qwen3_vl,
}


@dataclass(frozen=True)
class Compared:
    """Two answers to one prompt. equal: up to where the baseline itself is of two minds."""

    equal: bool
    steps: int
    undecided: bool


def compare(ours: list[int], bare: Generated) -> Compared:
    """Where they part, the baseline's two best scores must have been nearer than `MARGIN`; what follows is moot."""
    for step, margin in enumerate(bare.margins):
        if step >= len(ours) or ours[step] != bare.tokens[step]:
            return Compared(margin <= MARGIN, step, undecided=margin <= MARGIN)
    return Compared(len(ours) == len(bare.tokens), len(ours), undecided=False)


def run(full: bool, progress: Progress) -> list[Check]:
    """20 prompts of each family in the quick profile, 200 in the full one, on several checkpoints."""
    prompts, seeds = (50, 4) if full else (10, 2)
    failures = steps = undecided = 0
    for name, make in MAKERS.items():
        for seed in range(seeds):
            progress(f"{name}, checkpoint {seed + 1} of {seeds}")
            with tempfile.TemporaryDirectory() as folder:
                results = compare_checkpoint(make(Path(folder), seed), prompts, seed)
            failures += sum(not one.equal for one in results)
            steps += sum(one.steps for one in results)
            undecided += sum(one.undecided for one in results)
    note = (
        f"{steps} tokens of {prompts * seeds * len(MAKERS)} prompts; {undecided} ended where the baseline was undecided"
    )
    return [Check("equal.engine", failures, "failures", "<= 0", note=note)]


def compare_checkpoint(folder: Path, prompts: int, seed: int) -> list[Compared]:
    """Random prompts to one checkpoint, answered by both."""
    dice = random.Random(seed)
    config = ModelConfig(str(folder), device="cpu", dtype="float32")
    engine, half, bare = load_engine(config, _CACHE_BYTES), load_vision_half(config), BareModel(folder, torch.float32)
    return [
        compare_prompt(engine, bare, random_prompt(dice, half), dice.choice((16, 100, 4096))) for _ in range(prompts)
    ]


def compare_prompt(engine: LocalEngine, bare: BareModel, prompt: Prompt, chunk: int, max_tokens: int = 24) -> Compared:
    """One prompt, answered by both."""
    engine.chunk = chunk
    engine.begin(Request("q", prompt, max_tokens))
    tokens: list[int] = []
    while engine.has_work():
        for output in engine.step():
            if isinstance(output, Failed):
                return Compared(equal=False, steps=0, undecided=False)
            if isinstance(output, Finished):
                tokens = list(output.tokens)
    shown = prompt.pictures()
    frames = [engine.cache.tokens(one) if isinstance(one, Evidence) else one.tokens for one in shown]
    ids = engine.prompt_ids(prompt, [frame for frame in frames if frame is not None])
    return compare(tokens, bare.generate(ids, [decode_picture(one.jpeg) for one in shown], max_tokens))


def random_prompt(dice: random.Random, half: CheckpointVision, least: int = 1) -> Prompt:
    """Up to eight frames of the window, up to four of evidence, speech and earlier turns; so many frames at least."""
    pictures = [random_jpeg(dice) for _ in range(dice.randint(least, 8))]
    window = [
        WindowFrame(_STREAM.stream, 596_000_000 + 500_000 * n, n, jpeg, half.encode([decode_picture(jpeg)])[0])
        for n, jpeg in enumerate(pictures)
    ]
    evidence = [
        Evidence(_STREAM.stream, f"e_{dice.random()}", n, 10_000_000 * n, 0, 50_000_000, 0.5, random_jpeg(dice))
        for n in range(dice.randint(0, 4))
    ]
    speech = [SpeechLine(_STREAM.stream, 20_000_000, 21_000_000, sentence(dice))] if dice.random() < 0.5 else []
    history = [Turn(sentence(dice), sentence(dice))] if dice.random() < 0.3 else []
    prompt = Prompt("You watch a live video.", [_STREAM], history, evidence, speech, window, sentence(dice) + "?")
    return replace(prompt, window=[]) if len(evidence) >= least and dice.random() < 0.2 else prompt


def random_jpeg(dice: random.Random) -> bytes:
    """A picture of random blocks."""
    noise = np.random.default_rng(dice.getrandbits(32))
    blocks: Picture = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    written = io.BytesIO()
    size = (dice.randint(4, 12) * 12, dice.randint(4, 12) * 8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(written, "JPEG", quality=92)
    return written.getvalue()


def sentence(dice: random.Random) -> str:
    """Some words in any order."""
    return " ".join(dice.choices(_TALK.split(), k=dice.randint(3, 12)))
