"""One stream as one file: written afresh row by row, read as what a stranger sent.

An SQLite database of four tables, whose events are MessagePack (`ArchivedEvent`); `archive` holds its format, the
stream's start and time zone and the SHA-256 of all other rows. No source, no credentials, nothing that was forgotten.
"""

import hashlib
import io
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from PIL import Image as Pillow

from memory import writing
from memory.keyframes import NUMBER_BITS
from memory.messages import FOREVER_US, GapRecord
from memory.reading import Reader
from memory.rows import EventRow, Keyframe, Spoken, is_whole

FORMAT: Final = "1"
_APPLICATION_ID: Final = 0x4F4D4E41
_SCHEMA: Final = (
    "CREATE TABLE archive (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, row BLOB NOT NULL)",
    "CREATE TABLE gaps (start_us INTEGER PRIMARY KEY, end_us INTEGER NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE pictures (id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL, vector BLOB NOT NULL)",
)
_HASHED: Final = (
    "SELECT seq, row FROM events ORDER BY seq",
    "SELECT id, jpeg, vector FROM pictures ORDER BY id",
    "SELECT start_us, end_us, reason FROM gaps ORDER BY start_us",
)
_EVENT_ID: Final = re.compile(r"e_[A-Za-z0-9]{6,64}", re.ASCII)
_REASON: Final = re.compile(r"[a-z_]{1,32}", re.ASCII)
_BATCH: Final = 64
_LONGEST: Final = 64 * 2**20
_MOST_FRAMES: Final = 1024
_MOST_PIXELS: Final = 33_177_600
_LONGEST_VECTOR: Final = 2 * 8192


class ArchiveInvalid(Exception):
    """The file is no archive, or not as it was written; the text says what is wrong."""


class ExportCancelled(Exception):
    """What is being written was forgotten meanwhile."""


class ArchivedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event as it is archived. frames: (n, media_us, picture, captured_us)."""

    id: str
    start_us: int
    end_us: int
    observed_us: int
    merged: int
    caption: str | None
    speech: tuple[Spoken, ...]
    frames: tuple[tuple[int, int, int, int], ...]
    vector: bytes


@dataclass(frozen=True)
class Header:
    """What an archive says of its stream."""

    start_wall_us: int
    time_zone: str


# ---------------------------------------------------------------- writing


def write(store: Path, target: Path, header: Header, cancelled: Callable[[], bool]) -> None:
    """Archive the store file at `target`, which is on disk when this returns.

    Reads in short transactions, on a connection of its own. Raises ExportCancelled, sqlite3.Error, OSError; then
    nothing is left at `target`.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(_open(store, "ro")) as source, closing(_open(target, "rw")) as archive:
            for statement in (*_SCHEMA, f"PRAGMA application_id = {_APPLICATION_ID}", "BEGIN"):
                archive.execute(statement)
            _write_rows(Reader(source), source, archive, cancelled)
            told = {
                "format": FORMAT, "start_wall_us": str(header.start_wall_us), "time_zone": header.time_zone,
                "sha256": _digest(archive),
            }  # fmt: skip
            archive.executemany("INSERT INTO archive VALUES (?, ?)", told.items())
            archive.execute("COMMIT")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _write_rows(
    reader: Reader, source: sqlite3.Connection, archive: sqlite3.Connection, cancelled: Callable[[], bool]
) -> None:
    last = 0
    while True:
        if cancelled():
            raise ExportCancelled
        source.execute("BEGIN")
        rows = reader.after(last, _BATCH)
        for row in rows:
            _write_event(source, archive, row)
        source.execute("COMMIT")
        if not rows:
            break
        last = rows[-1].seq
    gaps = [(gap.start_us, gap.end_us, gap.reason) for gap in reader.gaps(-FOREVER_US, FOREVER_US, 1 << 30)]
    archive.executemany("INSERT INTO gaps VALUES (?, ?, ?)", gaps)
    if cancelled():
        raise ExportCancelled


def _write_event(source: sqlite3.Connection, archive: sqlite3.Connection, row: EventRow) -> None:
    """The event with its undamaged pictures; each picture once."""
    query = "SELECT p.crc, p.jpeg, v.crc, v.vector FROM pictures p JOIN vectors v ON v.picture = p.id WHERE p.id = ?"
    kept = []
    for frame in row.frames:
        stored = source.execute(query, (frame.picture,)).fetchone()
        number = frame.picture
        if stored is not None and is_whole(number, stored[1], stored[0]) and is_whole(number, stored[3], stored[2]):
            archive.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)", (number, stored[1], stored[3]))
            kept.append((frame.n, frame.media_us, frame.picture, frame.captured_us))
    vector = source.execute("SELECT vector FROM event_vectors WHERE event = ?", (row.seq,)).fetchone()
    told = ArchivedEvent(
        row.id, row.start_us, row.end_us, row.observed_us, row.merged, row.caption, row.speech, tuple(kept),
        vector[0] if vector is not None else b"",
    )  # fmt: skip
    archive.execute("INSERT INTO events VALUES (?, ?)", (row.seq, msgspec.msgpack.encode(told)))


# ---------------------------------------------------------------- reading


def read_header(file: Path) -> Header:
    """Look at the whole of an archive: its form, its checksum, every row. Raises ArchiveInvalid."""
    try:
        with closing(_open_stranger(file)) as db:
            header = _header(db)
            for _ in _events(db):
                pass
            for _ in _gaps(db):
                pass
            return header
    except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, OverflowError, TypeError, ValueError) as error:
        raise ArchiveInvalid("the file is no archive of this server's: export the stream anew") from error


def fill(file: Path, db: sqlite3.Connection) -> None:
    """Put an archive's rows into a new store. Raises ArchiveInvalid, sqlite3.Error."""
    with closing(_open_stranger(file)) as source:
        db.execute("BEGIN IMMEDIATE")
        for n, row in enumerate(_events(source)):
            writing.put_event(db, row)
            if n % _BATCH == _BATCH - 1:
                db.execute("COMMIT")
                db.execute("BEGIN IMMEDIATE")
        for gap in _gaps(source):
            writing.put_gap(db, gap)
        db.execute("COMMIT")


def _header(db: sqlite3.Connection) -> Header:
    schema = db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION_ID or tuple(sql for (sql,) in schema) != _SCHEMA:
        raise ArchiveInvalid("the file is no archive")
    told = dict(db.execute("SELECT key, value FROM archive"))
    if told.get("format") != FORMAT:
        raise ArchiveInvalid("the archive has a format that is unknown here: use the version that wrote it")
    if told.get("sha256") != _digest(db):
        raise ArchiveInvalid("the archive is damaged: its checksum does not fit")
    start, zone = int(told["start_wall_us"]), str(told["time_zone"])
    _check(0 <= start < FOREVER_US and len(zone) <= 64, "its start")
    return Header(start, zone)


def _events(db: sqlite3.Connection) -> Iterator[EventRow]:
    """Events in order, each checked, with the bytes of its frames."""
    ids: set[str] = set()
    behind = 0
    for seq, blob in db.execute("SELECT seq, row FROM events ORDER BY seq"):
        told = msgspec.msgpack.decode(blob, type=ArchivedEvent)
        _check(0 < seq < 1 << 40 and _EVENT_ID.fullmatch(told.id) is not None and told.id not in ids, "an event's id")
        _check(behind <= told.start_us <= told.end_us < FOREVER_US // 2, "an event's time")
        _check(told.start_us <= told.observed_us < FOREVER_US // 2 and 1 <= told.merged < 1 << 31, "an event's time")
        _check(len(told.frames) <= _MOST_FRAMES and len({n for n, *_ in told.frames}) == len(told.frames), "frames")
        for said in told.speech:
            _check(0 <= said.start_us < said.end_us < FOREVER_US // 2, "speech")
        ids.add(told.id)
        behind = told.end_us
        _check_vector(told.vector)
        frames = tuple(_frame(db, *frame) for frame in told.frames)
        yield EventRow(
            seq, told.id, told.start_us, told.end_us, told.observed_us, False, frames, told.speech, told.vector,
            told.caption, told.merged,
        )  # fmt: skip


def _frame(db: sqlite3.Connection, n: int, media_us: int, picture: int, captured_us: int) -> Keyframe:
    _check(0 <= n < 1 << NUMBER_BITS and 0 <= captured_us <= media_us < FOREVER_US // 2, "a frame's time")
    row = db.execute("SELECT jpeg, vector FROM pictures WHERE id = ?", (picture,)).fetchone()
    _check(row is not None and isinstance(row[0], bytes) and isinstance(row[1], bytes), "a picture")
    _check_picture(row[0])
    _check_vector(row[1])
    return Keyframe(n, media_us, picture, row[0], row[1], captured_us)


def _check_picture(jpeg: bytes) -> None:
    try:
        with Pillow.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
            _check(opened.width * opened.height <= _MOST_PIXELS, "a picture's size")
    except (OSError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise ArchiveInvalid("the archive holds a picture that is none") from error


def _check_vector(blob: bytes) -> None:
    _check(len(blob) % 2 == 0 and len(blob) <= _LONGEST_VECTOR, "a vector")
    _check(bool(np.isfinite(np.frombuffer(blob, dtype=np.float16)).all()), "a vector")


def _gaps(db: sqlite3.Connection) -> Iterator[GapRecord]:
    for start, end, reason in db.execute("SELECT start_us, end_us, reason FROM gaps ORDER BY start_us"):
        _check(0 <= start < end < FOREVER_US // 2 and _REASON.fullmatch(reason) is not None, "a gap")
        yield GapRecord(start, end, reason)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise ArchiveInvalid(f"the archive cannot be: {what}")


def _digest(db: sqlite3.Connection) -> str:
    digest = hashlib.sha256()
    for query in _HASHED:
        for row in db.execute(query):
            digest.update(msgspec.msgpack.encode(row))
    return digest.hexdigest()


def _open(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)


def _open_stranger(file: Path) -> sqlite3.Connection:
    """Read-only, with nothing of the file's own run: no view, no trigger, no function."""
    db = sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA mmap_size = 0")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    db.set_authorizer(_only_reading)
    return db


def _only_reading(action: int, one: Any, *_: Any) -> int:
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
    reads_id = action == sqlite3.SQLITE_PRAGMA and one == "application_id"
    return sqlite3.SQLITE_OK if action in allowed or reads_id else sqlite3.SQLITE_DENY
