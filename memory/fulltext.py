"""The full-text index of what was said and captioned: one row for each event with words. All of it follows from the
events, so that it is made anew from them wherever it is damaged."""

import sqlite3
from typing import Final

from memory.rows import EVENT_COLUMNS, event_crc, transcript_of, unpack_speech

MOST_LEVELS: Final = 200
"""FTS5 puts a level higher what it merges as a whole, and cannot read 2000: whoever forgets often comes there."""
_STRUCTURE: Final = 10
"""The row of FTS5's own table that lists its segments: a cookie of four bytes, then how many levels there are."""
_NOTHING: Final = bytes(7)
"""That row where there is no segment."""
_WORDS: Final = "INSERT INTO words (rowid, transcript, caption) VALUES (?, ?, ?)"


def put(db: sqlite3.Connection, seq: int, transcript: str | None, caption: str | None) -> None:
    """What event `seq` says from now on."""
    known = db.execute("SELECT transcript, caption FROM words WHERE rowid = ?", (seq,)).fetchone()
    if known == (transcript, caption) or (known is None and not (transcript or caption)):
        return
    db.execute("DELETE FROM words WHERE rowid = ?", (seq,))
    db.execute(_WORDS, (seq, transcript, caption))


def settle(db: sqlite3.Connection) -> None:
    """Leave no word of a row that is gone: until they are merged, segments keep them."""
    # What begins anew has no levels, but reads all events' words.
    command = "rebuild" if levels(db) >= MOST_LEVELS else "optimize"
    db.execute("INSERT INTO words (words) VALUES (?)", (command,))


def levels(db: sqlite3.Connection) -> int:
    """How high the index has grown; where that cannot be read, too high."""
    row = db.execute("SELECT block FROM words_data WHERE id = ?", (_STRUCTURE,)).fetchone()
    value = 0
    for byte in b"" if row is None else row[0][4:]:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value
    return MOST_LEVELS


def is_readable(db: sqlite3.Connection) -> bool:
    """Whether the index can be opened; what is in its segments is seen by whoever reads them."""
    try:
        db.execute("SELECT rowid FROM words WHERE words MATCH 'transcript : x' LIMIT 1").fetchall()
    except sqlite3.DatabaseError:
        return False
    return True


def agrees(db: sqlite3.Connection) -> bool:
    """Whether it says what its own copy of the words says: 0.6 s for 100 000 events. Raises sqlite3.Error."""
    try:
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return False
    return True


def make_anew(db: sqlite3.Connection) -> None:
    """From all undamaged events. `db` must not have looked into the index before: it would go by what it knows of it.

    FTS5's own `rebuild` would need an index that can be opened, and trust the index's own copy of the words.
    """
    for table in ("words_data", "words_idx", "words_docsize", "words_content"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608
    db.executemany("INSERT INTO words_data VALUES (?, ?)", [(1, b""), (_STRUCTURE, _NOTHING)])
    for seq, *event, crc in db.execute(f"SELECT {EVENT_COLUMNS} FROM events ORDER BY seq"):  # noqa: S608
        if event_crc(seq, event) != crc:
            continue
        caption, transcript = event[-2], transcript_of(unpack_speech(event[-1]))
        if transcript or caption:
            db.execute(_WORDS, (seq, transcript, caption))
