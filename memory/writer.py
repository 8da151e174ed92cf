"""The writer thread: jobs in, their outcomes back after they are on disk. Jobs of one store share a commit."""

import errno
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memory.failpoints import reach
from memory.store import Store
from perception.messages import Fault

log = logging.getLogger(__name__)

FULL: Final = Fault("storage_full", "the disk is full: free space, or lower max_bytes of this or another stream")
BROKEN: Final = Fault(
    "internal_error", "the stream's memory cannot be written: look at the disk and restart the server"
)
_READMIT_SHARE: Final = 0.05
_READMIT_MOST_BYTES: Final = 256 * 2**20
_GROUP: Final = 256


@dataclass
class Job:
    """Work on one store.

    run: called on the writer thread, in a transaction unless `alone`; done / failed: called by `Writer.collect` on the
    stage's thread, after the commit. growth: bytes that it adds; one that adds is refused below the low-water mark.
    """

    store: Store
    run: Callable[[sqlite3.Connection], Any]
    done: Callable[[Any], None]
    failed: Callable[[Fault], None]
    growth: int = 0
    alone: bool = False
    result: Any = field(default=None, init=False)
    fault: Fault | None = field(default=None, init=False)


class Writer:
    """Commits in the order of `put`, for each store. `notify` is called on the writer thread when jobs are done."""

    def __init__(self, folder: Path, low_water_bytes: int, notify: Callable[[], None] | None = None) -> None:
        self._space = _Space(folder, low_water_bytes)
        self._notify = notify
        self._condition = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._done: deque[Job] = deque()
        self._outstanding = 0
        self._growth = 0
        self._closing = False
        self._died: str | None = None
        self._thread = threading.Thread(target=self._work, name="memory-writer", daemon=True)
        self._thread.start()

    @property
    def outstanding(self) -> int:
        """Jobs whose outcome was not collected yet."""
        return self._outstanding

    @property
    def backlog_bytes(self) -> int:
        """What the jobs that wait will add."""
        return self._growth

    @property
    def finished(self) -> bool:
        """Whether `collect` has something, or has to say that nothing will come any more."""
        return bool(self._done) or self._died is not None

    def put(self, job: Job) -> None:
        """Queue a job."""
        with self._condition:
            self._outstanding += 1
            self._growth += job.growth
            self._jobs.append(job)
            self._condition.notify_all()

    def collect(self) -> int:
        """Run what is to follow finished jobs; how many there were.

        Raises RuntimeError when the thread has died: nothing would ever be stored or forgotten again, so the process
        that this is in has to end.
        """
        count = 0
        while self._done:
            job = self._done.popleft()
            count += 1
            self._outstanding -= 1
            if job.fault is None:
                job.done(job.result)
            else:
                job.failed(job.fault)
        if self._died is not None:
            raise RuntimeError(f"memory's writer thread died by {self._died}")
        return count

    def wait(self, seconds: float) -> bool:
        """Wait until a job is done."""
        with self._condition:
            return self._condition.wait_for(lambda: self.finished, seconds)

    def close(self) -> None:
        """Finish all jobs and end the thread; outcomes may still be collected."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._thread.join()

    # ------------------------------------------------------------ writer thread

    def _work(self) -> None:
        try:
            self._work_on()
        except BaseException as error:  # noqa: BLE001
            with self._condition:
                self._died = type(error).__name__
                self._condition.notify_all()
            if self._notify is not None:
                self._notify()

    def _work_on(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._jobs or self._closing)
                jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), _GROUP))]
            if not jobs:
                return
            for group in _groups(jobs):
                self._commit(group)
                self._finish(group)

    def _finish(self, group: Sequence[Job]) -> None:
        with self._condition:
            self._done.extend(group)
            self._growth -= sum(job.growth for job in group)
            self._condition.notify_all()
        if self._notify is not None:
            self._notify()

    def _commit(self, group: Sequence[Job]) -> None:
        """One transaction for all; where that fails, one for each, so that one bad job is alone in failing."""
        fault = self._try(group)
        if fault is not None and len(group) > 1:
            for job in group:
                job.fault = self._try([job])
        else:
            for job in group:
                job.fault = fault

    def _try(self, group: Sequence[Job]) -> Fault | None:
        store = group[0].store
        try:
            if store.broken:
                return BROKEN
            if any(job.growth for job in group) and not self._space.enough():
                return FULL
            _run_mended(store, group)
            store.committed(sum(job.growth for job in group))
        except (sqlite3.Error, OSError) as error:
            return self._fault(store, error)
        except Exception as error:  # noqa: BLE001
            # Whatever a job raises, the others behind it are still to be done.
            log.error("a store cannot be written: %s", type(error).__name__)
            return BROKEN
        return None

    def _fault(self, store: Store, error: sqlite3.Error | OSError) -> Fault:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            self._space.ran_out()
            return FULL
        log.error("a store cannot be written: %s", getattr(error, "sqlite_errorname", type(error).__name__))
        if code is not None and code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            # What a failed fsync left in the page cache is unknown: nothing is acknowledged after it.
            store.broken = True
        return BROKEN


def _run_mended(store: Store, group: Sequence[Job]) -> None:
    """Run; where a damaged index is in the way, make that anew and run again."""
    mend = {sqlite3.SQLITE_CORRUPT_VTAB: store.mend_words, sqlite3.SQLITE_CORRUPT_INDEX: store.mend_indexes}
    try:
        _run(store.db, group)
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code not in mend:
            raise
        mend[code]()
        _run(store.db, group)


def _run(db: sqlite3.Connection, group: Sequence[Job]) -> None:
    if group[0].alone:
        group[0].result = group[0].run(db)
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for job in group:
            job.result = job.run(db)
        reach("insert")
        db.execute("COMMIT")
        reach("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs by store, in order; one that stands alone ends a group."""
    groups: list[list[Job]] = []
    open_groups: dict[int, list[Job]] = {}
    for job in jobs:
        known = open_groups.get(id(job.store))
        if known is None or job.alone or known[0].alone:
            known = open_groups[id(job.store)] = []
            groups.append(known)
        known.append(job)
    return groups


class _Space:
    """Whether the disk has room for more; once it had none, room for somewhat more is asked."""

    def __init__(self, folder: Path, low_water_bytes: int) -> None:
        self._folder = folder
        self._low_water_bytes = low_water_bytes
        self._full = False

    def enough(self) -> bool:
        """Look."""
        stat = os.statvfs(self._folder)
        free, size = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
        more = min(_READMIT_MOST_BYTES, int(size * _READMIT_SHARE)) if self._full else 0
        self._full = free < self._low_water_bytes + more
        return not self._full

    def ran_out(self) -> None:
        """A write found no room."""
        self._full = True
