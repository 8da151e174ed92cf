"""Do families of models answer as under bare `generate`, alone and among others? On random checkpoints, in fp32.

Each prompt is answered three times: by transformers from pixels, by our engine alone, and by it while four answers run
together, which a fifth joins and is cancelled, and a sixth joins and ends. Scores are compared token by token.
"""

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from evaluation.baselines.bare_generate import BareModel, Generated
from evaluation.checks import Check
from evaluation.micro.equal import MARGIN, random_prompt
from evaluation.registry import Progress
from memory.messages import Evidence
from perception.config import ModelConfig
from perception.vision import decode_picture, load_vision_half
from reasoning.engine import Failed, Request
from reasoning.local import LocalEngine, load_engine
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import FAMILIES

NEAR: Final = 1e-4
"""How far two scores of a token may lie apart."""
HELD: Final = ("smolvlm", "idefics3", "qwen2_5_vl", "qwen3_vl", "llava_onevision", "internvl", "gemma3")
_STAY: Final = 4
_TOKENS: Final = 32
_VISIT: Final = 5
"""Tokens of who joins later."""
_CACHE_BYTES: Final = 64 * 2**20

Said = list[tuple[int, torch.Tensor]]
"""Tokens of an answer, each with the scores that it was chosen by."""


@dataclass(frozen=True)
class Judged:
    """An answer held against the baseline's, up to where that is of two minds. apart: how far scores lay apart."""

    equal: bool
    steps: int
    apart: float
    undecided: bool = False


def judge(ours: Said, bare: Generated, least: int) -> Judged:
    """least: how many tokens ours must have, where the baseline has as many."""
    apart = 0.0
    for step, (chosen, margin, scores) in enumerate(zip(bare.tokens, bare.margins, bare.scores, strict=True)):
        if step >= len(ours):
            return Judged(step >= least, step, apart)
        token, own = ours[step]
        here = float((own - scores).abs().max())
        if not here <= NEAR:
            return Judged(equal=False, steps=step, apart=here)
        apart = max(apart, here)
        if token != chosen:
            return Judged(margin <= MARGIN, step, apart, undecided=margin <= MARGIN)
    return Judged(equal=True, steps=len(bare.tokens), apart=apart)


class Listener:
    """Steps an engine and hears what is said."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self.said: dict[str, Said] = defaultdict(list)
        self.together: Counter[int] = Counter()
        """How many steps gave a token to so many requests."""
        self._now = 0
        engine.on_token = self._hear

    def _hear(self, request: str, token: int, scores: torch.Tensor) -> None:
        self._now += 1
        self.said[request].append((token, scores.float().cpu().clone()))

    def begin(self, name: str, prompt: Prompt, tokens: int) -> None:
        """A request."""
        self._engine.begin(Request(name, prompt, tokens))

    def step(self) -> None:
        """Once. Raises RuntimeError where a request fails."""
        self._now = 0
        for output in self._engine.step():
            if isinstance(output, Failed):
                raise RuntimeError(f"a request failed: {output.fault.code}")
        self.together[self._now] += 1

    def until(self, name: str, tokens: int) -> None:
        """Step until this one has said so much."""
        while len(self.said[name]) < tokens:
            self.step()

    def end(self) -> None:
        """Step until nobody is left."""
        while self._engine.has_work():
            self.step()


def alone(engine: LocalEngine, prompts: Sequence[Prompt]) -> list[Said]:
    """One after the other."""
    listener = Listener(engine)
    for n, prompt in enumerate(prompts):
        listener.begin(str(n), prompt, _TOKENS)
        listener.end()
    return [listener.said[str(n)] for n in range(len(prompts))]


def among_others(engine: LocalEngine, prompts: Sequence[Prompt]) -> list[Said]:
    """All but two stay; the last but one is cancelled in the middle, the last ends while the others go on.

    Raises RuntimeError where they were never together.
    """
    listener = Listener(engine)
    leaver, guest = str(len(prompts) - 2), str(len(prompts) - 1)
    for n, prompt in enumerate(prompts[:-2]):
        listener.begin(str(n), prompt, _TOKENS)
    listener.until(str(len(prompts) - 3), 2)
    listener.begin(leaver, prompts[-2], _TOKENS)
    listener.until(leaver, _VISIT)
    engine.cancel(leaver)
    listener.begin(guest, prompts[-1], _VISIT)
    listener.end()
    if listener.together[len(prompts) - 1] < _VISIT:
        raise RuntimeError("the answers did not run together")
    return [listener.said[str(n)] for n in range(len(prompts))]


def compare_family(folder: Path, rounds: int, seed: int, device: str = "cpu") -> list[Judged]:
    """Random prompts to one checkpoint. device: of our engine; the baseline runs on the processor."""
    dice = random.Random(seed)
    # So small a model is slower where threads wait for one another.
    config = ModelConfig(str(folder), device=device, dtype="float32", threads=1)
    engine, half = load_engine(config, _CACHE_BYTES, chunk=4096, slots=_STAY + 2), load_vision_half(config)
    # A random model may end when it likes: the lengths are ours.
    engine.ends = frozenset()
    bare = BareModel(folder, torch.float32)
    judged: list[Judged] = []
    for _ in range(rounds):
        # Some processors make of one picture something else than of each of several.
        prompts = [random_prompt(dice, half, least=2) for _ in range(_STAY + 2)]
        wanted = [_bare_answer(engine, bare, prompt) for prompt in prompts]
        engine.chunk = dice.choice((100, 4096))
        whole, visits = [_TOKENS] * len(prompts), [_TOKENS] * _STAY + [_VISIT] * 2
        for said, least in ((alone(engine, prompts), whole), (among_others(engine, prompts), visits)):
            judged += [judge(*one) for one in zip(said, wanted, least, strict=True)]
    return judged


def _bare_answer(engine: LocalEngine, bare: BareModel, prompt: Prompt) -> Generated:
    shown = prompt.pictures()
    frames = [engine.cache.tokens(one) if isinstance(one, Evidence) else one.tokens for one in shown]
    ids = engine.prompt_ids(prompt, [frame for frame in frames if frame is not None])
    return bare.generate(ids, [decode_picture(one.jpeg) for one in shown], _TOKENS)


def run(full: bool, progress: Progress) -> list[Check]:
    """Three rounds of six prompts on each of two checkpoints a family; in the full profile ten on each of five."""
    seeds, rounds = (5, 10) if full else (2, 3)
    judged: list[Judged] = []
    worst = {}
    for name in HELD:
        progress(name)
        found: list[Judged] = []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                found += compare_family(FAMILIES[name](Path(folder), seed), rounds, seed)
        worst[name] = max(one.apart for one in found)
        judged += found
    note = (
        f"{sum(one.steps for one in judged)} tokens of {len(judged)} answers by {len(HELD)} families; "
        f"scores at most {max(worst.values()):.1g} apart ({max(worst, key=lambda name: worst[name])}); "
        f"{sum(one.undecided for one in judged)} ended where the baseline was undecided"
    )
    return [Check("equal.families", sum(not one.equal for one in judged), "failures", "<= 0", note=note)]
