"""What an hour of a stream takes on disk: a busy one and one in which nothing moves.

Busy: films of the procedural world, 1280 x 720 at 10 frames a second, shown through perception and memory with the
server's own settings; in each a cut every 2 to 4 s and things that come and go. Still: one picture of such a film, and
a record of "unchanged" twice a second for an hour.
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from evaluation.checks import Check
from evaluation.micro.durable.feeder import drive
from evaluation.micro.model_view import STREAM, Look, Viewer, clock_us, embedded
from evaluation.registry import Progress
from memory.config import MemoryConfig
from memory.messages import FOREVER_US, EventPage, ListEvents, MemoryOptions, OpenMemory
from memory.stage import MemoryStage
from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from perception.messages import Barrier, Percept, PerceptRecord, Unchanged
from training.world import PRESETS, World

_LOOK: Final = Look((1280, 720), 10)
_BUSY: Final = replace(PRESETS["plain"], scene_s=(2.0, 4.0), pause_s=(0.5, 1.5), sounds=False)
_SEED: Final = 810_000
_HOUR_US: Final = 3_600_000_000
_STILL_EVERY_US: Final = 500_000


def run(full: bool, progress: Progress) -> list[Check]:
    """Four films in the quick profile, twenty in the full one."""
    perception, _ = embedded()
    viewer = Viewer(perception)
    films: list[list[Percept]] = []
    for n in range(20 if full else 4):
        progress(f"film {n + 1}")
        films.append(viewer.shoot(World(_SEED + n, _BUSY).script(), _LOOK)[1])
    busy = list(_one_after_the_other(films))
    hours = (busy[-1].media_us - busy[0].media_us) / _HOUR_US
    size, events = _kept(perception.encoder, busy)
    note = f"1280x720, scenes of 2 to 4 s: {events / hours:.0f} events an hour, over {hours * 60:.1f} min"
    checks = [
        Check("disk.busy_mb_h", size / hours / 1e6, "MB/h", "<= 20", note=note),
        Check("disk.busy_events_h", events / hours, "events/h", ">= 600", note=note),
    ]
    progress("an hour of a still picture")
    still = list(_still(busy[0]))
    size, events = _kept(perception.encoder, still)
    note = f"{events} events, one picture of 1280x720, unchanged for an hour"
    return [*checks, Check("disk.static_mb_h", size / 1e6, "MB/h", "<= 1", note=note)]


def _one_after_the_other(films: Sequence[Sequence[Percept]]) -> Iterator[Percept]:
    """On one media clock; each film begins with a cut."""
    start_us = 0
    for film in films:
        for n, one in enumerate(film):
            at = start_us + one.media_us
            cut, cut_us = one.cut or n == 0, start_us + (one.cut_us if one.cut else one.media_us)
            yield msgspec.structs.replace(one, media_us=at, cut=cut, cut_us=cut_us)
        start_us += film[-1].media_us + 500_000


def _still(first: Percept) -> Iterator[PerceptRecord]:
    yield msgspec.structs.replace(first, media_us=0, cut=False, cut_us=0)
    for at in range(_STILL_EVERY_US, _HOUR_US + 1, _STILL_EVERY_US):
        yield Unchanged(STREAM, at, 0)


def _kept(encoder: ModelConfig, records: Sequence[PerceptRecord]) -> tuple[int, int]:
    """Bytes by which the stream's store grew, events in it."""
    text, image = load_text_encoder(encoder), load_image_encoder(encoder)
    with tempfile.TemporaryDirectory() as folder:
        config = MemoryConfig(str(Path(folder) / "streams"), str(Path(folder) / "cache"), encoder)
        stage = MemoryStage(config, text, image, clock_us)
        stage.submit(OpenMemory(STREAM, 0, "{}", MemoryOptions(), "UTC"))
        drive(stage)
        (file,) = Path(folder).rglob("*.sqlite")
        empty = _used(file)
        for n, record in enumerate(records):
            stage.submit(record)
            if n % 64 == 0:
                drive(stage)
        stage.submit(Barrier(STREAM, 1))
        stage.submit(ListEvents(STREAM, 1, None, 0, FOREVER_US, 100_000, None))
        pages = [one for one in drive(stage) if isinstance(one, EventPage)]
        stage.close()
        size = _used(file) - empty
    return size, len(pages[0].events)


def _used(file: Path) -> int:
    """Bytes of the pages that hold something: up to a mebibyte of others waits for what comes next, once for all."""
    with closing(sqlite3.connect(file)) as db:
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)
