"""The server's core between doors and stages: hands each message of a stage to the part that waits for it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from memory.caption_messages import CaptionKept, CaptionPutOff
from memory.messages import (
    BarrierReached,
    Dropped,
    EventCommitted,
    EventFound,
    EventPage,
    Exported,
    Forgotten,
    FrameFound,
    GetEvent,
    GetFrame,
    Imported,
    ListEvents,
    MemoryOpened,
    MemoryStatus,
    Refused,
    SearchPicture,
    StreamRestored,
    Updated,
)
from perception.messages import Fault, Percept, PerceptRecord, StreamClosed, StreamStatus, Unchanged, WindowWiped
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, CachesForgotten, Costs, EngineReady
from server.archives import Archives
from server.config import Config
from server.core import Clocks, Core, Host
from server.declared import Declared
from server.errors import refusal
from server.forgetting import Forgetting
from server.ipc.messages import STAGES, StageName
from server.life import StreamLife
from server.metrics import Metrics
from server.pushing import Pusher
from server.questions import Questions
from server.streams import Registry, StreamEntry
from server.watchers import Sessions, Watcher

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0


class Hub:
    """Implements HostEvents; the doors call its parts: `life`, `questions`, `forgetting`, and what is here."""

    def __init__(self, config: Config, metrics: Metrics | None = None, clocks: Clocks | None = None) -> None:
        self.core = Core(config, metrics or Metrics(), clocks or Clocks())
        self.core.metrics.set_limits(config.limits.model_dump())
        self.registry = Registry(config.limits.streams)
        self.life = StreamLife(self.core, self.registry)
        self.declared = Declared(self.core, self.registry, self.life)
        self.life.on_memory = self.declared.begin
        self.questions = Questions(self.core, self.registry)
        self.forgetting = Forgetting(self.core, self.questions)
        self.archives = Archives(self.core, self.registry, self.life)
        self.sessions = Sessions()
        self.started_us = self.core.clocks.monotonic_us()
        self.fatal: tuple[StageName, Fault] | None = None
        self.on_end: Callable[[], None] = lambda: None
        waiters = self.core.waiters
        self._handlers: dict[type[Any], Callable[[Any], Any]] = {
            StreamStatus: self.life.stream_status,
            StreamClosed: self.life.stream_closed,
            WindowWiped: lambda m: waiters.resolve(("WindowWiped", m.request), m),
            StreamRestored: self.life.restored,
            MemoryOpened: self.life.memory_opened,
            MemoryStatus: self.life.memory_status,
            EventCommitted: self.life.committed,
            CaptionKept: lambda _: self.core.metrics.captions.labels("kept").inc(),
            CaptionPutOff: lambda _: self.core.metrics.captions.labels("put_off").inc(),
            Dropped: self.life.dropped,
            BarrierReached: lambda m: waiters.resolve(("Barrier", m.barrier), m),
            EventPage: self._answered,
            EventFound: self._answered,
            FrameFound: self._answered,
            Exported: self._answered,
            Imported: self._answered,
            Forgotten: self._answered,
            Updated: self._answered,
            Refused: self._refused,
            AnswerDelta: self.questions.delta,
            AnswerDone: self.questions.done,
            AnswerFailed: self.questions.failed,
            EngineReady: self._engine_ready,
            Costs: self.questions.costs,
            CachesForgotten: lambda m: waiters.resolve(("CachesForgotten", m.request), m),
        }

    def attach(self, host: Host) -> None:
        """Hand in the stage processes, before they start."""
        self.core.attach(host)

    # ------------------------------------------------------------ HostEvents

    def on_ready(self, stage: StageName) -> None:
        """A stage takes work; after a restart it knows nothing."""
        self.core.set_ready(stage, True)
        if stage == "perception":
            self.core.perception_epoch += 1
        self.life.stage_ready(stage)
        logger.info("%s is ready", stage)

    def on_lost(self, stage: StageName) -> None:
        """A stage died: what was under way there ends with an error, at once."""
        self.core.set_ready(stage, False)
        self.core.waiters.lose(stage)
        if stage == "reasoning":
            self.questions.reasoning_lost()
        self.life.stage_lost(stage)
        logger.warning("%s was lost", stage)

    def on_message(self, stage: StageName, message: Any) -> None:
        """A stage said something."""
        handler = self._handlers.get(type(message))
        if handler is None:
            logger.error("%s sent a %s, which is not for the server", stage, type(message).__name__)
            return
        handler(message)

    def on_percept(self, record: PerceptRecord) -> None:
        """The newest of what is perceived."""
        if isinstance(record, Percept | Unchanged):
            self.life.perceived(record)

    def on_fatal(self, stage: StageName, fault: Fault) -> None:
        """A stage cannot be kept alive: the server ends."""
        self.fatal = (stage, fault)
        self.on_end()

    def _engine_ready(self, message: EngineReady) -> None:
        self.core.decoding = message.decoding

    def _answered(self, message: Any) -> None:
        self.core.waiters.resolve(("Request", message.request), message)

    def _refused(self, message: Refused) -> None:
        for kind in ("Request", "Dropped"):
            self.core.waiters.fail((kind, message.request), refusal(message.fault))

    # ------------------------------------------------------------ events

    async def list_events(
        self, entry: StreamEntry, q: str | None, since_us: int, until_us: int, limit: int, cursor: str | None
    ) -> EventPage:
        """Committed events that touch the range. Raises RequestError."""
        request = self.core.next_request()
        message = ListEvents(entry.key, request, q, since_us, until_us, limit, cursor)
        page: EventPage = await self._ask_memory(request, message)
        return page

    async def search_picture(
        self, entry: StreamEntry, picture: bytes, since_us: int, until_us: int, limit: int
    ) -> EventPage:
        """Events by likeness to a picture. Raises RequestError."""
        request = self.core.next_request()
        message = SearchPicture(entry.key, request, picture, since_us, until_us, limit)
        page: EventPage = await self._ask_memory(request, message)
        return page

    async def get_event(self, entry: StreamEntry, event: str) -> EventFound:
        """One event. Raises RequestError event_not_found."""
        request = self.core.next_request()
        found: EventFound = await self._ask_memory(request, GetEvent(entry.key, request, event))
        return found

    async def get_frame(self, entry: StreamEntry, event: str, n: int) -> bytes:
        """A stored frame as it is. Raises RequestError event_not_found."""
        request = self.core.next_request()
        found: FrameFound = await self._ask_memory(request, GetFrame(entry.key, request, event, n))
        return found.jpeg

    async def _ask_memory(self, request: int, message: Any) -> Any:
        return await self.core.call("memory", ("Request", request), message, REQUEST_TIMEOUT_S)

    # ------------------------------------------------------------ live clients

    @contextmanager
    def watch(self, entry: StreamEntry) -> Iterator[Watcher]:
        """A mailbox for what happens to a stream."""
        watcher = Watcher(self.core.metrics)
        entry.watchers.append(watcher)
        try:
            yield watcher
        finally:
            entry.watchers.remove(watcher)

    def pusher(self, entry: StreamEntry) -> Pusher:
        """A sender for a push stream. Raises RequestError not_a_push_stream."""
        return Pusher(self.core, entry)

    async def delete_stream(self, entry: StreamEntry) -> None:
        """Stop and forget a stream whole. Raises RequestError."""
        self.questions.stream_gone(entry)
        await self.life.delete(entry)
        self.questions.conversations.forget(entry.key)
        self.questions.explains.forget(entry.key, [], -(2**62), 2**62)

    # ------------------------------------------------------------ the server

    def stage_states(self) -> Mapping[StageName, str]:
        """What each stage does."""
        known = {name: status.state for name, status in self.core.host.status().items()}
        return {name: known.get(name, "starting") for name in STAGES}

    def open(self) -> None:
        """Every stage was ready once: what is stored is known, work is taken."""
        self.archives.clear()
        self.core.started = True

    def drain(self) -> None:
        """No new work from now on."""
        self.core.draining = True

    async def stop(self) -> None:
        """End every open question and what runs beside."""
        self.questions.end_all(Fault("draining", "the server is stopping: ask again in a moment"))
        await self.core.stop()
