"""Keeps one stage alive: ready by a deadline, death noticed at once, hangs by missing progress, restarts."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from perception.messages import Fault, Message
from server.ipc.channel import ChannelClosed
from server.ipc.links import Links
from server.ipc.messages import Drain, Heartbeat, Ready, StageName, Start, StartFailed
from server.ipc.process import Command, StageProcess

log = logging.getLogger(__name__)

StageState = Literal["starting", "ready", "hung", "restarting", "stopped"]

_TICK_S: Final = 0.25
_FLUSH_S: Final = 0.002


@dataclass(frozen=True)
class HostLimits:
    """Patience, in seconds. A stage that shows no progress has its stacks dumped, then is killed."""

    ready_s: float = 120.0
    dump_s: float = 5.0
    kill_s: float = 10.0
    backoff_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    budget: int = 5
    budget_window_s: float = 60.0
    healthy_s: float = 5.0


@dataclass(frozen=True)
class StageStatus:
    """How a stage's process is."""

    pid: int
    state: StageState
    restarts: int
    rss_bytes: int
    progress_age_ms: int


class KeeperEvents(Protocol):
    """What a keeper tells its host; all on the event loop."""

    def on_ready(self, stage: StageName) -> None:
        """The stage takes work."""

    def on_lost(self, stage: StageName) -> None:
        """The process is gone; another follows."""

    def on_message(self, stage: StageName, message: Any) -> None:
        """The stage said something."""

    def on_fatal(self, stage: StageName, fault: Fault) -> None:
        """The stage cannot be kept alive."""


class StageKeeper:
    """One stage: at most one process at a time."""

    def __init__(
        self, stage: StageName, start: Start, links: Links, events: KeeperEvents, limits: HostLimits, command: Command
    ) -> None:
        self.stage: StageName = stage
        self.state: StageState = "stopped"
        self.restarts = 0
        self._start, self._links, self._events, self._limits = start, links, events, limits
        self._command = command
        self._process: StageProcess | None = None
        self._loop = asyncio.get_running_loop()
        self._deaths: deque[float] = deque()
        self._launched_at = self._progress_at = self._ready_at = 0.0
        self._refusal: Fault | None = None
        self._stopping = False
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._gone.set()

    # ------------------------------------------------------------ life

    def launch(self) -> None:
        """Start the process; on the main thread."""
        self.state, self._refusal = "starting", None
        self._launched_at = self._progress_at = time.monotonic()
        self._gone.clear()
        process = self._process = StageProcess(self.stage, self._links, self._command)
        self._loop.add_reader(process.pidfd, self._on_death)
        self._loop.add_reader(process.channel.fileno(), self._on_readable)
        process.channel.send(self._start)
        if self._watch is None:
            self._watch = self._loop.create_task(self._watch_progress(), name=f"watch-{self.stage}")

    def status(self) -> StageStatus:
        """How it is now."""
        process = self._process
        age = int((time.monotonic() - self._progress_at) * 1000) if process else 0
        pid, rss = (process.pid, process.rss_bytes()) if process else (0, 0)
        return StageStatus(pid, self.state, self.restarts, rss, age)

    async def stop(self, grace_s: float) -> None:
        """Ask, wait, insist, kill."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        steps: list[tuple[Callable[[StageProcess], None], float]] = [
            (_ask_to_drain, grace_s),
            (StageProcess.terminate, 0.5),
            (StageProcess.kill, 5.0),
        ]
        for act, patience_s in steps:
            if self._process is None:
                break
            try:
                act(self._process)
            except ChannelClosed:
                log.debug("%s closed its channel before it was asked to", self.stage)
            try:
                await asyncio.wait_for(self._gone.wait(), patience_s)
            except TimeoutError:
                log.warning("%s did not stop within %.1f s", self.stage, patience_s)
        if self._watch is not None:
            self._watch.cancel()

    # ------------------------------------------------------------ messages

    def send(self, message: Message) -> bool:
        """Hand a message over; False where the stage is not there or has too much waiting."""
        if self._process is None or self.state not in ("ready", "hung"):
            return False
        try:
            taken = self._process.channel.send(message)
        except ChannelClosed:
            return False
        self._flush_later()
        return taken

    def _flush_later(self) -> None:
        if self._process is not None and self._process.channel.wants_write and not self._flushing:
            self._flushing = True
            self._loop.call_later(_FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._process is None:
            return
        try:
            self._process.channel.flush()
        except ChannelClosed:
            return
        self._flush_later()

    def _on_readable(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            messages = process.channel.receive()
        except ChannelClosed:
            # The pidfd tells the rest; a closed socket would wake the loop for ever.
            self._loop.remove_reader(process.channel.fileno())
            return
        for message in messages:
            self._handle(message)

    def _handle(self, message: Any) -> None:
        match message:
            case Heartbeat():
                self._progress_at = time.monotonic()
                if self.state == "hung":
                    log.info("%s goes on", self.stage)
                    self.state = "ready"
            case Ready():
                self.state = "ready"
                self._ready_at = self._progress_at = time.monotonic()
                log.info("%s is ready after %.1f s", self.stage, self._ready_at - self._launched_at)
                self._events.on_ready(self.stage)
            case StartFailed(fault):
                self._refusal = fault
            case _:
                self._events.on_message(self.stage, message)

    # ------------------------------------------------------------ death

    def _on_death(self) -> None:
        process = self._process
        if process is None:
            return
        self._on_readable()
        self._loop.remove_reader(process.pidfd)
        self._loop.remove_reader(process.channel.fileno())
        process.channel.discard()
        status = process.reap()
        self._process = None
        was_ready = self.state in ("ready", "hung")
        self.state = "stopped" if self._stopping else "restarting"
        self._gone.set()
        if self._stopping:
            return
        log.error("%s ended with status %d", self.stage, status)
        self._events.on_lost(self.stage)
        self._restart(was_ready)

    def _restart(self, was_ready: bool) -> None:
        now = time.monotonic()
        if was_ready and now - self._ready_at >= self._limits.healthy_s:
            self._deaths.clear()
        self._deaths.append(now)
        while now - self._deaths[0] > self._limits.budget_window_s:
            self._deaths.popleft()
        if self._refusal is not None and self.restarts == 0 and not was_ready:
            self._events.on_fatal(self.stage, self._refusal)
            return
        if len(self._deaths) >= self._limits.budget:
            fault = self._refusal or Fault("process_lost", f"the {self.stage} process keeps dying; see the log")
            self._events.on_fatal(self.stage, fault)
            return
        self.restarts += 1
        delay = self._limits.backoff_s[min(len(self._deaths), len(self._limits.backoff_s)) - 1]
        self._timer = self._loop.call_later(delay, self.launch)

    async def _watch_progress(self) -> None:
        expected = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            late = time.monotonic() - expected - _TICK_S
            expected = time.monotonic()
            # Where this process itself was stopped, the others' silence says nothing.
            self._progress_at += late if late > 1.0 else 0.0
            self._judge_progress(expected)

    def _judge_progress(self, now: float) -> None:
        process = self._process
        if process is None:
            return
        age = now - self._progress_at
        if self.state == "starting":
            if now - self._launched_at > self._limits.ready_s:
                log.error("%s was not ready within %.0f s", self.stage, self._limits.ready_s)
                process.kill()
        elif age > self._limits.kill_s:
            log.error("%s shows no progress for %.1f s and is killed", self.stage, age)
            process.kill()
        elif age > self._limits.dump_s and self.state == "ready":
            log.warning("%s shows no progress for %.1f s; its stacks follow", self.stage, age)
            self.state = "hung"
            process.dump_stacks()


def _ask_to_drain(process: StageProcess) -> None:
    process.channel.send(Drain())


def start_message(config: msgspec.Struct, *, log_json: bool, log_level: str, secrets: list[str]) -> Start:
    """The first message to a child."""
    return Start(msgspec.msgpack.encode(config), log_json, log_level, secrets)
