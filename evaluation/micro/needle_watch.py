"""Pictures on their whole way into memory: H.264, decoded, sampled once a second, encoded for recall; and a cache of
what the haystack became, since it is the same for every needle."""

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.clips import Picture, write_video
from evaluation.hardware import ROOT
from evaluation.micro.model_view import STREAM, clock_us
from evaluation.needle.films import FPS, SEGMENT, hay_pictures, stretch
from evaluation.needle.plan import Haystack
from perception.config import PerceptionConfig
from perception.dual_encoder import load_image_encoder
from perception.messages import FileSource, OpenStream, Percept, Unchanged
from perception.stage import PerceptionStage
from perception.window import LocalWindow
from server.local import LocalPipeline

Record = Percept | Unchanged
_SOURCES: Final = (
    "training/world_script.py",
    "training/world_writer.py",
    "training/world_render.py",
    "perception/*.py",
    "evaluation/clips.py",
    "evaluation/needle/films.py",
    "evaluation/needle/looks.py",
)
"""What hay follows from, with the encoder's weights."""
_RECORDS: Final = msgspec.msgpack.Decoder(list[Record])


class Watcher:
    """Shows pictures to perception."""

    def __init__(self, config: PerceptionConfig) -> None:
        """Raises StartRefused."""
        self._config = config
        self._encoder = load_image_encoder(config.encoder)

    def watch(self, pictures: Iterator[Picture], since: int = 0) -> list[Record]:
        """What memory is told of them; the first one is frame `since` of its stream."""
        seen = _Seen()
        stage = PerceptionStage(self._config, self._encoder, None, LocalWindow(1), None, clock_us)
        pipeline = LocalPipeline(stage, seen)
        with tempfile.TemporaryDirectory() as folder:
            path = write_video(Path(folder) / "film.mp4", pictures, FPS)
            pipeline.submit(OpenStream(STREAM, FileSource(str(path), "fast"), 0, 0, 0, 1.0))
            pipeline.run_until_idle()
        pipeline.close()
        return [moved(one, since) for one in seen.records]


def moved(record: Record, seconds: int) -> Record:
    """The same so much later."""
    later_us = seconds * 1_000_000
    if isinstance(record, Unchanged):
        return msgspec.structs.replace(record, media_us=record.media_us + later_us)
    return msgspec.structs.replace(record, media_us=record.media_us + later_us, cut_us=record.cut_us + later_us)


def cache_folder() -> Path:
    """Where what the benchmark may need again lies."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnilive" / "needle"


class Hay:
    """The haystack's segments as perception saw them, kept in the user's cache folder under a hash of what they follow
    from: the encoder's weights, and the code that draws and watches."""

    def __init__(self, watcher: Watcher, config: PerceptionConfig, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / digest([Path(config.encoder.folder)], _SOURCES)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._watcher = watcher
        self._known: dict[int, list[Record]] = {}

    def segment(self, number: int) -> list[Record]:
        """On a clock of its own, from 0."""
        if number not in self._known:
            self._known[number] = _RECORDS.decode(self.make(number).read_bytes())
        return self._known[number]

    def make(self, number: int) -> Path:
        """The file that holds it, filmed now where there is none."""
        file = self._folder / f"{number}.msgpack"
        if not file.is_file():
            records = self._watcher.watch(hay_pictures(number))
            # Whoever is broken off leaves nothing half-written.
            begun = file.with_suffix(f".{os.getpid()}")
            begun.write_bytes(msgspec.msgpack.encode(records))
            begun.replace(file)
        return file


def composed(hay: Hay, watcher: Watcher, haystack: Haystack) -> list[Record]:
    """What memory is told of a haystack, in order: the cached hay, and the stretches with notes, filmed now."""
    told: dict[int, Record] = {}
    for number in range(-(-haystack.length // SEGMENT)):
        for record in hay.segment(number):
            index = number * SEGMENT + index_of(record)
            if index < haystack.length:
                told[index] = moved(record, number * SEGMENT)
    for since, until in haystack.stretches():
        for index in range(since, until):
            told.pop(index, None)
        for record in watcher.watch(stretch(since, until, haystack.notes), since):
            told[index_of(record)] = record
    return [told[index] for index in sorted(told)]


def index_of(record: Record) -> int:
    """Which frame of the haystack it is."""
    return record.media_us // 1_000_000


def vectors_of(records: Sequence[Record], length: int, dim: int) -> NDArray[np.float32]:
    """[length, dim]: what each frame shows; an unchanged one the same as the one before."""
    vectors = np.zeros((length, dim), np.float32)
    at = [index_of(record) for record in records]
    for record, since, until in zip(records, at, [*at[1:], length], strict=True):
        known = vectors[since - 1] if isinstance(record, Unchanged) else np.frombuffer(record.vector, np.float32)
        vectors[since:until] = known
    return vectors


def digest(checkpoints: Sequence[Path], sources: Sequence[str]) -> str:
    """A name for what follows from these weights and this code. sources: patterns below the project's root."""
    found = hashlib.sha256()
    files = [one / "model.safetensors" for one in checkpoints]
    for path in (*files, *(path for pattern in sources for path in sorted(ROOT.glob(pattern)))):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


class _Seen:
    """Takes memory's place: notes what it would be told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._inbox: deque[Any] = deque()

    def submit(self, message: Any) -> None:
        self._inbox.append(message)

    def step(self) -> list[Any]:
        message = self._inbox.popleft()
        if isinstance(message, Percept | Unchanged):
            self.records.append(message)
        return []

    def has_work(self) -> bool:
        return bool(self._inbox)

    def close(self) -> list[Any]:
        return []
