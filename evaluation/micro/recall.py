"""How long does memory take to recall, how long until its index is there, and how much RAM does a day of a stream take?

Stores are filled with rows as memory writes them: events of six seconds, three keyframes each, vectors of 768 numbers
around a common mean, as those of real encoders lie. Recalls go through memory's own stage, evidence included: with
time words and without, over one stream of 100 000 vectors and over 16 streams that hold 10^6 together.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from numpy.typing import NDArray

from evaluation.checks import Check
from evaluation.registry import Progress
from evaluation.stats import quantile
from memory import writing
from memory.config import MemoryConfig
from memory.messages import Context, MemoryOptions, Recall
from memory.rows import EventRow, Keyframe, to_half
from memory.stage import MemoryStage
from memory.store import Settings, Store
from perception.config import ModelConfig
from perception.encoders import Image, Vectors

DIM: Final = 768
EVENT_US: Final = 6_000_000
FRAMES: Final = 3
_ONE: Final = 33_334
_SHARED: Final = 20_834
_STREAMS: Final = 16
_DAY_FRAMES: Final = 86_400 * 1_000_000 // EVENT_US * FRAMES
_BATCH: Final = 500
_START_US: Final = 1_700_000_000_000_000
_JPEG: Final = b"\xff\xd8" + bytes(200) + b"\xff\xd9"
_WARM_UP: Final = 5
_LIKENESS: Final = 0.35
"""Of a text and the picture that it means, once what all have in common is taken off: the embedded encoder gives more
to 95 of 100."""
_QUESTIONS: Final = (
    "What did the person who was at the door carry?",
    "Who was there in the last hour?",
    "What happened between 02:00 and 05:00?",
    "Where was the red box 20 minutes ago?",
)


class Around:
    """Texts and pictures lie around a common direction, each on a side of its own."""

    dim = DIM

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        self._mean = np.random.default_rng(0).standard_normal(DIM).astype(np.float32)

    def draw(self, count: int) -> NDArray[np.float32]:
        """[count, DIM] unit vectors."""
        drawn = self._mean + self._dice.standard_normal((count, DIM)).astype(np.float32)
        found: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return found

    def embed_texts(self, texts: list[str]) -> Vectors:
        """One for each."""
        return self.draw(len(texts))

    def embed_images(self, images: list[Image]) -> Vectors:
        """One for each."""
        return self.draw(len(images))


def run(full: bool, progress: Progress) -> list[Check]:
    """200 recalls of one stream and 60 of sixteen, in the full profile five times as many."""
    more = 5 if full else 1
    with tempfile.TemporaryDirectory(prefix="omnilive-recall-") as made:
        folder = Path(made)
        progress("a store of 62 500 vectors is filled")
        shared = folder / "shared" / "streams" / "default"
        fill(shared / "cam0", 0, _SHARED)
        one = folder / "one" / "streams" / "default"
        one.mkdir(parents=True)
        shutil.copytree(shared / "cam0", one / "cam0")
        progress("and one of 100 000")
        fill(one / "cam0", _SHARED, _ONE)
        checks = _one(folder / "one", 200 * more, progress)
        shutil.rmtree(folder / "one")
        for n in range(1, _STREAMS):
            shutil.copytree(shared / "cam0", shared / f"cam{n}")
        return [*checks, _sixteen(folder / "shared", 60 * more, progress)]


def fill(folder: Path, first: int, end: int) -> None:
    """Events numbered from `first` + 1 to `end`, written as the writer thread would."""
    store = Store(folder) if folder.exists() else Store.create(folder, "default/cam0", _SETTINGS)
    vectors = Around(first)
    try:
        for at in range(first, end, _BATCH):
            _put(store.db, range(at, min(end, at + _BATCH)), vectors)
        store.truncate_log()
    finally:
        store.close()


_SETTINGS: Final = Settings("{}", _START_US, MemoryOptions(), "UTC")


def _put(db: sqlite3.Connection, numbers: Sequence[int], vectors: Around) -> None:
    db.execute("BEGIN IMMEDIATE")
    for n, drawn in zip(numbers, vectors.draw(len(numbers) * FRAMES).reshape(-1, FRAMES, DIM), strict=True):
        start = n * EVENT_US
        frames = tuple(
            Keyframe(k, start + k * 1_900_000, n * FRAMES + k + 1, _JPEG, to_half(drawn[k]), start + k * 1_900_000)
            for k in range(FRAMES)
        )
        end = start + EVENT_US
        writing.put_event(db, EventRow(n + 1, f"e_{n:020}", start, end, end, False, frames, (), b""))
    db.execute("COMMIT")


# ---------------------------------------------------------------- measuring


def _stage(folder: Path) -> MemoryStage:
    config = MemoryConfig(str(folder / "streams"), str(folder / "cache"), ModelConfig(""))
    encoder = Around(99)
    return MemoryStage(config, encoder, encoder, lambda: time.monotonic_ns() // 1000)


def _load(stage: MemoryStage) -> float:
    began = time.perf_counter()
    while stage.has_work():
        stage.step()
    return time.perf_counter() - began


def _one(folder: Path, count: int, progress: Progress) -> list[Check]:
    before = psutil.Process().memory_info().rss
    stage = _stage(folder)
    loaded_s = _load(stage)
    vectors = sum(len(stream.index) for stream in stage._streams.values())
    grown = psutil.Process().memory_info().rss - before
    progress(f"{count} recalls of one stream with {vectors} vectors")
    taken = _recalls(stage, ["default/cam0"], count)
    planted = _planted(stage)
    stage.close()
    note = f"{vectors} vectors of {DIM}, {FRAMES} an event; median {quantile(taken, 0.5) * 1e3:.1f} ms"
    day = f"{_DAY_FRAMES} vectors, {FRAMES} for each event of {EVENT_US // 1_000_000} s"
    return [
        Check("recall.p99_ms", quantile(taken, 0.99) * 1e3, "ms", "<= 20", note=note),
        Check("recall.planted", planted, "share", ">= 0.99", note=f"of 200 frames of likeness {_LIKENESS}, recalled"),
        Check("index.rebuild_s", loaded_s * 100_000 / vectors, "s", "<= 1", note=f"for 100 000 of {vectors} vectors"),
        Check("recall.ram_mib_day", grown / 2**20 * _DAY_FRAMES / vectors, "MiB", note=day),
    ]


def _sixteen(folder: Path, count: int, progress: Progress) -> Check:
    stage = _stage(folder)
    progress("sixteen indexes are loaded")
    _load(stage)
    vectors = sum(len(stream.index) for stream in stage._streams.values())
    progress(f"{count} recalls over {_STREAMS} streams with {vectors} vectors")
    taken = _recalls(stage, [f"default/cam{n}" for n in range(_STREAMS)], count)
    stage.close()
    note = f"{_STREAMS} streams, {vectors} vectors together; median {quantile(taken, 0.5) * 1e3:.1f} ms"
    return Check("recall.p99_16_ms", quantile(taken, 0.99) * 1e3, "ms", "<= 60", note=note)


def _recalls(stage: MemoryStage, streams: list[str], count: int) -> list[float]:
    """Seconds that each took. Raises RuntimeError where one brings no evidence."""
    now_us = [stage._streams[key].end_us for key in streams]
    taken = []
    for n in range(count + _WARM_UP):
        question = _QUESTIONS[n % len(_QUESTIONS)]
        began = time.perf_counter()
        stage.submit(Recall(n, streams, question, None, None, now_us, 4))
        contexts: list[Context] = []
        while not contexts:
            contexts = [one for one in stage.step() if isinstance(one, Context)]
        taken.append(time.perf_counter() - began)
        if not contexts[0].evidence:
            raise RuntimeError(f"no evidence for: {question}")
    return taken[_WARM_UP:]


def _planted(stage: MemoryStage) -> float:
    """How many stored vectors are among the candidates of a text that is so like them and otherwise points anywhere."""
    (stream,) = stage._streams.values()
    hits, vectors = stream.index.find(Around(7).draw(1)[0], 1 << 20)
    dice, mean = np.random.default_rng(8), stream.index.mean
    found = 0
    for row in dice.choice(len(hits), 200, replace=False):
        side = vectors[row] - mean
        length = np.linalg.norm(side)
        away = dice.standard_normal(DIM).astype(np.float32)
        away -= side * (away @ side) / length**2
        query = mean + _LIKENESS * side + away * (np.sqrt(1 - _LIKENESS**2) * length / np.linalg.norm(away))
        near = stream.index.find(query.astype(np.float32), 256)[0]
        found += (hits[row].seq, hits[row].n) in {(hit.seq, hit.n) for hit in near}
    return found / 200
