"""What perception's tests share: a stage with small encoders and a clock by hand, and somebody who pushes."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from perception.config import ModelConfig, PerceptionConfig
from perception.encoders import Image, Vectors
from perception.messages import FileSource, OpenStream, Packet, PushSource, SessionEnded, SessionStarted, StreamStatus
from perception.stage import PerceptionStage
from perception.window import LocalWindow, TensorData, VisualTokens

SECOND = 1_000_000


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

    def __init__(self, transcribe: Any = None, wake: Any = None) -> None:
        self.now_us = 0
        self.encoder = Encoder()
        self.window = LocalWindow(4)
        config = PerceptionConfig(encoder=ModelConfig(""), model=None)
        self.stage = PerceptionStage(config, self.encoder, Vision(), self.window, transcribe, lambda: self.now_us, wake)

    def open(self, source: FileSource | PushSource, resume_us: int = 0) -> None:
        self.stage.submit(OpenStream("t/cam", source, 0, 0, resume_us, 2.0))

    def run(self) -> list[object]:
        """All that comes of what was submitted; what may be told once a second only, a second later."""
        outputs: list[object] = []
        while self.stage.has_work():
            outputs += self.stage.step()
        self.now_us += SECOND
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

    def push(self, picture: NDArray[np.uint8], at_us: int, codec: str = "png", session: int = 1) -> None:
        buffer = io.BytesIO()
        Pillow.fromarray(picture).save(buffer, codec)
        self.send(codec, buffer.getvalue(), at_us, session)


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def encode(encoder: str, pictures: list[NDArray[np.uint8]], fps: int = 10, **options: str) -> list[bytes]:
    """Access units of pictures of one size, each out at once."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.time_base, context.thread_count = "yuv420p", Fraction(1, fps), 1
    quick = {"preset": "veryfast", "tune": "zerolatency"}
    if encoder == "libx265":
        quick["x265-params"] = "log-level=none"
    context.options = {**(quick if "x26" in encoder else {"lag-in-frames": "0", "deadline": "realtime"}), **options}
    units = []
    for n, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, fps)
        units += context.encode(frame)
    return [bytes(unit) for unit in (*units, *context.encode(None))]


@pytest.fixture
def encoded() -> Any:
    """`encode`, for tests."""
    return encode
