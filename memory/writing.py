"""What changes a store: each function runs inside a transaction of the writer thread."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from memory import fulltext
from memory.messages import GapRecord
from memory.rows import (
    EVENT_BYTES,
    EVENT_COLUMNS,
    EventRow,
    Keyframe,
    Spoken,
    crc_of,
    event_crc,
    pack_speech,
    reach_of,
    row_crc,
    stored_bytes,
    text_bytes,
    transcript_of,
    unpack_speech,
    with_speech,
)
from memory.spans import Span, Spans

_GAP_JOINT_US: Final = 2_000_000


@dataclass(frozen=True)
class Gone:
    """An event that was deleted: [start_us, end_us) that it covered, the reach of all that it held."""

    seq: int
    id: str
    start_us: int
    end_us: int
    reach_start_us: int
    reach_end_us: int
    bytes: int


@dataclass(frozen=True)
class Kept:
    """What is left of an event that was given up: its time until `end_us`, some of its frames."""

    end_us: int
    numbers: frozenset[int]


@dataclass(frozen=True)
class Hidden:
    """A frame of an event that stays; its picture was captured in a time that is forgotten."""

    seq: int
    n: int
    event: str


@dataclass(frozen=True)
class Forgot:
    """What forgetting took away. dead: when nothing is known to have been seen any more."""

    gone: list[Gone]
    hidden: list[Hidden]
    dead: list[Span]


def set_meta(db: sqlite3.Connection, key: str, value: str) -> None:
    """Keep a setting."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, row_crc(key, value)))


def mark_end(db: sqlite3.Connection, end_us: int) -> None:
    """Media time that was stored is never given out again, not even after it is forgotten."""
    known = db.execute("SELECT value FROM meta WHERE key = 'end_us'").fetchone()
    if known is None or int(known[0]) < end_us:
        set_meta(db, "end_us", str(end_us))


# ---------------------------------------------------------------- events


def put_event(db: sqlite3.Connection, row: EventRow) -> None:
    """Insert an event or bring it up to date. What was forgotten before this comes to the disk does not come back."""
    row = row.without(lambda moment: _is_dead(db, moment))
    _put_frames(db, row.seq, row.frames)
    charged = [frame for frame in row.frames if _owner(db, frame.picture) == row.seq]
    size = EVENT_BYTES + text_bytes(row) + sum(stored_bytes(len(one.jpeg), len(one.vector)) for one in charged)
    _put_row(db, row, size)
    _put_vector(db, row)
    fulltext.put(db, row.seq, row.transcript, row.caption)
    mark_end(db, max(row.end_us, row.observed_us))


def _put_row(db: sqlite3.Connection, row: EventRow, size: int) -> None:
    told = (
        row.id, row.start_us, row.end_us, *row.reach, int(row.open), row.merged, row.caption, pack_speech(row.speech)
    )  # fmt: skip
    db.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET"
        " end_us = excluded.end_us, reach_start_us = excluded.reach_start_us, reach_end_us = excluded.reach_end_us,"
        " open = excluded.open, merged = excluded.merged, caption = excluded.caption, speech = excluded.speech,"
        " bytes = excluded.bytes, crc = excluded.crc",
        (row.seq, *told, size, event_crc(row.seq, told)),
    )


def _put_vector(db: sqlite3.Connection, row: EventRow) -> None:
    if row.vector:
        db.execute("INSERT OR REPLACE INTO event_vectors VALUES (?, ?, ?)", (row.seq, crc_of(row.vector), row.vector))
    else:
        db.execute("DELETE FROM event_vectors WHERE event = ?", (row.seq,))


def _is_dead(db: sqlite3.Connection, moment: int) -> bool:
    query = "SELECT end_us FROM tombstones WHERE start_us <= ? ORDER BY start_us DESC LIMIT 1"
    found = db.execute(query, (moment,)).fetchone()
    return found is not None and moment < found[0]


def _put_frames(db: sqlite3.Connection, seq: int, frames: Iterable[Keyframe]) -> None:
    stored = dict(db.execute("SELECT n, picture FROM frames WHERE event = ?", (seq,)).fetchall())
    wanted = {frame.n: frame for frame in frames}
    for n, picture in stored.items():
        if n not in wanted or wanted[n].picture != picture:
            db.execute("DELETE FROM frames WHERE event = ? AND n = ?", (seq, n))
            _drop_unused(db, [picture])
    for n, frame in wanted.items():
        if stored.get(n) != frame.picture:
            told = (seq, n, frame.media_us, frame.picture, frame.captured_us)
            db.execute("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)", (*told, row_crc(*told)))
            _put_picture(db, frame)


def _put_picture(db: sqlite3.Connection, frame: Keyframe) -> None:
    db.execute(
        "INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)",
        (frame.picture, crc_of(frame.picture, frame.jpeg), frame.jpeg),
    )
    db.execute(
        "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)",
        (frame.picture, len(frame.vector) // 2, crc_of(frame.picture, frame.vector), frame.vector),
    )


def _owner(db: sqlite3.Connection, picture: int) -> int | None:
    """The oldest event that shows a picture: its bytes are counted there."""
    found: int | None = db.execute("SELECT min(event) FROM frames WHERE picture = ?", (picture,)).fetchone()[0]
    return found


def add_speech(db: sqlite3.Connection, seq: int, said: Spoken) -> bool:
    """Speech that became known after its event was closed. False: there is no such undamaged event; nothing is kept."""
    row = db.execute(
        "SELECT id, start_us, end_us, reach_start_us, reach_end_us, open, merged, caption, speech, crc FROM events"
        " WHERE seq = ?", (seq,),
    ).fetchone()  # fmt: skip
    if row is None or event_crc(seq, row[:-1]) != row[-1]:
        return False
    event, start_us, end_us, _, reach_end_us, is_open, merged, caption, blob, _ = row
    speech = with_speech(unpack_speech(blob), said)
    reach = reach_of(start_us, max(end_us, reach_end_us), speech)
    told = (event, start_us, end_us, *reach, is_open, merged, caption, pack_speech(speech))
    db.execute(
        "UPDATE events SET reach_start_us = ?, reach_end_us = ?, speech = ?, bytes = bytes + ?, crc = ? WHERE seq = ?",
        (*reach, told[-1], len(said.text or "") * 2, event_crc(seq, told), seq),
    )
    fulltext.put(db, seq, transcript_of(speech), caption)
    return True


def set_caption(db: sqlite3.Connection, event: str, text: str) -> bool:
    """What is to be seen in a closed event. False: there is no such undamaged event any more; nothing is kept."""
    row = db.execute(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE id = ? AND NOT open", (event,),  # noqa: S608
    ).fetchone()  # fmt: skip
    if row is None or event_crc(row[0], row[1:-1]) != row[-1]:
        return False
    seq, *told, _ = row
    growth = 2 * (len(text) - len(told[7] or ""))
    told[7] = text
    db.execute(
        "UPDATE events SET caption = ?, bytes = bytes + ?, crc = ? WHERE seq = ?",
        (text, growth, event_crc(seq, told), seq),
    )
    fulltext.put(db, seq, transcript_of(unpack_speech(told[8])), text)
    return True


def close_open_events(db: sqlite3.Connection) -> int:
    """Events that a process which died left open end where they are."""
    return len(_close(db, "open", ()))


def give_up(db: sqlite3.Connection, seq: int, gap: GapRecord) -> Kept | None:
    """An event that cannot be stored as it ended: it ends as it was stored last, if it was; the rest is a gap."""
    ends = _close(db, "open AND seq = ?", (seq,))
    for end_us in ends:
        gap = GapRecord(max(end_us, gap.start_us + 1), gap.end_us, gap.reason)
    if gap.start_us < gap.end_us:
        put_gap(db, gap)
    if not ends:
        return None
    numbers = db.execute("SELECT n FROM frames WHERE event = ?", (seq,))
    return Kept(gap.start_us, frozenset(n for (n,) in numbers))


def _close(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[int]:
    """Close open events as they stand; where they end. One that is damaged stays so."""
    rows = db.execute(f"SELECT {EVENT_COLUMNS} FROM events WHERE {where}", values).fetchall()  # noqa: S608
    rows = [row for row in rows if event_crc(row[0], row[1:-1]) == row[-1]]
    for seq, *told, _ in rows:
        told[5] = 0
        db.execute("UPDATE events SET open = 0, crc = ? WHERE seq = ?", (event_crc(seq, told), seq))
    return [row[3] for row in rows]


def put_gap(db: sqlite3.Connection, gap: GapRecord) -> None:
    """A gap; one that follows another of its kind closely makes it longer."""
    before = db.execute(
        "SELECT start_us, end_us, reason, crc FROM gaps WHERE start_us <= ? ORDER BY start_us DESC LIMIT 1",
        (gap.start_us,),
    ).fetchone()
    if (
        before is not None
        and row_crc(*before[:3]) == before[3]
        and before[2] == gap.reason
        and gap.start_us - before[1] <= _GAP_JOINT_US
    ):
        gap = GapRecord(before[0], max(before[1], gap.end_us), gap.reason)
    told = (gap.start_us, gap.end_us, gap.reason)
    db.execute("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?)", (*told, row_crc(*told)))
    mark_end(db, gap.end_us)


# ---------------------------------------------------------------- deleting


def forget(
    db: sqlite3.Connection, event: str | None, since_us: int, until_us: int, also: Sequence[tuple[int, int, int]]
) -> Forgot:
    """Make events unreadable and their time dead; `wipe` takes their bytes.

    With `event` only that one. also: (seq, start, end) of events that in RAM last longer than their rows. An event that
    stays loses the pictures that were captured in the dead time. Every transaction after this one finds nothing of it.
    """
    touching = "(reach_start_us < ? AND reach_end_us > ?)"
    # Not by the index of ids, which may be damaged: what is there has to go.
    where, values = ("+id = ?", [event]) if event is not None else (touching, [until_us, since_us])
    gone = _gone(db, f"{where} OR seq IN ({', '.join('?' * len(also))})", [*values, *(seq for seq, _, _ in also)])
    dead = Spans([*((start, end) for _, start, end in also), *((one.start_us, one.end_us) for one in gone)])
    if event is None:
        dead.add(since_us, until_us)
        db.execute("DELETE FROM gaps WHERE start_us >= ? AND end_us <= ?", (since_us, until_us))
    for span in dead:
        _bury(db, *span)
    delete_rows(db, (one.seq for one in gone))
    db.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", [(one.seq,) for one in gone])
    hidden = [frame for span in dead for frame in _hide(db, *span)]
    set_meta(db, "purge", "due")
    return Forgot(gone, hidden, list(dead))


def _hide(db: sqlite3.Connection, start_us: int, end_us: int) -> list[Hidden]:
    """Take pictures that were captured in [start, end) from the events that stay."""
    found = db.execute(
        "SELECT event, n, id, picture FROM (SELECT f.event, f.n, e.id, f.picture, coalesce(f.captured_us,"
        " (SELECT min(media_us) FROM frames WHERE picture = f.picture)) AS captured_us"
        " FROM frames f JOIN events e ON e.seq = f.event) WHERE captured_us >= ? AND captured_us < ?",
        (start_us, end_us),
    ).fetchall()
    db.executemany("DELETE FROM frames WHERE event = ? AND n = ?", [(seq, n) for seq, n, _, _ in found])
    db.executemany("DELETE FROM event_vectors WHERE event = ?", [(seq,) for seq, _, _, _ in found])
    _drop_unused(db, {picture for _, _, _, picture in found})
    return [Hidden(seq, n, event) for seq, n, event, _ in found]


def _gone(db: sqlite3.Connection, where: str, values: Sequence[object]) -> list[Gone]:
    columns = "seq, id, start_us, max(end_us, start_us + 1), reach_start_us, reach_end_us, bytes"
    return [Gone(*row) for row in db.execute(f"SELECT {columns} FROM events WHERE {where} ORDER BY seq", values)]  # noqa: S608


def _bury(db: sqlite3.Connection, start_us: int, end_us: int) -> None:
    """Add a tombstone, joined with those that it touches."""
    rows = db.execute(
        "SELECT start_us, end_us, crc FROM tombstones WHERE start_us <= ? AND end_us >= ?", (end_us, start_us)
    ).fetchall()
    touching = [(start, end) for start, end, crc in rows if row_crc(start, end) == crc]
    start_us = min([start_us, *(start for start, _ in touching)])
    end_us = max([end_us, *(end for _, end in touching)])
    db.executemany("DELETE FROM tombstones WHERE start_us = ?", [(start,) for start, _ in touching])
    told = (start_us, end_us, row_crc(start_us, end_us))
    db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)", told)


def wipe(db: sqlite3.Connection, events: int) -> bool:
    """Delete the pictures of up to so many forgotten events. False: none was left."""
    batch = [seq for (seq,) in db.execute("SELECT event FROM doomed LIMIT ?", (events,))]
    for seq in batch:
        drop_frames(db, seq)
    db.executemany("DELETE FROM doomed WHERE event = ?", [(seq,) for seq in batch])
    return bool(batch)


def delete_oldest(db: sqlite3.Connection, events: int, before_us: int | None) -> list[Gone]:
    """Retention: the oldest closed events, whole; with `before_us` only those that end before it."""
    where = "NOT open" if before_us is None else f"NOT open AND reach_end_us < {before_us:d}"
    seqs = f"SELECT seq FROM events WHERE {where} ORDER BY seq LIMIT {events:d}"  # noqa: S608
    gone = _gone(db, f"seq IN ({seqs})", [])
    for one in gone:
        drop_frames(db, one.seq)
    delete_rows(db, (one.seq for one in gone))
    return gone


def delete_rows(db: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Delete events but for their frames."""
    for seq in seqs:
        for table, key in (("words", "rowid"), ("event_vectors", "event"), ("events", "seq")):
            db.execute(f"DELETE FROM {table} WHERE {key} = ?", (seq,))  # noqa: S608


def drop_frames(db: sqlite3.Connection, seq: int) -> None:
    """Delete an event's frames, and the pictures that no other event shows."""
    pictures = [picture for (picture,) in db.execute("SELECT picture FROM frames WHERE event = ?", (seq,))]
    db.execute("DELETE FROM frames WHERE event = ?", (seq,))
    _drop_unused(db, pictures)


def set_size(db: sqlite3.Connection, row: EventRow) -> None:
    """Count an event's bytes anew, from what is stored."""
    query = "SELECT length(p.jpeg), length(v.vector) FROM pictures p JOIN vectors v ON v.picture = p.id WHERE p.id = ?"
    charged = {frame.picture for frame in row.frames if _owner(db, frame.picture) == row.seq}
    sizes = [size for picture in charged if (size := db.execute(query, (picture,)).fetchone()) is not None]
    size = EVENT_BYTES + text_bytes(row) + sum(stored_bytes(*one) for one in sizes)
    db.execute("UPDATE events SET bytes = ? WHERE seq = ?", (size, row.seq))


def _drop_unused(db: sqlite3.Connection, pictures: Iterable[int]) -> None:
    for picture in pictures:
        if _owner(db, picture) is None:
            db.execute("DELETE FROM pictures WHERE id = ?", (picture,))
            db.execute("DELETE FROM vectors WHERE picture = ?", (picture,))
