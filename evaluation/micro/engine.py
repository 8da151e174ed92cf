"""Many askers of one model: decoding together, joining a running answer, and a question about the past.

A random checkpoint of the shape of SmolVLM-256M; prompts of 8 frames of the window, and of 4 of evidence where the past
is asked about. Each figure is a ratio of two measurements in turn, on one engine.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evaluation.baselines.bare_generate import BareModel
from evaluation.checks import Check
from evaluation.micro.equal import random_jpeg
from evaluation.registry import Progress
from evaluation.stats import median
from memory.messages import Evidence
from perception.checkpoint import place
from perception.config import ModelConfig
from perception.vision import decode_picture
from perception.window import WindowFrame
from reasoning.engine import Failed, Request, Started
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import make_idefics3

ASKERS: Final = 8
_TOKENS: Final = 256
_LONG: Final = 512
_AHEAD: Final = 32
"""Tokens of the long answer that are there when the short question comes."""
_ALLOWANCE_S: Final = 0.02
_STREAM: Final = AskedStream("default/cam", 0, 1_700_000_000_000_000, 600_000_000, "", "UTC")


class Asker:
    """Asks an engine, and steps it."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._asked = 0

    def begin(self, prompt: Prompt, tokens: int) -> str:
        """A request; its name."""
        self._asked += 1
        name = f"q_{self._asked}"
        self._engine.begin(Request(name, prompt, tokens))
        return name

    def until_started(self, names: Sequence[str]) -> float:
        """Step until each of these has its first token; the seconds. Raises RuntimeError where one ends without."""
        began, left = time.perf_counter(), set(names)
        while left:
            for output in self._engine.step():
                if isinstance(output, Failed):
                    raise RuntimeError(f"a request failed: {output.fault.code}")
                if isinstance(output, Started):
                    left.discard(output.id)
        return time.perf_counter() - began

    def steps(self, count: int) -> float:
        """So many steps; the seconds that each took in the middle."""
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            self._engine.step()
            taken.append(time.perf_counter() - began)
        return median(taken)

    def cancel(self, *names: str) -> None:
        """Let go of them."""
        for name in names:
            self._engine.cancel(name)


def run(full: bool, progress: Progress) -> list[Check]:
    """Three rounds of each in the quick profile, nine in the full one; one of the batch in the quick one."""
    with tempfile.TemporaryDirectory() as made:
        progress("a checkpoint of the shape of SmolVLM-256M is made")
        folder = make_idefics3(Path(made), "smolvlm-256m")
        config = ModelConfig(str(folder), device="cpu")
        engine, bare = load_engine(config, 512 * 2**20, slots=ASKERS), BareModel(folder, place(config).dtype)
        # A random model may end when it likes: the lengths are ours.
        engine.ends = frozenset()
        rounds = 9 if full else 3
        return [
            _batch(engine, 3 if full else 1, progress),
            _join(engine, rounds, progress),
            _past(engine, bare, rounds, progress),
        ]


def _batch(engine: LocalEngine, rounds: int, progress: Progress) -> Check:
    asker = Asker(engine)
    one: list[float] = []
    all_of_them: list[float] = []
    for n in range(rounds):
        for count, rates in ((1, one), (ASKERS, all_of_them)):
            progress(f"{count} of {ASKERS} askers, round {n + 1} of {rounds}")
            names = [asker.begin(_prompt(engine, f"{n}.{number}"), 2 * _TOKENS) for number in range(count)]
            asker.until_started(names)
            began = time.perf_counter()
            asker.steps(_TOKENS)
            rates.append(_TOKENS * count / (time.perf_counter() - began))
            asker.cancel(*names)
    single, together = median(one), median(all_of_them)
    note = f"{together:.1f} tokens/s for {ASKERS} askers, {single:.1f} for one, {_TOKENS} tokens each"
    return Check("engine.batch_ratio", together / single, "ratio", ">= 2.5", note=note)


def _join(engine: LocalEngine, rounds: int, progress: Progress) -> Check:
    asker = Asker(engine)
    alone: list[float] = []
    beside: list[float] = []
    steps: list[float] = []
    for n in range(rounds):
        progress(f"a question beside a long answer, round {n + 1} of {rounds}")
        name = asker.begin(_prompt(engine, f"alone {n}"), 4)
        alone.append(asker.until_started([name]))
        asker.cancel(name)
        long = asker.begin(_prompt(engine, f"long {n}"), _LONG)
        asker.until_started([long])
        steps.append(asker.steps(_AHEAD))
        name = asker.begin(_prompt(engine, f"beside {n}"), 4)
        beside.append(asker.until_started([name]))
        asker.cancel(name, long)
    by_itself, joined, step = median(alone), median(beside), median(steps)
    note = (
        f"first token {joined * 1e3:.0f} ms beside a long answer, {by_itself * 1e3:.0f} alone, a step {step * 1e3:.0f}"
    )
    return Check("engine.join_ratio", (joined - step) / by_itself, "ratio", "<= 2", note=note)


def _past(engine: LocalEngine, bare: BareModel, rounds: int, progress: Progress) -> Check:
    """A question about the past encodes its evidence once; asked again, it finds it in the cache."""
    asker = Asker(engine)
    ours: list[float] = []
    again: list[float] = []
    baseline: list[float] = []
    for n in range(rounds):
        progress(f"a question about the past, round {n + 1} of {rounds}")
        prompt = _prompt(engine, f"past {n}", evidence=4)
        pictures = [decode_picture(one.jpeg) for one in prompt.pictures()]
        frames = engine.vision.encode(pictures)
        ids = engine.prompt_ids(prompt, frames)
        old = {id(one) for one in prompt.evidence}
        recent = [pic for one, pic in zip(prompt.pictures(), pictures, strict=True) if id(one) not in old]
        known = bare.encode(recent)
        for times in (ours, again):
            name = asker.begin(prompt, 4)
            times.append(asker.until_started([name]))
            asker.cancel(name)
        began = time.perf_counter()
        recalled = bare.encode([decode_picture(one.jpeg) for one in prompt.evidence])
        recalled.pooler_output += known.pooler_output
        bare.first_token_s(ids, recalled)
        baseline.append(time.perf_counter() - began)
    first, plain, second = median(ours), median(baseline), median(again)
    note = f"ours {first * 1e3:.0f} ms, bare {plain * 1e3:.0f} ms, asked again {second * 1e3:.0f} ms, {len(ids)} tokens"
    return Check("engine.past_ratio", (first - _ALLOWANCE_S) / plain, "ratio", "<= 1.1", note=note)


def _prompt(engine: LocalEngine, words: str, evidence: int = 0) -> Prompt:
    """8 frames of the window, encoded, and so many of evidence that nobody has seen before."""
    dice = random.Random(words)
    jpegs = [random_jpeg(dice) for _ in range(8)]
    window = [
        WindowFrame(_STREAM.stream, 596_000_000 + 500_000 * n, 0, jpeg, engine.vision.encode([decode_picture(jpeg)])[0])
        for n, jpeg in enumerate(jpegs)
    ]
    seconds = [20_000_000 * (n + 1) for n in range(evidence)]
    old = [
        Evidence(_STREAM.stream, f"e_{words}", n, at_us, at_us, at_us + 20_000_000, 0.5, random_jpeg(dice))
        for n, at_us in enumerate(seconds)
    ]
    return Prompt("You watch a live video.", [_STREAM], [], old, [], window, f"What happens at {words}?")
