"""A folder against what was acknowledged: everything that was kept, nothing that was forgotten, no mixture."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from evaluation.micro.durable.feeder import DIM, drive, frame_bytes, mark_of, open_stage, vector_of, word_of
from evaluation.micro.durable.finder import standing
from memory.folders import Folders
from memory.index import VectorIndex
from memory.messages import FOREVER_US
from memory.rows import EventRow
from memory.store import Store

_ALL: Final = 1 << 30


@dataclass
class Acknowledged:
    """What the lines of feeders said. kept: (start, end) by stream and id; asked: forgetting that may have happened."""

    opened: set[str] = field(default_factory=set)
    kept: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    forgot: set[tuple[str, str]] = field(default_factory=set)
    ready_s: list[float] = field(default_factory=list)
    full: int = 0

    def take(self, lines: Iterable[str]) -> None:
        """More lines; one that was cut off in the middle was not said."""
        for line in lines:
            if not line.endswith("\n"):
                continue
            match line.split():
                case ["opened", key]:
                    self.opened.add(key)
                case ["ready", seconds]:
                    self.ready_s.append(float(seconds))
                case ["kept", key, event, start, end]:
                    self.kept[key, event] = (int(start), int(end))
                case ["asked", key, event]:
                    self.asked.add((key, event))
                case ["forgot", key, event]:
                    self.forgot.add((key, event))
                case ["full", _]:
                    self.full += 1


def audit(folder: Path, said: Acknowledged, size: int) -> list[str]:
    """What is wrong in a folder whose processes are dead; [] if nothing is. Takes it up once, as a start would."""
    drive_out(folder)
    faults: list[str] = []
    seen: set[str] = set()
    marks: set[bytes] = set()
    for key, store in Folders(folder / "streams").found():
        seen.add(key)
        try:
            faults += _stream(key, store, said, size)
            marks |= _known_marks(store)
        finally:
            store.close()
    faults += [f"the stream {key} is gone" for key in sorted(said.opened - seen)]
    faults += _left_bytes(folder, said, marks)
    return faults


def drive_out(folder: Path) -> None:
    """Let a stage finish what a dead one left: wiping goes on."""
    stage = open_stage(folder)
    drive(stage)
    stage.close()


def _stream(key: str, store: Store, said: Acknowledged, size: int) -> list[str]:
    rows = store.reader.oldest(-FOREVER_US, FOREVER_US, _ALL)
    by_id = {row.id: row for row in rows}
    faults = [f"{key}: {one}" for row in rows for one in _event(store, row, size)]
    for (stream, event), span in said.kept.items():
        if stream != key or (key, event) in said.asked:
            continue
        row = by_id.get(event)
        if row is None:
            faults.append(f"{key}: {event} was acknowledged and is lost")
        elif (row.start_us, row.end_us) != span:
            faults.append(f"{key}: {event} is not what was acknowledged")
    faults += [f"{key}: {event} was forgotten and is there" for stream, event in said.forgot if event in by_id]
    faults += [f"{key}: two events at once" for one, two in pairwise(rows) if one.end_us > two.start_us]
    if store.db.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
        faults.append(f"{key}: the database is damaged")
    if store.reader.corrupt:
        faults.append(f"{key}: rows are damaged")
    return faults + _index(key, store, rows)


def _event(store: Store, row: EventRow, size: int) -> list[str]:
    """Every part of a stored event is that of its own moments."""
    faults = []
    for frame in row.frames:
        if store.reader.jpeg(row.id, frame.n) != frame_bytes(frame.captured_us, size):
            faults.append(f"{row.id} shows another picture")
    if row.transcript not in {None, word_of(row.start_us)}:
        faults.append(f"{row.id} says something else")
    matching = [seq for seq, _ in store.reader.matching([word_of(row.start_us)], 0, 1 << 40, 9)]
    if matching != ([row.seq] if row.transcript else []):
        faults.append(f"{row.id} is not found by its words")
    return faults


def _index(key: str, store: Store, rows: list[EventRow]) -> list[str]:
    index = VectorIndex(DIM, _ALL)
    while not index.ready:
        index.load(store.reader, 4096)
    rows = [row.without_aside() for row in rows]
    if len(index) != sum(len(row.frames) for row in rows):
        return [f"{key}: the index and the rows differ"]
    wrong = [
        row.id
        for row in rows
        for frame in row.frames
        if not np.isclose(index.search(vector_of(frame.captured_us), 1)[0].score, 1.0, atol=5e-3)
    ]
    return [f"{key}: {event} is not found by its vector" for event in wrong]


def _known_marks(store: Store) -> set[bytes]:
    """Marks of moments that may be in the files: of all events that are there."""
    rows = store.reader.oldest(-FOREVER_US, FOREVER_US, _ALL)
    return {mark_of(frame.captured_us) for row in rows for frame in row.frames} | {
        word_of(row.start_us).encode() for row in rows
    }


def _left_bytes(folder: Path, said: Acknowledged, allowed: set[bytes]) -> list[str]:
    """Marks of forgotten moments in any file."""
    events: dict[bytes, str] = {}
    for key in said.forgot:
        start, end = said.kept[key]
        moments = [one for one in range(start, end + 1, 1_000_000) if mark_of(one) not in allowed]
        vectors = [vector_of(moment).astype(np.float16).tobytes() for moment in moments]
        marks = [*map(mark_of, moments), *({word_of(start).encode()} - allowed)]
        events |= dict.fromkeys((*marks, *vectors), key[1])
    left: set[bytes] = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            left |= standing(path.read_bytes(), events)
    return [f"bytes of {event} are left" for event in sorted({events[one] for one in left})]
