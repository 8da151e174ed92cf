"""How fast the shipped model is: a frame, the first token, the tokens after it."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from evaluation.checks import Check
from evaluation.micro.model_ask import Asker
from evaluation.micro.model_view import Viewer, embedded
from evaluation.registry import Progress
from evaluation.stats import median
from perception.vision import decode_picture
from training.world import World

_ROUNDS: Final = 30
_SEED: Final = 600_000
_QUESTION: Final = "Describe what you see."


def run(full: bool, progress: Progress) -> list[Check]:
    """Medians of 30 rounds; 300 in the full profile."""
    rounds = _ROUNDS * (10 if full else 1)
    perception, model = embedded()
    progress("a film is watched")
    view = Viewer(perception).show(World(_SEED).script())
    asker = Asker(model)
    vision, picture = asker.engine.vision, decode_picture(view.window[-1].jpeg)
    frames_ms = [_timed_ms(lambda: vision.encode([picture])) for _ in range(rounds)]
    progress("questions are asked")
    answers = [asker.ask(view, _QUESTION, ()) for _ in range(rounds)]
    rates = [
        (one.output_tokens - 1) / ((one.timing.total_us - one.timing.ttft_us) / 1e6)
        for one in answers
        if one.output_tokens > 1
    ]
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    high = float(np.quantile(frames_ms, 0.95))
    said = f"{len(view.window)} frames, {answers[0].input_tokens} tokens"
    return [
        Check("model.frame_ms", median(frames_ms), "ms", "<= 10", note=f"{size}, p95 {high:.1f}"),
        Check("model.ttft_ms", median([one.timing.ttft_us / 1000 for one in answers]), "ms", "<= 200", note=said),
        Check("model.tokens_s", median(rates) if rates else None, "tokens/s", ">= 50", note=f"{len(rates)} answers"),
    ]


def _timed_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
