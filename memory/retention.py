"""What a stream may keep: bytes and age. The oldest events go whole; a clock that jumps never makes them old."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from memory.store import Store
from memory.writing import Gone, delete_oldest

_BATCH: Final = 16
_BATCHES: Final = 4
_LONG_HOLE_US: Final = 3_600_000_000
_HOLD_US: Final = 24 * 3_600_000_000


@dataclass(frozen=True)
class Budget:
    """max_bytes: of the database on disk; max_age_us: before the newest moment, on the stream's own clock."""

    max_bytes: int
    max_age_us: int


@dataclass(frozen=True)
class Retained:
    """What went, and whether more has to go."""

    gone: list[Gone]
    more: bool


def retain(store: Store, db: sqlite3.Connection, budget: Budget) -> Retained:
    """Delete a bounded number of events that the budget has no room for. For the writer thread, in a transaction."""
    gone: list[Gone] = []
    before_us = _old_before(db, budget)
    for _ in range(_BATCHES):
        over = store.used_bytes() > budget.max_bytes
        if not over and before_us is None:
            return Retained(gone, more=False)
        batch = delete_oldest(db, _BATCH if before_us is not None else 1, None if over else before_us)
        gone += batch
        if not batch:
            return Retained(gone, more=False)
    return Retained(gone, more=True)


def _old_before(db: sqlite3.Connection, budget: Budget) -> int | None:
    """Events that end before this are too old.

    None while a long hole in the stream's time is less than a day old: time that nobody saw pass may be an error
    of a clock, and the next day tells.
    """
    end = db.execute("SELECT max(end_us) FROM events").fetchone()[0]
    if end is None or end <= budget.max_age_us:
        return None
    hole = db.execute(
        "SELECT 1 FROM gaps WHERE end_us > ? AND end_us - start_us > ? LIMIT 1", (end - _HOLD_US, _LONG_HOLE_US)
    ).fetchone()
    return None if hole else end - budget.max_age_us
