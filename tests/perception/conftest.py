"""What perception's tests share: a stage with small encoders and a clock by hand, and somebody who pushes."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from perception.config import ModelConfig, PerceptionConfig
from perception.encoders import Image, Vectors
from perception.messages import FileSource, OpenStream, Packet, PushSource, SessionEnded, SessionStarted, StreamStatus
from perception.stage import PerceptionStage
from perception.window import LocalWindow, TensorData, VisualTokens


class Encoder:
    """Mean colour as vector; counts what it is asked."""

    dim = 3

    def __init__(self) -> None:
        self.images = 0

    def embed_images(self, images: list[Image]) -> Vectors:
        self.images += len(images)
        means = np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


class Vision:
    """One token a frame: its mean grey."""

    max_bytes = 4

    def encode(self, images: list[Image]) -> list[VisualTokens]:
        return [
            VisualTokens(TensorData("float32", (1, 1), np.float32(image.mean()).tobytes()), [], None)
            for image in images
        ]


class Bench:
    """A stage with what it needs, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_us = 0
        self.encoder = Encoder()
        self.window = LocalWindow(4)
        config = PerceptionConfig(encoder=ModelConfig(""), model=None)
        self.stage = PerceptionStage(config, self.encoder, Vision(), self.window, None, lambda: self.now_us)

    def open(self, source: FileSource | PushSource, resume_us: int = 0) -> None:
        self.stage.submit(OpenStream("t/cam", source, 0, 0, resume_us, 2.0))

    def run(self) -> list[object]:
        outputs: list[object] = []
        while self.stage.has_work():
            outputs += self.stage.step()
        return outputs

    def start(self, session: int = 1, at_us: int = 0) -> None:
        self.stage.submit(SessionStarted("t/cam", session, at_us, at_us))

    def end(self, session: int = 1, final: bool = False, at_us: int = 0) -> None:
        self.stage.submit(SessionEnded("t/cam", session, final, None, at_us))

    def send(self, codec: str, data: bytes, at_us: int = 0, session: int = 1, **more: Any) -> None:
        """A packet that is stamped with its arrival, unless the test says otherwise."""
        stamp = {"track": 0, "pts_us": at_us, "arrival_us": at_us, "arrival_wall_us": at_us, **more}
        self.stage.submit(Packet("t/cam", session, codec=codec, data=data, **stamp))

    def status(self, outputs: list[object]) -> StreamStatus:
        """The last one told."""
        return [one for one in outputs if isinstance(one, StreamStatus)][-1]

    def push(self, picture: NDArray[np.uint8], at_us: int, codec: str = "png") -> None:
        buffer = io.BytesIO()
        Pillow.fromarray(picture).save(buffer, codec)
        self.stage.submit(Packet("t/cam", 1, 0, codec, buffer.getvalue(), at_us, at_us, at_us))


@pytest.fixture
def bench() -> Bench:
    return Bench()
