"""Streams out into archives and in again: what the stage does with the two requests."""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from memory import archive
from memory.archiving import Archivist
from memory.config import MemoryConfig
from memory.folders import Folders
from memory.messages import (
    Exported,
    ExportMemory,
    Imported,
    ImportMemory,
    MemoryOptions,
    MemoryOutput,
    Refused,
)
from memory.store import Settings, Store
from memory.stream import Stream
from memory.writer import FULL
from perception.messages import Fault

NO_STREAM: Final = Fault("stream_not_found", "there is no such stream: list the streams")
_EXISTS: Final = Fault("stream_exists", "there is a stream of this id: choose another or delete it", "id")


class Archives:
    """Requests in, the archivist's outcomes out; `say` takes the answers."""

    def __init__(
        self,
        config: MemoryConfig,
        folders: Folders,
        notify: Callable[[], None] | None,
        streams: dict[str, Stream],
        dim: int,
        say: Callable[[MemoryOutput], None],
    ) -> None:
        self._config = config
        self._folders = folders
        self._streams = streams
        self._dim = dim
        self._say = say
        self._archivist = Archivist(Path(config.cache_folder), notify)
        self._forgettings: Counter[str] = Counter()
        self._coming: set[str] = set()

    @property
    def finished(self) -> bool:
        """Whether `collect` has something."""
        return self._archivist.finished

    @property
    def outstanding(self) -> int:
        """Archives whose outcome was not collected yet."""
        return self._archivist.outstanding

    def collect(self) -> None:
        """Answer what is done."""
        self._archivist.collect()

    def close(self) -> None:
        """Finish and end the thread."""
        while self._archivist.outstanding:
            self._archivist.wait(1.0)
            self._archivist.collect()
        self._archivist.close()

    def forgets(self, stream: str) -> None:
        """Something of a stream is being forgotten: an archive that is under way may hold it, and is given up."""
        self._forgettings[stream] += 1

    def take(self, message: ExportMemory | ImportMemory) -> None:
        """A request."""
        if isinstance(message, ExportMemory):
            self._export(message)
        else:
            self._take_in(message)

    def _export(self, message: ExportMemory) -> None:
        """Archive a stream beside everything else."""
        stream = self._streams.get(message.stream)
        if stream is None:
            self._say(Refused(message.request, NO_STREAM))
            return
        target, known = self._archivist.new_file(), self._forgettings[message.stream]
        header = archive.Header(stream.settings.start_wall_us, stream.settings.time_zone)

        def cancelled() -> bool:
            return self._forgettings[message.stream] != known

        def done(_: object) -> None:
            if cancelled():
                target.unlink(missing_ok=True)
                self._export(message)
            else:
                self._say(Exported(message.request, str(target)))

        self._archivist.put(
            partial(archive.write, stream.store.file, target, header, cancelled),
            done,
            partial(self._refuse, message.request),
        )

    def _take_in(self, message: ImportMemory) -> None:
        """Make a stream of an archive: whole or not at all."""
        folder = self._folders.of(message.stream)
        if folder is None or message.stream in self._streams or message.stream in self._coming or folder.exists():
            self._refuse(message.request, _EXISTS)
            return
        path = Path(message.path)
        disk = os.statvfs(self._folders.root)
        if disk.f_bavail * disk.f_frsize < 2 * path.stat().st_size + self._config.low_water_bytes:
            self._refuse(message.request, FULL)
            return
        self._coming.add(message.stream)

        def run() -> tuple[Store, str]:
            header = archive.read_header(path)
            told = {"start_wall_us": header.start_wall_us, "time_zone": header.time_zone}
            declaration = msgspec.json.encode(msgspec.json.decode(message.declaration) | told).decode()
            settings = Settings(declaration, header.start_wall_us, MemoryOptions(), header.time_zone)
            store = Store.create(folder, message.stream, settings, partial(archive.fill, path), "-import")
            return store, declaration

        def done(made: tuple[Store, str]) -> None:
            self._coming.discard(message.stream)
            store, declaration = made
            stream = self._streams[message.stream] = Stream.open(message.stream, store, self._config, self._dim)
            self._say(Imported(message.request, declaration, stream.end_us))

        def failed(fault: Fault) -> None:
            self._coming.discard(message.stream)
            self._refuse(message.request, fault)

        self._archivist.put(run, done, failed)

    def _refuse(self, request: int, fault: Fault) -> None:
        self._say(Refused(request, fault))
