"""What memory's tests share: an encoder of colours, records, a clock by hand, a stage and somebody who steps it."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

from memory.config import MemoryConfig
from memory.messages import MemoryInput, MemoryOptions, MemoryOutput, OpenMemory
from memory.stage import MemoryStage
from memory.store import Settings, Store
from perception.config import ModelConfig
from perception.encoders import Image, Vectors
from perception.messages import Percept

DIM = 48
STREAM = "default/cam"


def vector_of(seed: str | int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A unit vector that is near to no other one."""
    drawn = np.random.default_rng(zlib.crc32(str(seed).encode())).standard_normal(DIM).astype(np.float32)
    return drawn / np.float32(np.linalg.norm(drawn))


class WordEncoder:
    """A picture of one colour lies where that colour's name does."""

    dim = DIM

    def embed_texts(self, texts: list[str]) -> Vectors:
        """The last word counts."""
        return np.stack([vector_of(text.lower().strip("?. ").split()[-1]) for text in texts])

    def embed_images(self, images: list[Image]) -> Vectors:
        """The mean colour counts."""
        names = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (250, 250, 250)}
        means = [image.reshape(-1, 3).mean(axis=0) for image in images]
        nearest = [min(names, key=lambda name: float(np.abs(np.array(names[name]) - mean).sum())) for mean in means]
        return np.stack([vector_of(name) for name in nearest])


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


class Disk:
    """What `statvfs` says."""

    def __init__(self) -> None:
        self.free_bytes = 1 << 40
        self.error: OSError | None = None

    def statvfs(self, _: object) -> SimpleNamespace:
        """Of blocks of one byte."""
        if self.error is not None:
            raise self.error
        return SimpleNamespace(f_bavail=self.free_bytes, f_frsize=1, f_blocks=1 << 41)


def drive(stage: MemoryStage, *messages: MemoryInput) -> list[MemoryOutput]:
    """Hand messages in and step until there is nothing left to do."""
    for message in messages:
        stage.submit(message)
    outputs: list[MemoryOutput] = []
    while stage.has_work():
        outputs += stage.step()
    return outputs


def only(outputs: list[MemoryOutput], kind: type[Any]) -> Any:
    """The one output of its kind."""
    found = [one for one in outputs if isinstance(one, kind)]
    assert len(found) == 1, f"{len(found)} {kind.__name__} in {outputs}"
    return found[0]


def percept(media_us: int, scene: str = "grey", jpeg: bytes | None = None, cut_us: int | None = None) -> Percept:
    """A frame of a scene."""
    data = jpeg if jpeg is not None else f"<jpeg of {scene} at {media_us}>".encode()
    vector = vector_of(scene).tobytes()
    return Percept(STREAM, media_us, 0, data, vector, cut_us is not None, cut_us or 0)


def picture(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    """An encoded picture of one colour."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (32, 24), colour).save(buffer, kind)
    return buffer.getvalue()


class Tools:
    """All of the above, for test files."""

    stream = STREAM
    dim = DIM
    drive = staticmethod(drive)
    only = staticmethod(only)
    percept = staticmethod(percept)
    picture = staticmethod(picture)
    vector_of = staticmethod(vector_of)
    encoder = WordEncoder()

    @staticmethod
    def opening(stream: str = STREAM, **options: int) -> OpenMemory:
        """Opens a stream that began at 2026-03-04T10:00:00Z."""
        return OpenMemory(stream, 1_772_618_400_000_000, '{"id": "cam"}', MemoryOptions(**options), "Europe/Berlin")


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Helpers."""
    return Tools()


@pytest.fixture
def clock() -> Hand:
    """A clock by hand."""
    return Hand()


@pytest.fixture
def config(tmp_path: Path) -> MemoryConfig:
    """Memory below the test's folder."""
    model = ModelConfig(folder="")
    return MemoryConfig(str(tmp_path / "streams"), str(tmp_path / "cache"), model, low_water_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """An empty store of one stream, by itself."""
    made = Store.create(tmp_path / "streams" / "t" / "cam", "t/cam", Settings("{}", 0, MemoryOptions(), "UTC"))
    yield made
    made.close()


@pytest.fixture
def make_stage(config: MemoryConfig, clock: Hand) -> Any:
    """Makes stages on the same folder, and closes what is left of them."""
    made: list[MemoryStage] = []

    def make(used: MemoryConfig = config, notify: Callable[[], None] | None = None) -> MemoryStage:
        stage = MemoryStage(used, WordEncoder(), WordEncoder(), clock, notify)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make_stage: Any, tools: Tools) -> MemoryStage:
    """A stage with one open stream."""
    stage: MemoryStage = make_stage()
    drive(stage, tools.opening())
    return stage


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that fills up by hand."""
    made = Disk()
    monkeypatch.setattr("memory.writer.os.statvfs", made.statvfs)
    return made


@pytest.fixture
def disk_stage(make_stage: Any, config: MemoryConfig, disk: Disk, tools: Tools) -> MemoryStage:
    """A stage with one open stream on a disk of which some bytes have to stay free."""
    stage: MemoryStage = make_stage(msgspec.structs.replace(config, low_water_bytes=1 << 20))
    drive(stage, tools.opening())
    return stage
