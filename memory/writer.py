"""The writer thread: all commits of the process, so that neither the stage nor a recall ever waits for an fsync."""

import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from memory.store import StreamStore

log = logging.getLogger(__name__)

_GROUP: Final = 64
"""The most jobs of one store that share a commit."""


@dataclass(frozen=True)
class Job:
    """Something to do inside a transaction. then: called by the stage with what `work` returned, once it is durable.

    failed: called by the stage with the error instead.
    """

    store: StreamStore
    work: Callable[[StreamStore], Any]
    then: Callable[[Any], None]
    failed: Callable[[sqlite3.Error], None]
    purge: bool = False


class Writer:
    """Jobs in; their outcomes out, in order, collected by the stage's own thread."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._open = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        with self._lock:
            self._open += 1
        self._jobs.put(job)

    @property
    def finished(self) -> bool:
        """Whether outcomes wait to be collected."""
        return bool(self._done)

    @property
    def idle(self) -> bool:
        """Whether every job is done and collected."""
        with self._lock:
            return self._open == 0 and not self._done

    def collect(self) -> None:
        """Call `then` or `failed` of what is done."""
        while self._done:
            self._done.popleft()()

    def renewed(self) -> "Writer":
        """A writer that goes on where this one, which is closed, has stopped."""
        return Writer(self._notify)

    def close(self) -> None:
        """Finish all jobs and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: Job | None = None
        while True:
            job = waiting or self._jobs.get()
            waiting = None
            if job is None:
                return
            group = [job]
            while len(group) < _GROUP and not job.purge:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None or following.store is not job.store or following.purge:
                    waiting = following
                    if following is None:
                        self._jobs.put(None)
                    break
                group.append(following)
            self._commit(group)

    def _commit(self, group: list[Job]) -> None:
        """All of a group in one transaction: either every job of it is durable, or each is told of the error."""
        store = group[0].store
        try:
            store.begin()
            results = [job.work(store) for job in group]
            store.commit()
            if group[0].purge:
                store.purge()
        except sqlite3.Error as error:
            log.error("a commit of %s failed: %s", store.stream, error.sqlite_errorname)
            store.rollback()
            self._finish([partial(job.failed, error) for job in group])
            return
        self._finish([partial(job.then, result) for job, result in zip(group, results, strict=True)])

    def _finish(self, outcomes: list[Callable[[], None]]) -> None:
        self._done.extend(outcomes)
        with self._lock:
            self._open -= len(outcomes)
        self._notify()
