"""A stream's memory out as one file and in again: the file is made and read by memory, carried by the server."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from memory.messages import Exported, ExportMemory, Imported, ImportMemory
from server.core import Core
from server.errors import RequestError
from server.life import StreamLife
from server.streams import Declaration, Registry, StreamEntry

TIMEOUT_S: Final = 3600.0
_PIECE: Final = 2**20
_FOLDER: Final = "uploads"


@dataclass
class Archives:
    """Two requests of the doors."""

    core: Core
    registry: Registry
    life: StreamLife

    def clear(self) -> None:
        """What a server that died has left of uploads goes."""
        with contextlib.suppress(FileNotFoundError):
            for left in self._folder.iterdir():
                left.unlink(missing_ok=True)

    async def export(self, entry: StreamEntry) -> tuple[int, AsyncIterator[bytes]]:
        """Length and bytes of a stream's archive, which lies in no folder any more. Raises RequestError."""
        request = self.core.next_request()
        message = ExportMemory(entry.key, request)
        made: Exported = await self.core.call("memory", ("Request", request), message, TIMEOUT_S)
        descriptor = os.open(made.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        os.unlink(made.path)
        return os.fstat(descriptor).st_size, _pieces(descriptor)

    async def receive(self, body: AsyncIterator[bytes]) -> Path:
        """Put an archive that comes in into a file. Raises RequestError too_large, storage_full, invalid_json."""
        limits = self.core.config.limits
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        taken = 0
        try:
            with os.fdopen(descriptor, "wb") as file:
                while (piece := await _next(body, limits.body_timeout_s)) is not None:
                    taken += len(piece)
                    if taken > limits.archive_bytes:
                        raise RequestError("too_large", f"an archive has at most {limits.archive_bytes} bytes")
                    await asyncio.to_thread(file.write, piece)
        except OSError:
            path.unlink(missing_ok=True)
            raise RequestError("storage_full", "the archive finds no room on the server's disk: free some") from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    async def take_in(self, tenant: str, stream: str, path: Path) -> StreamEntry:
        """A push stream, offline, with the archive's memory. Raises RequestError; then nothing is kept."""
        declared = Declaration(stream, tenant, self.core.clocks.wall_us(), 0, pace="real")
        entry = self.registry.add(declared, None)
        request = self.core.next_request()
        message = ImportMemory(entry.key, request, str(path), declared.json())
        try:
            made: Imported = await self.core.call("memory", ("Request", request), message, TIMEOUT_S)
        except BaseException:
            self.life.give_up(entry)
            raise
        self.life.imported(entry, msgspec.json.decode(made.declaration, type=Declaration), made.end_us)
        return entry

    @property
    def _folder(self) -> Path:
        return Path(self.core.config.data) / "cache" / _FOLDER


async def _next(body: AsyncIterator[bytes], seconds: float) -> bytes | None:
    try:
        return await asyncio.wait_for(anext(body), seconds)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise RequestError("invalid_json", "the body did not come in time: send it again") from None


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
