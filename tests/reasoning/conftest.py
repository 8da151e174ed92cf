"""Random checkpoints, made once a session, and short ways to the messages that reasoning takes."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from memory.messages import Evidence
from perception.config import ModelConfig
from perception.window import TensorData, VisualTokens, WindowFrame
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import Ask, AskedStream
from reasoning.random_checkpoints import FAMILIES

SECOND = 1_000_000
START_WALL_US = 1_793_000_000_000_000


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models gain nothing from more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random checkpoint of a family."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = FAMILIES[name](tmp_path_factory.mktemp(name), 0)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def engine_of(checkpoint: Callable[[str], Path]) -> Callable[[str], LocalEngine]:
    """The engine of a family, in fp32; the same one for all tests, so cancel what you begin."""
    made: dict[str, LocalEngine] = {}

    def engine(name: str) -> LocalEngine:
        if name not in made:
            config = ModelConfig(str(checkpoint(name)), device="cpu", dtype="float32")
            made[name] = load_engine(config, 2**22, chunk=64)
        return made[name]

    return engine


def jpeg(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(written, "JPEG")
    return written.getvalue()


def asked(stream: str = "default/cam", lane: int = 0, now_s: float = 100.0, zone: str = "UTC") -> AskedStream:
    """A stream whose now is `now_s` seconds after its start."""
    return AskedStream(stream, lane, START_WALL_US, round(now_s * SECOND), "", zone)


def frame(second: float, stream: str = "default/cam", arrival_us: int = 7, seed: int = 0) -> WindowFrame:
    """An entry of the window with some visual tokens."""
    tokens = VisualTokens(TensorData("float32", (1, 2), bytes(8)), [], None)
    return WindowFrame(stream, round(second * SECOND), arrival_us, jpeg(seed), tokens)


def evidence(second: float, event: str = "e_1", n: int = 0, stream: str = "default/cam") -> Evidence:
    """A keyframe of an event of ten seconds."""
    us = round(second * SECOND)
    return Evidence(stream, event, n, us, us - 5 * SECOND, us + 5 * SECOND, 0.5, jpeg(n))


def ask(name: str = "q_1", streams: list[AskedStream] | None = None, **changed: object) -> Ask:
    """A question with a far deadline."""
    fields: dict[str, object] = {
        "question_id": name,
        "streams": streams if streams is not None else [asked()],
        "question": "Who came in?",
        "since_us": None,
        "until_us": None,
        "max_tokens": 8,
        "deadline_us": 60 * SECOND,
        "arrival_us": 0,
        "temperature": 0.0,
        "seed": 0,
        "history": [],
    }
    return Ask(**(fields | changed))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The short ways to messages, for test modules."""
    return SimpleNamespace(
        second=SECOND,
        start_wall_us=START_WALL_US,
        jpeg=jpeg,
        asked=asked,
        frame=frame,
        evidence=evidence,
        ask=ask,
    )
