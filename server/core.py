"""What every part of the hub shares: the stage processes, who waits for which of their messages, clocks, metrics."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from perception.messages import Barrier, Message, Packet, SessionEnded, SessionStarted
from reasoning.messages import DecodingKind
from server.config import Config
from server.errors import RequestError, not_ready, process_lost
from server.ipc.messages import STAGES, StageName
from server.metrics import Metrics, StageNumbers

logger = logging.getLogger(__name__)

MediaRecord = Packet | SessionStarted | SessionEnded | Barrier
Key = tuple[str, str | int]
"""Names an awaited message: its type and what ties it to what was sent."""


class StageStatus(StageNumbers, Protocol):
    """How a stage process fares."""

    @property
    def pid(self) -> int | None:
        """None while there is no process."""


class Host(Protocol):
    """The stage processes as the hub sees them; see server.ipc.supervisor."""

    def send(self, stage: StageName, message: Message) -> bool:
        """False: the process is not there, or its outbox is full."""

    def try_push(self, record: MediaRecord) -> bool:
        """Put a record into the media ring; False if it has no room."""

    async def push(self, record: MediaRecord) -> None:
        """The same, waiting for room."""

    def status(self) -> Mapping[StageName, StageStatus]:
        """Every stage."""


@dataclass(frozen=True)
class Clocks:
    """The machine's clocks in microseconds: monotonic for intervals, Unix time for stamps."""

    monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000
    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000


class Waiters:
    """Futures for messages that stages owe; all of a stage that dies fail at once."""

    def __init__(self) -> None:
        self._futures: dict[Key, list[tuple[asyncio.Future[Any], tuple[StageName, ...]]]] = {}

    def expect(self, key: Key, *stages: StageName) -> asyncio.Future[Any]:
        """A future for the message; it fails with process_lost if one of the stages dies first."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(key, []).append((future, stages))
        return future

    def drop(self, key: Key, future: asyncio.Future[Any]) -> None:
        """Nobody waits any more."""
        left = [one for one in self._futures.pop(key, []) if one[0] is not future]
        if left:
            self._futures[key] = left

    def resolve(self, key: Key, value: Any) -> bool:
        """The message came; False if nobody waits for it."""
        waiting = self._futures.pop(key, [])
        for future, _ in waiting:
            if not future.done():
                future.set_result(value)
        return bool(waiting)

    def fail(self, key: Key, error: RequestError) -> None:
        """The message will not come."""
        for future, _ in self._futures.pop(key, []):
            _fail(future, error)

    def lose(self, stage: StageName) -> None:
        """A stage died: whatever it owed fails."""
        for key, waiting in list(self._futures.items()):
            lost = [one for one in waiting if stage in one[1]]
            for future, _ in lost:
                _fail(future, process_lost(stage))
            left = [one for one in waiting if one not in lost]
            if left:
                self._futures[key] = left
            else:
                del self._futures[key]


def _fail(future: asyncio.Future[Any], error: RequestError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as seen: a waiter that left would make the loop complain


@dataclass
class Core:
    """The hub's common ground. `host` is set before anything runs."""

    config: Config
    metrics: Metrics
    clocks: Clocks = field(default_factory=Clocks)
    waiters: Waiters = field(default_factory=Waiters)
    started: bool = False
    draining: bool = False
    perception_epoch: int = 0
    decoding: DecodingKind | None = None
    _host: Host | None = None
    _requests: int = 0
    _ready: dict[StageName, asyncio.Event] = field(default_factory=lambda: {name: asyncio.Event() for name in STAGES})
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def host(self) -> Host:
        """The stage processes."""
        if self._host is None:
            raise not_ready("server")
        return self._host

    def attach(self, host: Host) -> None:
        """Hand in the stage processes."""
        self._host = host

    def next_request(self) -> int:
        """A number that ties an answer to its request."""
        self._requests += 1
        return self._requests

    def set_ready(self, stage: StageName, ready: bool) -> None:
        """A stage came or went."""
        event = self._ready[stage]
        if ready:
            event.set()
        else:
            event.clear()

    def is_ready(self, stage: StageName) -> bool:
        """Whether a stage takes messages."""
        return self._ready[stage].is_set()

    async def wait_ready(self, stage: StageName, timeout_s: float) -> None:
        """Until a stage takes messages. Raises RequestError not_ready."""
        try:
            await asyncio.wait_for(self._ready[stage].wait(), timeout_s)
        except TimeoutError:
            raise not_ready(stage) from None

    def send(self, stage: StageName, message: Message) -> None:
        """Send or raise RequestError: not_ready, or invalid_field for what has no form between processes."""
        try:
            sent = self.is_ready(stage) and self.host.send(stage, message)
        except (OverflowError, UnicodeEncodeError):
            raise RequestError("invalid_field", "a number or a character of this request cannot be passed on") from None
        if not sent:
            raise not_ready(stage)

    async def call(self, stage: StageName, key: Key, message: Message, timeout_s: float) -> Any:
        """Send and wait for the message that answers.

        Raises RequestError: process_lost, not_ready, deadline_exceeded, or what the stage refused with.
        """
        future = self.waiters.expect(key, stage)
        try:
            self.send(stage, message)
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise RequestError("deadline_exceeded", f"the {stage} process took too long: try again") from None
        finally:
            self.waiters.drop(key, future)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside everything else; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("background work failed", exc_info=task.exception())

    async def stop(self) -> None:
        """End what runs beside."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
