"""Films of the world on their way to a model: encoded, decoded, sampled and encoded again by perception itself."""

import tempfile
import time
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from memory.messages import Evidence
from perception.build import load_vision
from perception.config import ModelConfig, PerceptionConfig
from perception.dual_encoder import load_image_encoder
from perception.messages import FileSource, OpenStream, Percept
from perception.stage import PerceptionStage
from perception.window import LocalWindow, WindowFrame
from server.local import LocalPipeline
from server.models import EMBEDDED, resolve_model
from training.world import Script, write_video

STREAM: Final = "default/film"


@dataclass(frozen=True)
class Look:
    """How a film is shot. crf: of x264, the higher the coarser."""

    size: tuple[int, int] = (480, 360)
    fps: int = 10
    crf: int = 23


PLAIN: Final = Look()


@dataclass(frozen=True)
class View:
    """What there is of a film at its end: the now window, and every frame that memory might have kept, oldest first."""

    script: Script
    now_us: int
    window: list[WindowFrame]
    kept: list[Evidence]


@cache
def embedded() -> tuple[PerceptionConfig, ModelConfig]:
    """The shipped checkpoints, as a server without settings loads them. Raises StartError where they are missing."""
    model, encoder = resolve_model(EMBEDDED, "model"), resolve_model(EMBEDDED, "encoder")
    vision = ModelConfig(str(model.folder))
    return PerceptionConfig(ModelConfig(str(encoder.folder)), vision), vision


class Viewer:
    """Shows films to perception, with the models that a server would use."""

    def __init__(self, config: PerceptionConfig) -> None:
        """Raises StartRefused."""
        self._config = config
        self._vision = load_vision(config)
        self._encoder = load_image_encoder(config.encoder)

    def show(self, script: Script, look: Look = PLAIN) -> View:
        """A film of the world, up to its last frame."""
        window, percepts = self.shoot(script, look)
        newest_us = round((script.duration_us * look.fps // 1_000_000 - 1) * 1_000_000 / look.fps)
        return View(script, newest_us, window, [as_evidence(one) for one in percepts])

    def shoot(self, script: Script, look: Look = PLAIN) -> tuple[list[WindowFrame], list[Percept]]:
        """The same as `watch` gives it."""
        width, height = look.size
        with tempfile.TemporaryDirectory() as folder:
            path = write_video(script, Path(folder) / "film.mp4", width, height, look.fps, look.crf, sound=None)
            return self.watch(path)

    def watch(self, path: Path) -> tuple[list[WindowFrame], list[Percept]]:
        """Any video file: the window at its end, all frames that were encoded."""
        window, seen = LocalWindow(self._config.window.frames), _Seen()
        stage = PerceptionStage(self._config, self._encoder, self._vision, window, None, clock_us)
        pipeline = LocalPipeline(stage, seen)
        pipeline.submit(OpenStream(STREAM, FileSource(str(path), "fast"), 0, 0, 0, self._config.sample.fps))
        pipeline.run_until_idle()
        shown = window.snapshot(0, STREAM)
        pipeline.close()
        return shown, seen.percepts


def as_evidence(percept: Percept) -> Evidence:
    """The frame as memory would recall it."""
    at_us = percept.media_us
    return Evidence(STREAM, f"e{at_us}", 0, at_us, at_us, at_us, 1.0, percept.jpeg)


def clock_us() -> int:
    """The machine's monotonic clock."""
    return time.monotonic_ns() // 1000


class _Seen:
    """Takes memory's place: notes what perception encoded."""

    def __init__(self) -> None:
        self.percepts: list[Percept] = []
        self._inbox: deque[Any] = deque()

    def submit(self, message: Any) -> None:
        self._inbox.append(message)

    def step(self) -> list[Any]:
        message = self._inbox.popleft()
        if isinstance(message, Percept):
            self.percepts.append(message)
        return []

    def has_work(self) -> bool:
        return bool(self._inbox)

    def close(self) -> list[Any]:
        return []
