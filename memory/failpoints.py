"""Places at which a test has the process die as by a power cut; unarmed, they do nothing.

insert: rows are written, not committed. commit: committed, not yet told. wal: before the log is emptied. tmp: a new
store is filled in a folder beside its place. fsync: that folder is on disk. rename: the store has its place. dirfsync:
the place is on disk. trim: forgotten rows are gone, their pages not yet given back.
"""

import os
from typing import Final

NAMES: Final = ("insert", "commit", "wal", "tmp", "fsync", "rename", "dirfsync", "trim")
_KILL: Final = 9
_armed: dict[str, int] = {}


def arm(name: str, times: int = 1) -> None:
    """Die when the place is reached for the `times`-th time. Raises ValueError for a place that there is none of."""
    if name not in NAMES:
        raise ValueError(f"no failpoint is called {name}")
    _armed[name] = times


def reach(name: str) -> None:
    """The place is reached."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os.kill(os.getpid(), _KILL)
