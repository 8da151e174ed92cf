"""What makes a store of an older format one of the next: each step inside a transaction."""

import sqlite3
from collections.abc import Callable
from typing import Final

from memory.rows import crc_of, row_crc

_TOLD: Final = "id, start_us, end_us, reach_start_us, reach_end_us, open, merged, caption, speech"


def _to_2(db: sqlite3.Connection) -> None:
    """A frame says when its picture was captured."""
    db.execute("ALTER TABLE frames ADD COLUMN captured_us INTEGER")


def _to_3(db: sqlite3.Connection) -> None:
    """Every row that an answer rests on has a checksum, its key in it. An event that is damaged stays so."""
    db.create_function("crc_of", -1, crc_of, deterministic=True)
    db.create_function("row_crc", -1, row_crc, deterministic=True)
    for table, columns in (
        ("meta", "key, value"),
        ("frames", "event, n, media_us, picture, captured_us"),
        ("gaps", "start_us, end_us, reason"),
        ("tombstones", "start_us, end_us"),
    ):
        db.execute(f"ALTER TABLE {table} ADD COLUMN crc INTEGER NOT NULL DEFAULT 0")
        db.execute(f"UPDATE {table} SET crc = row_crc({columns})")  # noqa: S608
    db.execute(f"UPDATE events SET crc = row_crc(seq, {_TOLD}) WHERE crc = crc_of({_TOLD})")  # noqa: S608


STEPS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {1: _to_2, 2: _to_3}
"""By the format that they begin at."""
