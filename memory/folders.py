"""The folder of stores: one below it for each TENANT/ID; what is found there at start."""

import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from memory import writing
from memory.store import FILE_NAME, MAKING, FormatUnknown, Store, Unfinished
from perception.errors import StartRefused

log = logging.getLogger(__name__)

_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_TRASH: Final = ".trash"


class Folders:
    """Knows where a stream's store lies, and nothing outside of its root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def trash(self) -> Path:
        """Where deleted stores go until their bytes are gone."""
        return self.root / _TRASH

    def of(self, stream: str) -> Path | None:
        """The folder of a stream; None for a key that cannot be one."""
        tenant, slash, name = stream.partition("/")
        if not slash or _PART.fullmatch(tenant) is None or _PART.fullmatch(name) is None:
            return None
        return self.root / tenant / name

    def found(self) -> Iterator[tuple[str, Store]]:
        """Open every store that is there; one that cannot be read is left alone and told in the log.

        Raises StartRefused data_format_unknown for a store that a later version wrote.
        """
        for unfinished in self.root.glob(f"{MAKING}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for file in sorted(self.root.glob(f"*/*/{FILE_NAME}")):
            key = f"{file.parent.parent.name}/{file.parent.name}"
            if self.of(key) != file.parent or file.stat().st_size == 0:
                continue
            try:
                store = Store(file.parent)
            except Unfinished:
                shutil.rmtree(file.parent, ignore_errors=True)
                continue
            except FormatUnknown as error:
                raise StartRefused(
                    "data_format_unknown",
                    f"the memory of stream {key} has {error}, which is unknown here: use the version that wrote it",
                ) from error
            except (sqlite3.Error, OSError) as error:
                log.error("the memory of a stream is damaged and left alone: %s", type(error).__name__)
                continue
            if self._take_up(store):
                yield key, store

    @staticmethod
    def _take_up(store: Store) -> bool:
        """Events that were open when the process ended are closed as they are; the log is emptied."""
        try:
            store.db.execute("BEGIN IMMEDIATE")
            writing.close_open_events(store.db)
            store.db.execute("COMMIT")
            store.truncate_log()
        except sqlite3.OperationalError as error:
            # A full disk keeps nobody from reading.
            log.warning("a store cannot be written at start: %s", _name(error))
            if store.db.in_transaction:
                store.db.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            log.error("the memory of a stream is damaged and left alone: %s", _name(error))
            store.close()
            return False
        return True


def _name(error: sqlite3.Error) -> str:
    # Those that Python raises by itself have no name of SQLite's.
    return getattr(error, "sqlite_errorname", type(error).__name__)
