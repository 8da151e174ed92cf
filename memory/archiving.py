"""The thread that archives are written and read on: neither commits nor recalls wait for one."""

import logging
import os
import shutil
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memory.archive import ArchiveInvalid, ExportCancelled
from perception.messages import Fault

log = logging.getLogger(__name__)

FOLDER: Final = "archives"
"""Below the cache folder: emptied at every start."""
INVALID: Final = "archive_invalid"
_CANCELLED: Final = Fault("deadline_exceeded", "something of the stream was forgotten meanwhile: export it again")
_FAILED: Final = Fault("internal_error", "the archive cannot be written or read: look at the disk and the server's log")


@dataclass
class _Task:
    run: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[Fault], None]
    result: Any = None
    fault: Fault | None = None


class Archivist:
    """One archive after the other. `notify` is called on its thread when one is done."""

    def __init__(self, cache: Path, notify: Callable[[], None] | None = None) -> None:
        self.folder = cache / FOLDER
        shutil.rmtree(self.folder, ignore_errors=True)
        self._notify = notify
        self._tasks: deque[_Task] = deque()
        self._done: deque[_Task] = deque()
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.outstanding = 0

    @property
    def finished(self) -> bool:
        """Whether `collect` has something."""
        return bool(self._done)

    def new_file(self) -> Path:
        """A path that nothing lies at."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder / os.urandom(16).hex()

    def put(self, run: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Fault], None]) -> None:
        """Queue work; `done` or `failed` follows on the stage's thread."""
        self.outstanding += 1
        with self._condition:
            self._tasks.append(_Task(run, done, failed))
            self._condition.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="memory-archives", daemon=True)
            self._thread.start()

    def collect(self) -> None:
        """Run what is to follow finished work."""
        while self._done:
            task = self._done.popleft()
            self.outstanding -= 1
            if task.fault is None:
                task.done(task.result)
            else:
                task.failed(task.fault)

    def wait(self, seconds: float) -> None:
        """Until something is done."""
        with self._condition:
            self._condition.wait_for(lambda: self.finished, seconds)

    def close(self) -> None:
        """End the thread when its work is done."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._tasks or self._closing)
                if not self._tasks:
                    return
                task = self._tasks.popleft()
            task.fault = self._try(task)
            with self._condition:
                self._done.append(task)
                self._condition.notify_all()
            if self._notify is not None:
                self._notify()

    @staticmethod
    def _try(task: _Task) -> Fault | None:
        try:
            task.result = task.run()
        except ArchiveInvalid as error:
            return Fault(INVALID, str(error))
        except ExportCancelled:
            return _CANCELLED
        except (sqlite3.Error, OSError) as error:
            log.error("an archive failed: %s", getattr(error, "sqlite_errorname", type(error).__name__))
            return _FAILED
        except Exception as error:  # noqa: BLE001 - of one archive: the thread goes on
            log.error("an archive failed: %s", type(error).__name__)
            return _FAILED
        return None
