"""Keeps one stage alive: ready by a deadline, death noticed at once, hangs by missing progress, restarts."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from perception.messages import Fault, Message
from server.ipc.channel import ChannelClosed
from server.ipc.links import Links
from server.ipc.messages import Heartbeat, LongStep, Ready, StageName, Start, StartFailed
from server.ipc.process import Command, StageProcess

log = logging.getLogger(__name__)

StageState = Literal["starting", "ready", "hung", "restarting", "stopped"]

_TICK_S: Final = 0.25
_FLUSH_S: Final = 0.002


@dataclass(frozen=True)
class HostLimits:
    """Patience, in seconds. A stage that shows no progress has its stacks dumped, then is killed.

    After `budget` restarts within `budget_window_s`, none of which was ready for `healthy_s`, it is given up. One that
    was never ready counts for good: a load may take longer than the window.
    """

    ready_s: float = 600.0
    dump_s: float = 5.0
    kill_s: float = 10.0
    backoff_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    budget: int = 5
    budget_window_s: float = 60.0
    healthy_s: float = 5.0


@dataclass(frozen=True)
class StageStatus:
    """How a stage's process is. pid: None while there is none; progress_age_ms: since it last showed that it works."""

    pid: int | None
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
        self._deaths: list[float] = []
        self._inbox: deque[Any] = deque()
        self._launched_at = self._progress_at = self._ready_at = self._patient_until = 0.0
        self._dumped = False
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
        self.state, self._refusal, self._dumped = "starting", None, False
        self._launched_at = self._progress_at = time.monotonic()
        try:
            process = self._process = StageProcess(self.stage, self._links, self._command)
        except OSError as error:
            log.error("%s cannot be started: %s", self.stage, error.strerror)
            self.state = "restarting"
            self._restart(was_ready=False)
            return
        self._gone.clear()
        self._loop.add_reader(process.pidfd, self._on_death)
        self._loop.add_reader(process.channel.fileno(), self._on_readable)
        process.channel.send(self._start)
        if self._watch is None:
            self._watch = self._loop.create_task(self._watch_progress(), name=f"watch-{self.stage}")

    def status(self) -> StageStatus:
        """How it is now."""
        process = self._process
        age = int((time.monotonic() - self._progress_at) * 1000) if process else 0
        pid, rss = (process.pid, process.rss_bytes()) if process else (None, 0)
        return StageStatus(pid, self.state, self.restarts, rss, age)

    async def stop(self, grace_s: float) -> None:
        """Ask, wait, insist, kill."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        steps: list[tuple[Callable[[StageProcess], None], float]] = [
            (StageProcess.ask_to_drain, grace_s),
            (StageProcess.terminate, 0.5),
            (StageProcess.kill, 5.0),
        ]
        # A stage that still loads reads no messages, and has nothing to finish.
        for act, patience_s in steps[1:] if self.state == "starting" else steps:
            if self._process is None:
                break
            try:
                act(self._process)
                self._flush_later()
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
        self._inbox.extend(messages)
        self._work_off()

    def _work_off(self) -> None:
        """Handle what has come; a message that fails does not take those behind it along."""
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
        finally:
            if self._inbox:
                self._loop.call_soon(self._work_off)

    def _handle(self, message: Any) -> None:
        match message:
            case Heartbeat():
                self._progress_at, self._patient_until, self._dumped = time.monotonic(), 0.0, False
                if self.state == "hung":
                    log.info("%s goes on", self.stage)
                    self.state = "ready"
            case LongStep(seconds):
                self._patient_until = time.monotonic() + seconds
            case Ready():
                self.state = "ready"
                self._ready_at = self._progress_at = time.monotonic()
                self._patient_until, self._dumped = 0.0, False
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
        try:
            self._on_readable()
        finally:
            self._bury(process)

    def _bury(self, process: StageProcess) -> None:
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
        self._deaths = [at for at in self._deaths if now - at <= self._limits.budget_window_s]
        tries = len(self._deaths)
        refused = self._refusal is not None and self.restarts == 0 and not was_ready
        if refused or tries >= self._limits.budget:
            fault = self._refusal or Fault("process_lost", f"the {self.stage} process keeps dying; see the log")
            self._events.on_fatal(self.stage, fault)
            return
        self.restarts += 1
        # One that died while it loaded is never too long ago: nothing was well since.
        self._deaths.append(now if was_ready else math.inf)
        delay = self._limits.backoff_s[min(tries, len(self._limits.backoff_s) - 1)]
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
        process, limits = self._process, self._limits
        if process is None:
            return
        starting = self.state == "starting"
        dump_s, kill_s = (limits.ready_s, limits.ready_s + _TICK_S) if starting else (limits.dump_s, limits.kill_s)
        age = now - max(self._progress_at, self._patient_until)
        if age > dump_s and not self._dumped:
            log.warning("%s shows no progress for %.1f s; its stacks follow", self.stage, age)
            self._dumped = True
            self.state = "starting" if starting else "hung"
            process.dump_stacks()
        if age > kill_s:
            log.error("%s shows no progress for %.1f s and is killed", self.stage, age)
            process.kill()


def start_message(config: msgspec.Struct, *, log_json: bool, log_level: str, secrets: list[str]) -> Start:
    """The first message to a child."""
    return Start(msgspec.msgpack.encode(config), log_json, log_level, secrets)
