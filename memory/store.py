"""One stream's memory on disk: `FOLDER/memory.sqlite`, a connection that writes and one that reads."""

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from memory import fulltext, upgrades, writing
from memory.events import Resume
from memory.failpoints import reach
from memory.messages import MemoryOptions
from memory.reading import Reader
from memory.rows import PAGE_BYTES

log = logging.getLogger(__name__)

FORMAT: Final = 3
FILE_NAME: Final = "memory.sqlite"
MAKING: Final = ".new"
"""Beside the tenants: a store gets its place once it is whole."""
_APPLICATION_ID: Final = 0x4F4D4E4C
_CHECKPOINT_BYTES: Final = 2**20
_COMMIT_BYTES: Final = 2**14
"""About what a commit takes in the log beside pictures."""
_WAL_LIMIT_BYTES: Final = 2**20
_BUSY_MS: Final = 5000
_CACHE_KIB: Final = 256
"""Pages that each connection keeps: SQLite's own 2 MiB would fill for long, with pictures that are read once."""
VACUUM_BYTES: Final = 2**23
"""What is given back to the disk at once, others' commits waiting."""


class FormatUnknown(Exception):
    """The store was written by a later version."""


class Unfinished(Exception):
    """There is a database without anything in it: whoever made it died before it was a store."""


class Settings(NamedTuple):
    """What a store knows of its stream."""

    declaration: str
    start_wall_us: int
    options: MemoryOptions
    time_zone: str


class Store:
    """An open database. `db` belongs to the writer thread, `reader` to the stage."""

    def __init__(self, folder: Path) -> None:
        """Open what is there. Raises FormatUnknown, Unfinished, sqlite3.Error, OSError."""
        self.folder = folder
        self.broken = False
        self._logged_bytes = 0
        self._closed = False
        self.db = _connect(folder / FILE_NAME)
        try:
            self._check_format()
            writing_pragmas(self.db)
            self._upgrade()
            self._check_words()
            read_db = _connect(folder / FILE_NAME)
        except BaseException:
            self.db.close()
            raise
        self._read_db = read_db
        self._read_db.execute("PRAGMA query_only = ON")
        self.reader = Reader(self._read_db)

    @classmethod
    def create(
        cls,
        folder: Path,
        stream: str,
        settings: Settings,
        fill: Callable[[sqlite3.Connection], None] = lambda _: None,
        suffix: str = "",
    ) -> "Store":
        """Make a store that is on disk when this returns, or leave none. Raises sqlite3.Error, OSError.

        fill: puts rows in before it has its place. suffix: of the folder where it is made, for another thread's.
        """
        root = folder.parent.parent
        making = root / (MAKING + suffix)
        shutil.rmtree(making, ignore_errors=True)
        for made in (root, folder.parent, making):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            cls._fill(making / FILE_NAME, stream, settings, fill)
            reach("tmp")
            sync_folder(making)
            reach("fsync")
            os.rename(making, folder)
            reach("rename")
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        for changed in (folder.parent, root):
            sync_folder(changed)
        reach("dirfsync")
        try:
            return cls(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @staticmethod
    def _fill(file: Path, stream: str, settings: Settings, fill: Callable[[sqlite3.Connection], None]) -> None:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        db = _connect(file)
        try:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            writing_pragmas(db)
            schema = resources.files("memory").joinpath("schema.sql").read_text()
            db.executescript(f"BEGIN IMMEDIATE; {schema}")
            writing.set_meta(db, "stream", stream)
            writing.set_meta(db, "start_wall_us", str(settings.start_wall_us))
            put_settings(db, settings)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute("COMMIT")
            fill(db)
            # Closing would do the same, and hide that the disk failed.
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            db.close()

    def _check_format(self) -> None:
        version, application = self._pragma("user_version"), self._pragma("application_id")
        if application == _APPLICATION_ID and version in {*upgrades.STEPS, FORMAT}:
            return
        if application == _APPLICATION_ID and version > FORMAT:
            raise FormatUnknown(f"format {version}")
        if not version and not application and not self.db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            raise Unfinished
        raise sqlite3.DatabaseError("no store")

    def _upgrade(self) -> None:
        """Bring an older format up to this one, step by step, each whole or not at all."""
        for version in range(self._pragma("user_version"), FORMAT):
            self.db.execute("BEGIN IMMEDIATE")
            upgrades.STEPS[version](self.db)
            self.db.execute(f"PRAGMA user_version = {version + 1}")
            self.db.execute("COMMIT")

    def _check_words(self) -> None:
        """A full-text index that cannot be opened is made anew, or done without: events are found by their pictures."""
        if not fulltext.is_readable(self.db):
            try:
                self.mend_words()
            except sqlite3.Error as error:
                log.error("a full-text index cannot be made anew: %s", type(error).__name__)

    def verify_indexes(self) -> None:
        """Hold what events are found by against the events, and make anew what differs. As `mend_words`."""
        if not fulltext.agrees(self.db):
            self.mend_words()
        if self.db.execute("PRAGMA integrity_check(events)").fetchall() != [("ok",)]:
            self.mend_indexes()

    def mend_words(self) -> None:
        """Make the full-text index anew. For the writer thread, outside of transactions. Raises sqlite3.Error."""
        log.warning("the full-text index of a stream is damaged: it is made anew from the stream's events")
        with closing(_connect(self.file)) as db:
            writing_pragmas(db)
            db.execute("BEGIN IMMEDIATE")
            fulltext.make_anew(db)
            db.execute("COMMIT")

    def mend_indexes(self) -> None:
        """Make all indexes but the full-text one anew from their tables. As `mend_words`."""
        log.warning("an index of a stream's database is damaged: all are made anew from their tables")
        self.db.execute("REINDEX")

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / FILE_NAME

    @property
    def stream(self) -> str:
        """Whose memory it is."""
        return self.reader.meta("stream")

    def settings(self) -> Settings:
        """As they were put last."""
        meta = self.reader.meta
        options = msgspec.json.decode(meta("options", "[]"), type=MemoryOptions)
        return Settings(meta("declaration"), int(meta("start_wall_us", "0")), options, meta("time_zone", "UTC"))

    def resume(self) -> Resume:
        """Where events go on."""
        event, picture = self.reader.next_numbers()
        return Resume(event, picture, int(self.reader.meta("end_us", "0")))

    def used_bytes(self) -> int:
        """Pages of the database that hold something. For the writer thread."""
        return self._pragma("page_count") * PAGE_BYTES - self.free_bytes()

    def free_bytes(self) -> int:
        """Pages of the database that hold nothing. For the writer thread."""
        return self._pragma("freelist_count") * PAGE_BYTES

    def give_back(self, most: int) -> bool:
        """Give up to so many bytes of free pages back to the disk. For the writer thread, outside of transactions.

        False: a reader was in the way.
        """
        # As a script: a statement without columns is stepped once by `execute`, and gives one page back.
        self.db.executescript(f"PRAGMA incremental_vacuum({-(-most // PAGE_BYTES)})")
        return self.truncate_log()

    def _pragma(self, name: str) -> int:
        value: int = self.db.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def committed(self, growth: int) -> None:
        """A commit of so many bytes is done: now and then the log is moved into the database. For the writer thread.

        Raises sqlite3.Error: SQLite's own checkpoints would hide that the disk failed, and the log would be given up.
        """
        self._logged_bytes += growth + _COMMIT_BYTES
        # The work that was done may have been to take the store away.
        if self._logged_bytes >= _CHECKPOINT_BYTES and not self._closed:
            self._logged_bytes = 0
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def truncate_log(self) -> bool:
        """Move the write-ahead log into the database and empty it. False: a reader was in the way."""
        reach("wal")
        busy: int = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return busy == 0

    def close(self) -> None:
        """Give back both connections."""
        self._closed = True
        self._read_db.close()
        self.db.close()


def put_settings(db: sqlite3.Connection, settings: Settings) -> None:
    """Keep all but the start, which never changes."""
    writing.set_meta(db, "declaration", settings.declaration)
    writing.set_meta(db, "options", msgspec.json.encode(settings.options).decode())
    writing.set_meta(db, "time_zone", settings.time_zone)


def writing_pragmas(db: sqlite3.Connection) -> None:
    """A commit is on disk when it returns; what is deleted is overwritten; nothing spills into other files."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")


def _connect(file: Path) -> sqlite3.Connection:
    # Never makes the file: its rights are set where it is created. Connections are handed from thread to thread.
    db = sqlite3.connect(f"file:{file}?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
    try:
        # Text that damage has made unreadable is one row's trouble, which its checksum tells.
        db.text_factory = lambda data: data.decode("utf-8", "replace")
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except UnicodeDecodeError:
        # What SQLite says of a damaged schema has the damage in it.
        db.close()
        raise sqlite3.DatabaseError("the schema is damaged") from None
    return db


def sync_folder(folder: Path) -> None:
    """Make what was created or renamed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(folder: Path, trash: Path) -> Path | None:
    """Take a store out of sight, for good: renamed into `trash`, whose content `shutil.rmtree` may take later."""
    trash.mkdir(mode=0o700, parents=True, exist_ok=True)
    for attempt in range(1_000_000):
        target = trash / str(attempt)
        try:
            os.rename(folder, target)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue
            raise
        sync_folder(folder.parent)
        sync_folder(trash)
        return target
    raise OSError(errno.EEXIST, "the trash is full")


def empty_trash(trash: Path) -> None:
    """Delete what was taken out of sight."""
    shutil.rmtree(trash, ignore_errors=True)
