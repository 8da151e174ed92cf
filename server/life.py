"""The life of streams: added, restored, opened again after a stage died, changed, deleted."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from memory.messages import (
    DropMemory,
    Dropped,
    EventCommitted,
    MemoryOpened,
    MemoryStatus,
    OpenMemory,
    StreamRestored,
    UpdateMemory,
)
from perception.messages import (
    Barrier,
    CloseStream,
    OpenStream,
    Percept,
    SetSampling,
    Source,
    StreamClosed,
    StreamStatus,
    Unchanged,
    WipeWindow,
)
from reasoning.messages import ForgetCaches
from server.core import Core
from server.errors import RequestError, not_ready, refusal
from server.ipc.messages import StageName
from server.logs import redactor
from server.metrics import label_of
from server.protocol import StreamOptions, StreamRequest
from server.sources import resolve_source, secrets_of
from server.streams import Declaration, Registry, StreamEntry, with_options
from server.times import parse_wall

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
UPDATE_TIMEOUT_S = 10.0
DELETE_TIMEOUT_S = 1.9
"""Of all that a deletion waits for: it is promised within 2 s."""
CLOSE_TIMEOUT_S = 0.8
"""Of that, for perception: a hung one leaves memory enough."""
WIPE_ALL_US = 2**62


@dataclass
class StreamLife:
    """Keeps registry, memory and perception of one mind about which streams there are."""

    core: Core
    registry: Registry
    on_memory: Callable[[], None] = lambda: None
    """Called when memory has come, and has told of what it found on disk."""
    _doomed: set[str] = field(default_factory=set)

    # ------------------------------------------------------------ asked for by doors

    async def add(self, tenant: str, request: StreamRequest) -> StreamEntry:
        """A new stream, its declaration on disk. Raises RequestError."""
        source = resolve_source(request.source, self.core.config.allow_files)
        entry = self.registry.add(self.declare(tenant, request), source)
        self._keep_secret(entry.declaration)
        try:
            opened: MemoryOpened = await self.core.call(
                "memory", ("MemoryOpened", entry.key), self._open_memory(entry), OPEN_TIMEOUT_S
            )
            if opened.fault is not None:
                raise refusal(opened.fault)
        except BaseException:
            # Memory may have made the store all the same: it goes when memory is heard of again.
            self.give_up(entry)
            raise
        return entry

    def imported(self, entry: StreamEntry, declaration: Declaration, end_us: int) -> None:
        """Memory made a stream of an archive: it is as one that was restored."""
        entry.declaration = declaration
        entry.source = resolve_source(declaration.spec, self.core.config.allow_files)
        self.memory_opened(MemoryOpened(entry.key, end_us, None))

    def give_up(self, entry: StreamEntry) -> None:
        """A stream did not come about; what memory may have made of it goes."""
        self.registry.remove(entry)
        self._doom(entry.key)

    async def change(self, entry: StreamEntry, options: StreamOptions) -> None:
        """Take over new options, once they are on disk. Raises RequestError; then the old ones hold."""
        if entry.fault is not None and not entry.memory_open:
            raise refusal(entry.fault)
        async with entry.changing:
            changed = with_options(entry.declaration, options)
            await self._store(entry, changed)
        if "sample" in options.model_fields_set and entry.source_open:
            self.core.host.send("perception", SetSampling(entry.key, self._fps(changed)))
        entry.tell_state()

    async def _store(self, entry: StreamEntry, changed: Declaration) -> None:
        """Another declaration, once it is on disk. Raises RequestError; then the old one holds."""
        message = self._update(changed)
        try:
            await self.core.call("memory", ("Request", message.request), message, UPDATE_TIMEOUT_S)
        except BaseException:
            # Memory may have the new one, or write it when it can.
            if self.core.is_ready("memory"):
                self.core.host.send("memory", self._update(entry.declaration))
            raise
        entry.declaration = changed

    async def redeclare(self, entry: StreamEntry, declaration: Declaration, source: Source) -> None:
        """Take over another declaration; another source is opened, behind all of the old one. Raises RequestError."""
        async with entry.changing:
            self._keep_secret(declaration)
            other = source != entry.source or entry.fault is not None
            await self._store(entry, declaration)
            entry.source, entry.fault = source, None
            if entry.source_open and other:
                await self._leave_source(entry)
            if other:
                self._send_open(entry)
            elif entry.source_open:
                self.core.host.send("perception", SetSampling(entry.key, self._fps(declaration)))
        entry.tell_state()

    async def _leave_source(self, entry: StreamEntry) -> None:
        """Stop watching, and wait until memory has all that was seen: it is asked next where media time goes on."""
        request = self.core.next_request()
        reached = self.core.waiters.expect(("Barrier", request), "perception", "memory")
        try:
            await self.core.call("perception", ("StreamClosed", entry.key), CloseStream(entry.key), UPDATE_TIMEOUT_S)
            await self.core.host.push(Barrier(entry.key, request))
            await asyncio.wait_for(reached, UPDATE_TIMEOUT_S)
        except (RequestError, TimeoutError):
            # Of a process that was lost nothing is on the way any more; a hung one is about to be.
            logger.warning("the old source was not closed in time", extra={"stream": entry.id})
        finally:
            self.core.waiters.drop(("Barrier", request), reached)
        entry.lost_perception()

    async def delete(self, entry: StreamEntry) -> None:
        """Stop a stream and forget it whole. Raises RequestError; then the stream is still there."""
        if not self.core.is_ready("memory"):
            raise not_ready("memory")
        entry.closing = True
        try:
            await self._delete(entry, asyncio.get_running_loop().time() + DELETE_TIMEOUT_S)
        except BaseException:
            entry.closing = False
            if self.core.is_ready("memory"):
                self._send_open(entry)
            raise
        self.core.metrics.forget_stream(entry.key)
        for watcher in entry.watchers:
            watcher.close()

    async def _delete(self, entry: StreamEntry, deadline: float) -> None:
        """One deadline over all waits, that for another change included."""
        try:
            async with asyncio.timeout_at(deadline):
                await entry.changing.acquire()
        except TimeoutError:
            raise RequestError("deadline_exceeded", "the stream is being changed: try again in a moment") from None
        try:
            await self._close_source(entry, min(CLOSE_TIMEOUT_S, _left(deadline)))
            request = self.core.next_request()
            await self.core.call("memory", ("Dropped", request), DropMemory(entry.key, request), _left(deadline))
            await self._drop_caches(entry, _left(deadline))
            self.registry.remove(entry)
        finally:
            entry.changing.release()

    async def _close_source(self, entry: StreamEntry, timeout_s: float) -> None:
        if not self.core.is_ready("perception"):
            return
        request = self.core.next_request()
        self.core.host.send("perception", WipeWindow(entry.key, request, 0, WIPE_ALL_US))
        try:
            await self.core.call("perception", ("StreamClosed", entry.key), CloseStream(entry.key), timeout_s)
        except RequestError as error:
            # A hung perception must not keep a stream alive: it reads the message when it goes on, or dies.
            logger.warning("perception did not close a stream (%s)", error.code, extra={"stream": entry.id})
        entry.opened.clear()

    async def _drop_caches(self, entry: StreamEntry, timeout_s: float) -> None:
        if not self.core.is_ready("reasoning"):
            return
        request = self.core.next_request()
        message = ForgetCaches(entry.key, request, [])
        try:
            await self.core.call("reasoning", ("CachesForgotten", request), message, timeout_s)
        except RequestError as error:
            # Nothing can recall the stream any more, and a dead process has no caches.
            logger.warning("reasoning did not drop its caches (%s)", error.code, extra={"stream": entry.id})

    # ------------------------------------------------------------ told by stages

    def stage_ready(self, stage: StageName) -> None:
        """A stage came: tell it what it has to know."""
        if stage == "memory":
            for key in list(self._doomed):
                self._doom(key)
            self.on_memory()
            for entry in self.registry:
                self._send_open(entry)
        elif stage == "perception":
            for entry in self.registry:
                # Where media time goes on is known only if nothing was perceived since memory said it.
                if entry.end_known:
                    self._open_source(entry)
                elif self.core.is_ready("memory"):
                    self._send_open(entry)

    def stage_lost(self, stage: StageName) -> None:
        """A stage died: what it knew has to be told again."""
        for entry in self.registry:
            if stage == "memory":
                entry.memory_open = False
            elif stage == "perception":
                entry.lost_perception()
                entry.tell_state()

    def restored(self, message: StreamRestored) -> None:
        """Memory found a stream on disk."""
        if message.stream in self._doomed:
            return
        entry = self.registry.by_key(message.stream)
        if entry is None:
            entry = self._adopt(message)
        if entry is not None:
            entry.took_end(message.end_us)

    def _adopt(self, message: StreamRestored) -> StreamEntry | None:
        try:
            declaration = msgspec.json.decode(message.declaration, type=Declaration)
            if declaration.key != message.stream:
                raise msgspec.ValidationError("the declaration is another stream's")
            entry = self.registry.add(declaration, None)
        except (msgspec.MsgspecError, RequestError) as error:
            logger.error("a stored stream cannot be restored: %s", type(error).__name__)
            return None
        self._keep_secret(declaration)
        try:
            entry.source = resolve_source(declaration.spec, self.core.config.allow_files)
        except RequestError as error:
            entry.fault = error.fault
        return entry

    def memory_opened(self, message: MemoryOpened) -> None:
        """A stream's store is open: perception may begin."""
        entry = self.registry.by_key(message.stream)
        if entry is None:
            return
        if message.fault is not None:
            entry.fault = message.fault
        else:
            entry.memory_open = True
            entry.took_end(message.end_us)
            entry.end_known = not entry.source_open
            self._open_source(entry)
        entry.tell_state()
        self.core.waiters.resolve(("MemoryOpened", message.stream), message)

    def memory_status(self, message: MemoryStatus) -> None:
        """What a store holds."""
        entry = self.registry.by_key(message.stream)
        if entry is None:
            return
        entry.memory = message
        self.core.metrics.memory_bytes.labels(label_of(entry.key)).set(message.bytes)
        self.core.metrics.memory_events.labels(label_of(entry.key)).set(message.events)
        entry.tell_state()

    def stream_status(self, message: StreamStatus) -> None:
        """How a stream fares."""
        entry = self.registry.by_key(message.stream)
        if entry is None:
            return
        entry.took_status(message)
        self.core.metrics.count_frames(message)
        entry.tell_state()

    def stream_closed(self, message: StreamClosed) -> None:
        """Perception let go of a stream."""
        self.core.waiters.resolve(("StreamClosed", message.stream), message)

    def dropped(self, message: Dropped) -> None:
        """A store is deleted."""
        self._doomed.discard(message.stream)
        self.core.waiters.resolve(("Dropped", message.request), message)

    def perceived(self, record: Percept | Unchanged) -> None:
        """A frame was looked at."""
        entry = self.registry.by_key(record.stream)
        if entry is None:
            return
        entry.saw_frame(record.media_us, record.arrival_us)
        if isinstance(record, Percept):
            entry.show(record)

    def committed(self, message: EventCommitted) -> None:
        """An event is on disk."""
        entry = self.registry.by_key(message.event.stream)
        for watcher in entry.watchers if entry is not None else ():
            watcher.tell_event(message.event)

    # ------------------------------------------------------------ inside

    def declare(self, tenant: str, request: StreamRequest) -> Declaration:
        """What makes a stream, as it was asked for now."""
        now = self.core.clocks.wall_us()
        start = request.source.start
        declaration = Declaration(
            id=request.id,
            tenant=tenant,
            created_wall_us=now,
            start_wall_us=now if start is None else parse_wall(start, "source.start"),
            url=request.source.url,
            pace=request.source.pace,
            start=start,
        )
        return with_options(declaration, request)

    def take_declared(self, entry: StreamEntry, declaration: Declaration, source: Source) -> None:
        """What a configuration says of a stream that nothing was opened of yet."""
        entry.declaration, entry.source, entry.fault = declaration, source, None
        self._keep_secret(declaration)

    def _send_open(self, entry: StreamEntry) -> None:
        if not self.core.host.send("memory", self._open_memory(entry)):
            logger.warning("memory took no OpenMemory", extra={"stream": entry.id})
            return
        self.core.host.send("memory", self._update(entry.declaration))

    def _open_memory(self, entry: StreamEntry) -> OpenMemory:
        declaration = entry.declaration
        return OpenMemory(
            entry.key,
            declaration.start_wall_us,
            declaration.json(),
            declaration.memory_options,
            declaration.time_zone or self.core.config.time_zone,
        )

    def _update(self, declaration: Declaration) -> UpdateMemory:
        zone = declaration.time_zone or self.core.config.time_zone
        request = self.core.next_request()
        return UpdateMemory(declaration.key, request, declaration.json(), declaration.memory_options, zone)

    def _open_source(self, entry: StreamEntry) -> None:
        if entry.source is None or entry.source_open or entry.closing or not entry.memory_open:
            return
        if not self.core.is_ready("perception"):
            return
        declaration = entry.declaration
        message = OpenStream(
            entry.key, entry.source, entry.lane, declaration.start_wall_us, entry.end_us, self._fps(declaration)
        )
        if self.core.host.send("perception", message):
            entry.opened.set()
            entry.end_known = False

    def _fps(self, declaration: Declaration) -> float:
        return declaration.sample_fps or self.core.config.sample.fps

    def _doom(self, key: str) -> None:
        """Delete a store that nobody was told of."""
        self._doomed.add(key)
        if self.core.is_ready("memory"):
            self.core.host.send("memory", DropMemory(key, self.core.next_request()))

    @staticmethod
    def _keep_secret(declaration: Declaration) -> None:
        if declaration.url is not None:
            redactor.add(secrets_of(declaration.url))


def _left(deadline: float) -> float:
    """Seconds until then on the loop's clock."""
    return max(0.0, deadline - asyncio.get_running_loop().time())
