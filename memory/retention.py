"""What a stream may keep: bytes and age. A full budget merges old neighbours, and where that is not enough or they are
too old, the oldest events go whole; a clock that jumps never makes them old."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from memory.failpoints import reach
from memory.merging import Merged, merge
from memory.store import VACUUM_BYTES, Store
from memory.writing import Gone, delete_oldest

_BATCH: Final = 16
_BATCHES: Final = 4
_LONG_HOLE_US: Final = 3_600_000_000
_SLACK_BYTES: Final = 2**20
_HOLD_US: Final = 24 * 3_600_000_000


@dataclass(frozen=True)
class Budget:
    """max_bytes: of the database on disk; max_age_us: before the newest moment, on the stream's own clock.

    keyframes: that a merged event keeps.
    """

    max_bytes: int
    max_age_us: int
    keyframes: int = 3


@dataclass(frozen=True)
class Retained:
    """What went, what was merged; whether more has to go, whether much of the file is free and to be given back."""

    gone: list[Gone]
    merged: list[Merged]
    more: bool
    loose: bool


def retain(store: Store, db: sqlite3.Connection, budget: Budget) -> Retained:
    """Make room for a bounded number of events where there is none. For the writer thread, in a transaction."""
    gone: list[Gone] = []
    merged: list[Merged] = []
    certain_us = _certain(db)
    for _ in range(_BATCHES):
        too_old = [] if certain_us is None else delete_oldest(db, _BATCH, certain_us - budget.max_age_us)
        gone += too_old
        if too_old:
            continue
        if certain_us is None or store.used_bytes() <= budget.max_bytes:
            return Retained(gone, merged, more=False, loose=store.free_bytes() > _SLACK_BYTES)
        coarser = merge(db, certain_us, _BATCH, budget.keyframes)
        merged += coarser
        oldest = delete_oldest(db, 1, None) if not coarser else []
        gone += oldest
        if not coarser and not oldest:
            return Retained(gone, merged, more=False, loose=store.free_bytes() > _SLACK_BYTES)
    return Retained(gone, merged, more=True, loose=False)


def shrink(store: Store) -> bool:
    """Make the file smaller by a piece; whether more of it is free than is kept for what comes next."""
    reach("trim")
    loose = store.free_bytes() - _SLACK_BYTES
    return loose > 0 and (not store.give_back(min(VACUUM_BYTES, loose)) or store.free_bytes() > _SLACK_BYTES)


def _certain(db: sqlite3.Connection) -> int | None:
    """The moment that age counts from, None in an empty store.

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
    return certain
