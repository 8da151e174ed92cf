"""One stream's memory on disk: a SQLite database that is the truth. Written by the writer thread, read by the stage."""

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from memory.events import OpenEvent, Vector
from memory.messages import EventRecord, FrameRef, GapRecord, MemoryOptions, SpeechSpan

FORMAT: Final = "1"
FILE: Final = "memory.sqlite"
_EVENT_OVERHEAD: Final = 512
"""Bytes of an event besides its frames, for the budget."""
_COLUMNS: Final = "id, start_us, end_us, open, merged, caption, transcript, speech"

_speech_decoder = msgspec.json.Decoder(list[SpeechSpan])


class StoreUnknown(Exception):
    """A database of a format that this version does not know."""


@dataclass(frozen=True)
class VectorRow:
    """A keyframe's vector, as the index wants it."""

    event: str
    n: int
    media_us: int
    vector: Vector


@dataclass(frozen=True)
class Erased:
    """What a deletion took away."""

    events: list[str]
    bytes: int
    start_us: int
    end_us: int


class StreamStore:
    """A connection to one database. Use each from one thread; WAL lets a reader go on while the writer commits."""

    def __init__(self, folder: Path, stream: str) -> None:
        self.stream = stream
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / FILE
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
        self.corrupt = 0
        for pragma in (
            "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "wal_autocheckpoint=256",
            "cache_size=-2048",
        ):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        self._create()

    def _create(self) -> None:
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
            schema = resources.files("memory").joinpath("schema.sql").read_text()
            self._db.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
            self.set_meta("format", FORMAT)
        elif self.meta("format") != FORMAT:
            raise StoreUnknown(self.stream)

    # ------------------------------------------------------------ writing (inside a transaction of the writer's)

    def begin(self) -> None:
        """Open a transaction."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable: returns after the fsync."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what was not committed."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def set_meta(self, key: str, value: str) -> None:
        """Keep a setting of the stream."""
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value)
        )

    def put_event(self, event: OpenEvent, *, is_open: bool) -> None:
        """Write an event as it is now, in place of what was there of it."""
        speech = msgspec.json.encode(event.speech)
        size = _EVENT_OVERHEAD + len(speech) + sum(len(one.jpeg) + one.vector.nbytes for one in event.keyframes)
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, 1, NULL, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " end_us = excluded.end_us, open = excluded.open, transcript = excluded.transcript,"
            " speech = excluded.speech, bytes = excluded.bytes",
            (event.id, event.start_us, event.end_us, is_open, event.transcript, speech, size),
        )
        kept = [one.n for one in event.keyframes]
        marks = ",".join("?" * len(kept))
        self._db.execute(f"DELETE FROM frames WHERE event = ? AND n NOT IN ({marks})", (event.id, *kept))  # noqa: S608
        self._db.executemany(
            "INSERT OR IGNORE INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    event.id,
                    f.n,
                    f.media_us,
                    f.jpeg,
                    zlib.crc32(f.jpeg),
                    f.vector.tobytes(),
                    zlib.crc32(f.vector.tobytes()),
                )
                for f in event.keyframes
            ],
        )

    def put_gap(self, gap: GapRecord) -> None:
        """Keep a gap; it goes on with the last one where they touch."""
        last = self._db.execute("SELECT rowid, end_us, reason FROM gaps ORDER BY end_us DESC LIMIT 1").fetchone()
        if last is not None and last[2] == gap.reason and gap.start_us - last[1] <= 1_000_000:
            self._db.execute("UPDATE gaps SET end_us = max(end_us, ?) WHERE rowid = ?", (gap.end_us, last[0]))
        else:
            self._db.execute("INSERT INTO gaps VALUES (?, ?, ?)", (gap.start_us, gap.end_us, gap.reason))

    def close_open_events(self) -> None:
        """At start: what was going on when the process died is closed as it was."""
        self._db.execute("UPDATE events SET open = 0 WHERE open = 1")

    def erase(self, events: Sequence[str], tombstone: tuple[int, int] | None) -> Erased:
        """Delete events and all that is theirs; the tombstone keeps late percepts of that range out for ever."""
        rows = [
            self._db.execute("SELECT id, bytes, start_us, end_us FROM events WHERE id = ?", (event,)).fetchone()
            for event in events
        ]
        found = [row for row in rows if row is not None]
        self._db.executemany("DELETE FROM frames WHERE event = ?", [(row[0],) for row in found])
        self._db.executemany("DELETE FROM events WHERE id = ?", [(row[0],) for row in found])
        start_us = min((row[2] for row in found), default=-1)
        end_us = max((row[3] for row in found), default=-1)
        if tombstone is not None:
            since, until = tombstone
            span = (min(since, start_us) if found else since, max(until, end_us + 1) if found else until)
            self._db.execute("INSERT INTO tombstones VALUES (?, ?)", span)
        return Erased([row[0] for row in found], sum(row[1] for row in found), start_us, end_us)

    def purge(self) -> None:
        """Leave no byte of what was deleted: freed pages are zeroed already, the log is emptied here."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # ------------------------------------------------------------ reading

    def meta(self, key: str) -> str | None:
        """A setting of the stream."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def options(self) -> MemoryOptions:
        """The bounds that were set for this stream."""
        text = self.meta("options")
        return msgspec.json.decode(text, type=MemoryOptions) if text is not None else MemoryOptions()

    def event(self, event: str) -> EventRecord | None:
        """One event."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM events WHERE id = ?", (event,)).fetchone()  # noqa: S608
        return None if row is None else self._record(row)

    def events(self, since_us: int, until_us: int, limit: int, before: tuple[int, str] | None) -> list[EventRecord]:
        """Events that touch [since_us, until_us), newest first, those after `before` (start and id) in that order."""
        start, name = before if before is not None else (2**62, "")
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM events WHERE start_us < ? AND end_us >= ? AND (start_us, id) < (?, ?)"  # noqa: S608
            " ORDER BY start_us DESC, id DESC LIMIT ?",
            (until_us, since_us, start, name, limit),
        ).fetchall()
        return [self._record(row) for row in rows]

    def ids_touching(self, since_us: int, until_us: int) -> list[str]:
        """Ids of the events that touch a range."""
        rows = self._db.execute("SELECT id FROM events WHERE start_us < ? AND end_us >= ?", (until_us, since_us))
        return [row[0] for row in rows]

    def oldest(self) -> tuple[str, int, int] | None:
        """Id, end and bytes of the oldest closed event."""
        row = self._db.execute(
            "SELECT id, end_us, bytes FROM events WHERE open = 0 ORDER BY start_us LIMIT 1"
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def jpeg(self, event: str, n: int) -> bytes | None:
        """A keyframe as stored; None where there is none or its checksum is wrong."""
        row = self._db.execute("SELECT jpeg, jpeg_crc FROM frames WHERE event = ? AND n = ?", (event, n)).fetchone()
        if row is None:
            return None
        if zlib.crc32(row[0]) != row[1]:
            self.corrupt += 1
            return None
        return bytes(row[0])

    def vectors(self) -> Iterator[VectorRow]:
        """Every keyframe's vector whose checksum is right, in order of time."""
        for event, n, media_us, blob, crc in self._db.execute(
            "SELECT event, n, media_us, vector, vector_crc FROM frames ORDER BY media_us"
        ):
            if zlib.crc32(blob) == crc:
                yield VectorRow(event, n, media_us, np.frombuffer(blob, np.float32))
            else:
                self.corrupt += 1

    def spoken(self, since_us: int, until_us: int) -> list[tuple[str, int, int, str]]:
        """Id, start, end and words of the events of a range in which something was said or captioned."""
        return self._db.execute(
            "SELECT id, start_us, end_us, trim(coalesce(transcript, '') || ' ' || coalesce(caption, '')) FROM events"
            " WHERE (transcript IS NOT NULL OR caption IS NOT NULL) AND start_us < ? AND end_us >= ? ORDER BY start_us",
            (until_us, since_us),
        ).fetchall()

    def span(self) -> tuple[int, int]:
        """First start and last end of what is remembered; -1 where there is nothing."""
        start, end = self._db.execute("SELECT min(start_us), max(end_us) FROM events").fetchone()
        return (-1, -1) if start is None else (start, end)

    def last_us(self) -> int:
        """The latest time that anything here speaks of: media time goes on after it."""
        row = self._db.execute(
            "SELECT max((SELECT coalesce(max(end_us), -1) FROM events), (SELECT coalesce(max(end_us), -1) FROM gaps))"
        ).fetchone()
        return int(row[0])

    def gaps(self, since_us: int, until_us: int) -> list[GapRecord]:
        """Gaps that touch a range, in order."""
        rows = self._db.execute(
            "SELECT start_us, end_us, reason FROM gaps WHERE start_us < ? AND end_us > ? ORDER BY start_us",
            (until_us, since_us),
        )
        return [GapRecord(*row) for row in rows]

    def totals(self) -> tuple[int, int, int]:
        """Events, their bytes, gaps."""
        events, size = self._db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM events").fetchone()
        (gaps,) = self._db.execute("SELECT count(*) FROM gaps").fetchone()
        return events, size, gaps

    def tombstones(self) -> list[tuple[int, int]]:
        """Ranges that were forgotten."""
        return [(row[0], row[1]) for row in self._db.execute("SELECT start_us, end_us FROM tombstones")]

    def _record(self, row: Sequence[object]) -> EventRecord:
        name, start, end, is_open, merged, caption, transcript, speech = row
        frames = self._db.execute(
            "SELECT n, media_us FROM frames WHERE event = ? ORDER BY media_us", (name,)
        ).fetchall()
        return EventRecord(
            str(name), self.stream, int(str(start)), int(str(end)), None if caption is None else str(caption),
            None if transcript is None else str(transcript), _speech_decoder.decode(bytes(speech)),  # type: ignore[call-overload]
            int(str(merged)), [FrameRef(*frame) for frame in frames], bool(is_open),
        )  # fmt: skip

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def cursor_of(event: EventRecord) -> str:
    """A page's end, as the client gives it back."""
    return json.dumps([event.start_us, event.id], separators=(",", ":")).encode().hex()


def parse_cursor(cursor: str) -> tuple[int, str]:
    """Where the next page begins. Raises ValueError."""
    start, name = json.loads(bytes.fromhex(cursor))
    if not isinstance(start, int) or not isinstance(name, str):
        raise ValueError(cursor)
    return start, name
