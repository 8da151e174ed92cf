"""Streams of the configuration: what it says is taken over at the start and whenever it is read again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from perception.messages import PushSource, Source
from server.core import Core
from server.errors import RequestError
from server.keys import DEFAULT_TENANT
from server.life import StreamLife
from server.protocol import StreamRequest
from server.sources import resolve_source
from server.streams import Declaration, Registry, StreamEntry

logger = logging.getLogger(__name__)


@dataclass
class Taken:
    """What became of the declared streams, by id. left: no longer declared, watched all the same."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass
class Declared:
    """Brings the streams that there are to what the configuration declares. Streams that it does not name stay."""

    core: Core
    registry: Registry
    life: StreamLife
    _begun: bool = False

    def begin(self) -> None:
        """Once, when memory has told of what is on disk: new ones are added, known ones take over what is said."""
        if self._begun:
            return
        self._begun = True
        for request in self.core.config.streams:
            declaration, source = self._declare(request)
            entry = self.registry.by_key(declaration.key)
            try:
                entry = entry or self.registry.add(declaration, source)
            except RequestError as error:
                _tell_refused(request, error)
                continue
            self.life.take_declared(entry, _on_the_clock_of(entry, declaration), source)

    async def renew(self, before: Sequence[StreamRequest]) -> Taken:
        """The same beside the running stages. before: what the configuration declared until now."""
        taken = Taken()
        requests = self.core.config.streams
        for request in requests:
            entry = self.registry.by_key(f"{DEFAULT_TENANT}/{request.id}")
            try:
                if entry is None:
                    await self.life.add(DEFAULT_TENANT, request)
                    taken.added.append(request.id)
                elif await self._renew(entry, request):
                    taken.changed.append(request.id)
            except RequestError as error:
                _tell_refused(request, error)
                taken.refused.append(request.id)
        named = {request.id for request in requests}
        known = {entry.id for entry in self.registry.of_tenant(DEFAULT_TENANT)}
        taken.left = [one.id for one in before if one.id not in named and one.id in known]
        return taken

    async def _renew(self, entry: StreamEntry, request: StreamRequest) -> bool:
        """False where it is as it is declared."""
        declaration, source = self._declare(request)
        declaration = _on_the_clock_of(entry, declaration)
        if declaration == entry.declaration and entry.fault is None:
            return False
        if source != entry.source and PushSource in (type(source), type(entry.source)):
            # Its senders are connected to what it was.
            raise RequestError("invalid_field", "a push stream becomes another one only at the next start", "source")
        await self.life.redeclare(entry, declaration, source)
        return True

    def _declare(self, request: StreamRequest) -> tuple[Declaration, Source]:
        source = resolve_source(request.source, self.core.config.allow_files)
        return self.life.declare(DEFAULT_TENANT, request), source


def _on_the_clock_of(entry: StreamEntry, declaration: Declaration) -> Declaration:
    """The media clock of a stored stream stays as it is: its memory is told on it."""
    known = entry.declaration
    return msgspec.structs.replace(
        declaration, created_wall_us=known.created_wall_us, start_wall_us=known.start_wall_us
    )


def _tell_refused(request: StreamRequest, error: RequestError) -> None:
    logger.error("a declared stream is not taken over: %s", error.message, extra={"stream": request.id})
