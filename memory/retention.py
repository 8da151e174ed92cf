"""What a stream may keep: bytes and age. The oldest events go whole; a clock that jumps never makes them old."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from memory.failpoints import reach
from memory.store import VACUUM_BYTES, Store
from memory.writing import Gone, delete_oldest

_BATCH: Final = 16
_BATCHES: Final = 4
_LONG_HOLE_US: Final = 3_600_000_000
_SLACK_BYTES: Final = 2**20
_HOLD_US: Final = 24 * 3_600_000_000


@dataclass(frozen=True)
class Budget:
    """max_bytes: of the database on disk; max_age_us: before the newest moment, on the stream's own clock."""

    max_bytes: int
    max_age_us: int


@dataclass(frozen=True)
class Retained:
    """What went, whether more has to go, whether so much of the file is free that it is to be given back."""

    gone: list[Gone]
    more: bool
    loose: bool


def retain(store: Store, db: sqlite3.Connection, budget: Budget) -> Retained:
    """Delete a bounded number of events that the budget has no room for. For the writer thread, in a transaction."""
    gone: list[Gone] = []
    before_us = _old_before(db, budget)
    for _ in range(_BATCHES):
        batch = [] if before_us is None else delete_oldest(db, _BATCH, before_us)
        if not batch and store.used_bytes() > budget.max_bytes:
            batch = delete_oldest(db, 1, None)
        if not batch:
            return Retained(gone, more=False, loose=store.free_bytes() > _SLACK_BYTES)
        gone += batch
    return Retained(gone, more=True, loose=False)


def shrink(store: Store) -> bool:
    """Make the file smaller by a piece; whether more of it is free than is kept for what comes next."""
    reach("trim")
    loose = store.free_bytes() - _SLACK_BYTES
    return loose > 0 and (not store.give_back(min(VACUUM_BYTES, loose)) or store.free_bytes() > _SLACK_BYTES)


def _old_before(db: sqlite3.Connection, budget: Budget) -> int | None:
    """Events that end before this are too old, None where none can be.

    Time that nobody saw pass may be an error of a clock, and the next day tells: age counts from before a long hole in
    the stream's time until that is a day old.
    """
    newest = db.execute("SELECT max(end_us) FROM events").fetchone()[0]
    if newest is None:
        return None
    hole = db.execute(
        "SELECT min(start_us) FROM gaps WHERE end_us > ? AND end_us - start_us > ?", (newest - _HOLD_US, _LONG_HOLE_US)
    ).fetchone()[0]
    certain: int = newest if hole is None else min(newest, hole)
    return certain - budget.max_age_us if certain > budget.max_age_us else None
