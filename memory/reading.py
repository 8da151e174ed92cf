"""Reading a store, on its own connection: events, frames, words, gaps. Rows whose checksum is wrong are left out."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from memory.keyframes import NUMBER_BITS
from memory.messages import GapRecord
from memory.rows import EVENT_COLUMNS, EventRow, Keyframe, event_crc, is_whole, row_crc, unpack_speech
from memory.spans import Span

_WORDS: Final = ("words", 0)
_MOST_VALUES: Final = 10_000
"""SQLite takes some 32 000 in one query."""
_HULL_SLACK: Final = 8
"""Speech may reach over an event's ends, so that reaches are not in order quite as starts are."""


@dataclass(frozen=True)
class Totals:
    """What a store holds; start and end are -1 when it holds no event."""

    events: int
    start_us: int
    end_us: int
    bytes: int
    gaps: int


NOTHING: Final = Totals(0, -1, -1, 0, 0)


@dataclass(frozen=True)
class VectorBatch:
    """Some keyframes' vectors, in the order of (seq, n). last: where to go on, None at the end."""

    keys: NDArray[np.int64]
    vectors: NDArray[np.float16]
    last: tuple[int, int] | None


class Reader:
    """Queries of one store. `corrupt` holds what was found damaged: (kind, number)."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.corrupt: set[tuple[str, int]] = set()

    @property
    def words_are_damaged(self) -> bool:
        """Whether a search failed by the full-text index."""
        return _WORDS in self.corrupt

    # ------------------------------------------------------------ events

    def totals(self) -> Totals:
        """Counted by triggers. Raises sqlite3.DatabaseError where the count is lost."""
        counted = self._one("SELECT events, bytes FROM totals")
        if counted is None:
            raise sqlite3.DatabaseError("no totals")
        events, size = counted
        start = self._one("SELECT start_us FROM events ORDER BY seq LIMIT 1")
        end = self._one("SELECT end_us FROM events ORDER BY seq DESC LIMIT 1")
        gaps = self._all("SELECT count(*) FROM gaps")[0][0]
        return Totals(events, start[0] if start else -1, end[0] if end else -1, size, gaps)

    def by_id(self, event: str) -> EventRow | None:
        """One event, without its frames' bytes."""
        # A damaged index may lead to another event, or to none.
        rows = [row for row in self._rows("WHERE id = ?", [event]) if row[1] == event] or self._by_scan(event)
        return next(iter(self._with_frames(rows)), None)

    def _by_scan(self, event: str) -> list[tuple[Any, ...]]:
        """An event that its index does not lead to. Takes 10 ms of 100 000, wherever one is asked for that is gone."""
        found = self._one("SELECT seq FROM events NOT INDEXED WHERE id = ?", event)
        if found is None:
            return []
        self.corrupt.add(("event ids", 0))
        return self._rows("WHERE seq = ?", found)

    def by_seq(self, seqs: Iterable[int]) -> dict[int, EventRow]:
        """Events by number, without their frames' bytes."""
        wanted = list(seqs)
        parts = (wanted[at : at + _MOST_VALUES] for at in range(0, len(wanted), _MOST_VALUES))
        return {row.seq: row for part in parts for row in self._events(f"WHERE seq IN ({_marks(part)})", part)}

    def newest(self, since_us: int, until_us: int, before: int, limit: int) -> list[EventRow]:
        """Events that touch [since, until) with a number below `before`, newest first."""
        where = "WHERE reach_start_us < ? AND reach_end_us > ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        found: list[EventRow] = []
        while len(found) < limit:
            rows = self._rows(where, [until_us, since_us, before, limit])
            found += self._with_frames(rows)
            if len(rows) < limit:
                break
            before = rows[-1][0]
        return found[:limit]

    def oldest(self, since_us: int, until_us: int, limit: int) -> list[EventRow]:
        """Events that touch [since, until), oldest first."""
        where = "WHERE reach_start_us < ? AND reach_end_us > ? ORDER BY seq LIMIT ?"
        return self._events(where, [until_us, since_us, limit])

    def after(self, seq: int, limit: int) -> list[EventRow]:
        """Events numbered behind `seq`, in order."""
        found: list[EventRow] = []
        while not found:
            rows = self._rows("WHERE seq > ? ORDER BY seq LIMIT ?", [seq, limit])
            if not rows:
                break
            found, seq = self._with_frames(rows), rows[-1][0]
        return found

    def hull(self, since_us: int, until_us: int) -> tuple[int, int]:
        """Numbers [low, high) within which all events lie that touch [since, until); some others may."""
        low = self._one("SELECT seq FROM events WHERE reach_end_us > ? ORDER BY reach_end_us LIMIT 1", since_us)
        high = self._one(
            "SELECT seq FROM events WHERE reach_start_us < ? ORDER BY reach_start_us DESC LIMIT 1", until_us
        )
        if low is None or high is None:
            return (0, 0)
        return max(0, low[0] - _HULL_SLACK), high[0] + _HULL_SLACK + 1

    def sample(self, low: int, high: int, count: int) -> list[int]:
        """Numbers of up to so many events of [low, high), spread evenly."""
        if high <= low:
            return []
        probes = np.linspace(low, high - 1, min(count, high - low)).astype(int)
        found = {self._one("SELECT seq FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", int(at)) for at in probes}
        return sorted(row[0] for row in found if row is not None and row[0] < high)

    def spans(self) -> list[Span]:
        """[start, end) of every event. Where they are not as many as were counted, some are lost."""
        rows = self._all("SELECT start_us, end_us FROM events ORDER BY seq")
        counted = self._one("SELECT events FROM totals")
        if counted is not None and counted[0] != len(rows):
            self.corrupt.add(("events", 0))
        return [(start, max(end, start + 1)) for start, end in rows]

    def next_numbers(self) -> tuple[int, int]:
        """Numbers for the next event and the next picture."""
        tops = ("max(seq) FROM events", "max(event) FROM doomed", "max(id) FROM pictures")
        event, doomed, picture = (self._all(f"SELECT {top}")[0][0] or 0 for top in tops)
        return max(event, doomed) + 1, picture + 1

    def _events(self, where: str, values: Sequence[object]) -> list[EventRow]:
        return self._with_frames(self._rows(where, values))

    def _rows(self, where: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._all(f"SELECT {EVENT_COLUMNS} FROM events {where}", *values)  # noqa: S608

    def _with_frames(self, rows: Sequence[tuple[Any, ...]]) -> list[EventRow]:
        """The events that are undamaged."""
        frames = self._frames([row[0] for row in rows])
        return [event for row in rows if (event := self._event(row, frames.get(row[0], ()))) is not None]

    def _event(self, row: tuple[Any, ...], frames: Sequence[Keyframe]) -> EventRow | None:
        seq, *told, crc = row
        event, start_us, end_us, _, reach_end_us, is_open, merged, caption, blob = told
        try:
            if event_crc(seq, told) != crc:
                raise ValueError("checksum")
            speech = unpack_speech(blob)
        except (ValueError, msgspec.MsgspecError):
            self.corrupt.add(("event", seq))
            return None
        observed_us = max(end_us, reach_end_us - 1) if not speech else end_us
        return EventRow(
            seq, event, start_us, end_us, observed_us, bool(is_open), tuple(frames), speech, b"", caption, merged
        )  # fmt: skip

    def _frames(self, seqs: Sequence[int]) -> dict[int, list[Keyframe]]:
        found: dict[int, list[Keyframe]] = {}
        where = f"WHERE event IN ({_marks(seqs)}) ORDER BY 1, 3"
        rows = self._all(f"SELECT event, n, media_us, picture, captured_us, crc FROM frames {where}", *seqs)  # noqa: S608
        for event, n, media_us, picture, captured_us, crc in rows:
            if row_crc(event, n, media_us, picture, captured_us) != crc:
                self.corrupt.add(("frame", event << NUMBER_BITS | n))
                continue
            captured = media_us if captured_us is None else captured_us
            found.setdefault(event, []).append(Keyframe(n, media_us, picture, b"", b"", captured))
        return found

    # ------------------------------------------------------------ frames

    def jpeg(self, event: str, n: int) -> bytes | None:
        """A stored frame of an event that is there, None where there is none or it is damaged."""
        found = self.by_id(event)
        picture = next((frame.picture for frame in found.frames if frame.n == n), None) if found is not None else None
        return None if picture is None else self.picture(picture)

    def picture(self, picture: int) -> bytes | None:
        """A picture that a frame shows, None where it is damaged."""
        row = self._one("SELECT crc, jpeg FROM pictures WHERE id = ?", picture)
        if row is None or not is_whole(picture, row[1], row[0]):
            self.corrupt.add(("picture", picture))
            return None
        jpeg: bytes = row[1]
        return jpeg

    def keyframe(self, seq: int, frame: Keyframe) -> Keyframe | None:
        """A frame of an event with its bytes, None where it is gone or damaged."""
        row = self._one(
            "SELECT p.crc, p.jpeg, v.crc, v.vector FROM frames f JOIN pictures p ON p.id = f.picture"
            " JOIN vectors v ON v.picture = f.picture WHERE f.event = ? AND f.n = ?", seq, frame.n,
        )  # fmt: skip
        if row is None or not (is_whole(frame.picture, row[1], row[0]) and is_whole(frame.picture, row[3], row[2])):
            return None
        return msgspec.structs.replace(frame, jpeg=row[1], vector=row[3])

    def vectors(self, after: tuple[int, int], below: int, dim: int, limit: int) -> VectorBatch:
        """Up to so many keyframe vectors of closed events behind (seq, n), of events numbered below `below`."""
        rows = self._all(
            "SELECT f.event, f.n, v.picture, v.dim, v.crc, v.vector FROM frames f JOIN events e ON e.seq = f.event"
            " JOIN vectors v ON v.picture = f.picture WHERE (f.event, f.n) > (?, ?) AND f.event < ?"
            " ORDER BY f.event, f.n LIMIT ?", *after, below, limit,
        )  # fmt: skip
        good = [row for row in rows if self._vector_is_good(row[2], row[3], row[4], row[5], dim)]
        keys = np.array([[row[0], row[1]] for row in good], dtype=np.int64).reshape(-1, 2)
        halves = np.frombuffer(b"".join(row[5] for row in good), dtype=np.float16).reshape(-1, dim)
        last = (rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        return VectorBatch(keys, halves, last)

    def _vector_is_good(self, picture: int, stored_dim: int, crc: int, blob: bytes, dim: int) -> bool:
        """Of this encoder's length and undamaged; another encoder's vectors are no damage."""
        if not is_whole(picture, blob, crc):
            self.corrupt.add(("vector", picture))
            return False
        return stored_dim == dim and len(blob) == 2 * dim

    # ------------------------------------------------------------ words, gaps

    def matching(
        self, words: Sequence[str], low: int, high: int, limit: int, *, said: bool = False
    ) -> list[tuple[int, float]]:
        """Events of [low, high) in which any of the words was said or captioned: (seq, score), best first.

        said: captions do not count.
        """
        if not words:
            return []
        query = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
        query = f"transcript : ({query})" if said else query
        try:
            rows = self._all(
                "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ?"
                " ORDER BY rank LIMIT ?", query, low, high, limit,
            )  # fmt: skip
        except sqlite3.DatabaseError:
            # Vectors and times still find what words cannot.
            self.corrupt.add(_WORDS)
            return []
        return [(seq, score) for seq, score in rows]

    def spoken(self, low: int, high: int, limit: int) -> list[int]:
        """The newest events of [low, high) with words."""
        query = "SELECT rowid FROM words WHERE rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
        return [seq for (seq,) in self._all(query, low, high, limit)]

    def gaps(self, since_us: int, until_us: int, limit: int) -> list[GapRecord]:
        """The newest gaps that touch [since, until), in time order."""
        rows = self._all(
            "SELECT start_us, end_us, reason, crc FROM gaps WHERE start_us < ? AND end_us > ? ORDER BY 1 DESC LIMIT ?",
            until_us, since_us, limit,
        )  # fmt: skip
        return [GapRecord(*told) for told in reversed(self._undamaged("gap", rows))]

    def tombstones(self) -> list[Span]:
        """Forgotten ranges."""
        rows = self._all("SELECT start_us, end_us, crc FROM tombstones ORDER BY start_us")
        return [(start, end) for start, end in self._undamaged("tombstone", rows)]

    def _undamaged(self, kind: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows without their checksum, which comes last; those that it does not fit are left out."""
        self.corrupt |= {(kind, told[0]) for *told, crc in rows if row_crc(*told) != crc}
        return [tuple(told) for *told, crc in rows if row_crc(*told) == crc]

    def meta(self, key: str, default: str = "") -> str:
        """A setting. Raises sqlite3.DatabaseError where it is damaged: nothing holds without it."""
        row = self._one("SELECT key, value, crc FROM meta WHERE key = ?", key)
        if row is None:
            return default
        if row[0] != key or row_crc(key, row[1]) != row[2]:
            raise sqlite3.DatabaseError("a setting is damaged")
        return str(row[1])

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        # Everything is fetched at once: an open cursor would hold up the checkpoint that forgetting waits for.
        return self._db.execute(query, values).fetchall()


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
