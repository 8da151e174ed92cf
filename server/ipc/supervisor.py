"""The parent's side of the three processes: starts, feeds, watches and stops them as one."""

import asyncio
import logging
from typing import Any, Protocol

import msgspec

from perception.messages import Barrier, Fault, Message, Packet, PerceptRecord, SessionEnded, SessionStarted
from reasoning.messages import MemoryLost, MemoryReady
from server.ipc.keeper import HostLimits, StageKeeper, StageStatus, start_message
from server.ipc.links import PERCEPT_READERS, Links, create_links
from server.ipc.messages import STAGES, StageName, Throttle
from server.ipc.process import Command, worker_command
from server.ipc.ring import Overwritten, RingReader, RingWriter

log = logging.getLogger(__name__)

MediaRecord = Packet | SessionStarted | SessionEnded | Barrier

_encoder = msgspec.msgpack.Encoder()
_percepts = msgspec.msgpack.Decoder(PerceptRecord)
_ROOM_POLL_S = 0.002


class StageStartFailed(Exception):
    """A stage cannot start; `fault` says why and what to do."""

    def __init__(self, stage: StageName, fault: Fault) -> None:
        super().__init__(f"{stage}: {fault.code}")
        self.stage = stage
        self.fault = fault


class HostEvents(Protocol):
    """What the host tells the server's core; all on the event loop."""

    def on_ready(self, stage: StageName) -> None:
        """The stage takes work; after a restart, it knows nothing."""

    def on_lost(self, stage: StageName) -> None:
        """The stage's process is gone: what was open there gets no answer."""

    def on_message(self, stage: StageName, message: Any) -> None:
        """The stage said something."""

    def on_percept(self, record: PerceptRecord) -> None:
        """Perception gave a record; some are missed when they come too fast."""

    def on_fatal(self, stage: StageName, fault: Fault) -> None:
        """The stage cannot be kept alive: the server must end."""


class StageHost:
    """The three stages as processes. Use it from the main thread's event loop alone."""

    def __init__(
        self,
        configs: dict[StageName, msgspec.Struct],
        events: HostEvents,
        *,
        limits: HostLimits | None = None,
        command: Command = worker_command,
        log_json: bool = False,
        log_level: str = "INFO",
        secrets: list[str] | None = None,
    ) -> None:
        self._events = events
        self._limits = limits or HostLimits()
        self._command = command
        self._starts = {
            stage: start_message(config, log_json=log_json, log_level=log_level, secrets=secrets or [])
            for stage, config in configs.items()
        }
        self._links: Links | None = None
        self._keepers: dict[StageName, StageKeeper] = {}
        self._media: RingWriter | None = None
        self._percept_reader: RingReader | None = None
        self._started: asyncio.Future[None] | None = None
        self._throttled: set[str] = set()

    async def start(self) -> None:
        """Start all stages and wait until each is ready. Raises StageStartFailed, SharedMemoryExhausted."""
        loop = asyncio.get_running_loop()
        links = self._links = create_links()
        self._media = RingWriter(links.media)
        self._percept_reader = RingReader(links.percepts, PERCEPT_READERS.index("server"))
        loop.add_reader(self._percept_reader.fileno(), self._on_percepts)
        self._started = loop.create_future()
        for stage in STAGES:
            keeper = StageKeeper(stage, self._starts[stage], links, self, self._limits, self._command)
            self._keepers[stage] = keeper
            keeper.launch()
        await self._started

    async def stop(self, grace_s: float) -> None:
        """Stop the stages along the data's way, so that what perception finishes still reaches memory."""
        if self._percept_reader is not None:
            asyncio.get_running_loop().remove_reader(self._percept_reader.fileno())
            self._percept_reader = None
        await asyncio.gather(
            *(self._keepers[s].stop(grace_s) for s in ("perception", "reasoning") if s in self._keepers)
        )
        if "memory" in self._keepers:
            await self._keepers["memory"].stop(grace_s)
        self._media = None
        if self._links is not None:
            self._links.close()
            self._links = None

    def send(self, stage: StageName, message: Message) -> bool:
        """Hand a message to a stage; False: it is not there, or has too much waiting."""
        keeper = self._keepers.get(stage)
        return keeper is not None and keeper.send(message)

    def try_push(self, record: MediaRecord) -> bool:
        """Put pushed media on its way; False: perception is behind, there is no room.

        Raises RecordTooLarge.
        """
        if isinstance(record, Packet) and record.stream in self._throttled:
            return False
        return self._media is not None and self._media.try_put(_encoder.encode(record)) is not None

    async def push(self, record: MediaRecord) -> None:
        """Put pushed media on its way, waiting for room."""
        while not self.try_push(record):  # noqa: ASYNC110 - the room is made by another process, which sends no event
            await asyncio.sleep(_ROOM_POLL_S)

    def status(self) -> dict[StageName, StageStatus]:
        """How each stage is."""
        return {stage: keeper.status() for stage, keeper in self._keepers.items()}

    # ------------------------------------------------------------ what the keepers say

    def on_ready(self, stage: StageName) -> None:
        """A stage is ready, at first or again."""
        if stage == "memory":
            self.send("reasoning", MemoryReady())
        elif stage == "reasoning":
            # It knows nothing of what was before it came; while memory is not there, no recall is answered.
            there = self._keepers["memory"].state in ("ready", "hung")
            self.send("reasoning", MemoryReady() if there else MemoryLost())
        self._events.on_ready(stage)
        started = self._started
        if started is not None and not started.done() and all(k.state == "ready" for k in self._keepers.values()):
            started.set_result(None)

    def on_lost(self, stage: StageName) -> None:
        """A stage is gone."""
        if stage == "memory":
            self.send("reasoning", MemoryLost())
        if stage == "perception":
            self._throttled.clear()
        self._events.on_lost(stage)

    def on_message(self, stage: StageName, message: Any) -> None:
        """A stage said something."""
        match message:
            case Throttle(stream, full=True):
                self._throttled.add(stream)
            case Throttle(stream):
                self._throttled.discard(stream)
            case _:
                self._events.on_message(stage, message)

    def on_fatal(self, stage: StageName, fault: Fault) -> None:
        """A stage cannot be kept alive."""
        if self._started is not None and not self._started.done():
            self._started.set_exception(StageStartFailed(stage, fault))
        else:
            self._events.on_fatal(stage, fault)

    def _on_percepts(self) -> None:
        reader = self._percept_reader
        if reader is None:
            return
        reader.clear_event()
        while (record := reader.take()) is not None:
            if not isinstance(record, Overwritten):
                self._events.on_percept(_percepts.decode(record))
