"""Are the answers of a running server those of bare `generate`? Pictures through the websocket, questions through REST.

What the server was shown is known, so that its prompts can be made again: about now, the pictures that were pushed;
about the past, the keyframes that the answer names, as the server serves them (both, where words mean both). An answer
is text: it is held against the text of the baseline's tokens, and may part from it only where the baseline's two best
scores are all but equal.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoTokenizer

from clients.api import Api, Json
from clients.live import Live
from evaluation.baselines.bare_generate import BareModel, Generated
from evaluation.checks import Check
from evaluation.live_push import wall_s
from evaluation.micro.equal import MARGIN, random_jpeg, sentence
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from memory.messages import Evidence
from perception.config import ModelConfig
from perception.vision import decode_picture
from perception.window import WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import make_idefics3, make_qwen3_vl

NAME: Final = "equal"
START: Final = "2026-01-02T03:04:05Z"
_START_US: Final = round(wall_s(START) * 1e6)
_WINDOW: Final = 8
_STEP_US: Final = 500_000
_PICTURES: Final = 24
_TOKENS: Final = 24
_CACHE_BYTES: Final = 64 * 2**20

MAKERS: Final[dict[str, Callable[[Path], Path]]] = {
    "SmolVLM": lambda folder: make_idefics3(folder, "tiny-smolvlm", 7),
    "Qwen3-VL": lambda folder: make_qwen3_vl(folder, 7),
}


@dataclass(frozen=True)
class Bare:
    """The baseline, the engine that says how a prompt becomes ids, and the tokenizer that says what tokens mean."""

    engine: LocalEngine
    model: BareModel
    tokenizer: Any

    def text(self, tokens: list[int]) -> str:
        """What the tokens say."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def run(full: bool, progress: Progress) -> list[Check]:
    """10 questions of each kind to each family; 60 in the full profile."""
    questions = 60 if full else 10
    outcomes: list[bool] = []
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as made:
            progress(f"{name} answers {2 * questions} questions")
            outcomes += _compare(make(Path(made) / "model"), questions)
    note = f"{len(outcomes)} answers of up to {_TOKENS} tokens, half about now and half about the past"
    return [Check("equal.tokens", outcomes.count(False), "failures", "<= 0", note=note)]


def _compare(folder: Path, questions: int) -> list[bool]:
    dice = random.Random(11)
    placed = {"DTYPE": "float32", "DEVICE": "cpu"}
    alike = {f"OMNILIVE_{stage}__{name}": to for stage in ("PERCEPTION", "REASONING") for name, to in placed.items()}
    config = ModelConfig(str(folder), device="cpu", dtype="float32")
    bare = Bare(
        load_engine(config, _CACHE_BYTES), BareModel(folder, torch.float32), AutoTokenizer.from_pretrained(folder)
    )
    with ServerProcess(["--model", str(folder)], environment=alike) as server, Api(server.url) as api:
        pictures = [random_jpeg(dice) for _ in range(_PICTURES)]
        api.add(NAME, {"push": True, "pace": "fast", "start": START})
        with Live(api.url, NAME) as live:
            live.announce(0, "jpeg")
            for n, picture in enumerate(pictures):
                live.send(0, picture, n * _STEP_US)
            live.ask("last", "Is all of it there?", max_tokens=1)
            live.wait("last")
        return [one for _ in range(questions) for one in _ask_twice(api, bare, pictures, dice)]


def _ask_twice(api: Api, bare: Bare, pictures: list[bytes], dice: random.Random) -> Iterator[bool]:
    newest = [WindowFrame(_stream().stream, _media_us(n), 0, pictures[n], None) for n in range(_PICTURES)][-_WINDOW:]
    now = sentence(dice)
    answer = api.ask(NAME, now, max_tokens=_TOKENS)
    yield _same(bare, answer, _prompt(now, list(_evidence(api, answer)), newest))
    past = sentence(dice)
    since_us, until_us = _media_us(dice.randrange(4)), newest[0].media_us
    answer = api.ask(NAME, past, since=since_us / 1e6, until=until_us / 1e6, max_tokens=_TOKENS)
    yield _same(bare, answer, _prompt(past, list(_evidence(api, answer)), []))


def _prompt(question: str, evidence: list[Evidence], window: list[WindowFrame]) -> Prompt:
    return Prompt(ReasoningConfig(ModelConfig("")).system_prompt, [_stream()], [], evidence, [], window, question)


def _stream() -> AskedStream:
    return AskedStream(f"default/{NAME}", 0, _START_US, _media_us(_PICTURES - 1), "", "UTC")


def _media_us(n: int) -> int:
    return n * _STEP_US


def _evidence(api: Api, answer: Json) -> Iterator[Evidence]:
    """The keyframes that the answer names, byte for byte as the server keeps them."""
    events = {event["id"]: event for event in api.events(NAME)}
    for used in answer["evidence"]:
        event, n = events[used["event"]], int(used["frame"].rsplit("/", 1)[1])
        time = next(frame["time"] for frame in event["frames"] if frame["n"] == n)
        media_us = round(wall_s(time) * 1e6) - _START_US
        yield Evidence(_stream().stream, event["id"], n, media_us, 0, 0, 0.0, api.picture(used["frame"]))


def _same(bare: Bare, answer: Json, prompt: Prompt) -> bool:
    if answer["evidence"] == [] and not prompt.window:
        return False
    shown = [decode_picture(one.jpeg) for one in prompt.pictures()]
    ids = bare.engine.prompt_ids(prompt, [bare.engine.vision.encode([one])[0] for one in shown])
    if answer["usage"]["input_tokens"] != len(ids):
        return False
    return same_text(bare.text, answer["answer"], bare.model.generate(ids, shown, _TOKENS))


def same_text(decode: Callable[[list[int]], str], ours: str, bare: Generated) -> bool:
    """Whether a text is that of the tokens, at least up to where their model is undecided."""
    if ours == decode(bare.tokens):
        return True
    unsure = (n for n, margin in enumerate(bare.margins) if margin <= MARGIN)
    return any(ours.startswith(decode(bare.tokens[:n]).rstrip("\ufffd")) for n in unsure)
