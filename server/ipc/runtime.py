"""The loop of a child: waits for messages, steps its stage, sends what comes of it, shows that it is alive."""

import ctypes
import faulthandler
import logging
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol, runtime_checkable

from server.ipc.channel import Channel
from server.ipc.messages import Drain, Heartbeat, LongStep, Ready
from server.ipc.warn import RateLimitedWarning

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_HEARTBEAT_S: Final = 0.5
_IDLE_S: Final = 0.5
_BLOCKED_S: Final = 0.005
_CLOSE_S: Final = 30.0
"""How long a stage may take to close; nothing is heard of it meanwhile."""
_OOM_SCORE: Final = 500


class Stage(Protocol):
    """The four verbs of every stage."""

    def submit(self, message: Any) -> None:
        """Take a message; never blocks."""

    def step(self) -> list[Any]:
        """Do a bounded piece of work and hand out what came of it."""

    def has_work(self) -> bool:
        """Whether `step` has something to do."""

    def close(self) -> list[Any]:
        """Finish what is open."""


@runtime_checkable
class Deliberate(Protocol):
    """A stage with steps that take seconds: it says so before them."""

    def next_step_s(self) -> float:
        """How long the next step may take at most, in seconds; 0: no longer than any other."""


@runtime_checkable
class Leisured(Protocol):
    """A stage that finds work for itself while nobody asks: it is told when there is no time for that any more."""

    def end_leisure(self) -> None:
        """From now on only what is asked for."""


class Inlet(Protocol):
    """Something besides the control channel that messages come from."""

    def fileno(self) -> int:
        """Readable when there is something."""

    def drain(self) -> Iterable[Any]:
        """All messages there are now."""


class Outlet(Protocol):
    """Something besides the control channel that messages go to."""

    def offer(self, message: Any) -> bool:
        """Take the message if it is for this outlet."""

    def flush(self) -> None:
        """Send on what waits."""

    @property
    def waiting(self) -> bool:
        """Whether `flush` has something to do."""

    @property
    def blocked(self) -> bool:
        """Whether the stage should do nothing more until this outlet has room."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if it has died already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


def prepare_process(parent: int) -> None:
    """What every child does first: die with the parent, leave a terminal's signals to it, dump stacks on SIGUSR1."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    # A core file would hold what was seen and said.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where memory runs out, a stage goes before the server that replaces it.
    Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


class StageLoop:
    """Turns until it is drained or its parent is gone."""

    def __init__(
        self,
        stage: Stage,
        control: Channel,
        inlets: Iterable[Inlet] = (),
        outlets: Iterable[Outlet] = (),
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        """on_drain: called before the last work is done; shuts what would bring more of it."""
        self._stage = stage
        self._deliberate = stage if isinstance(stage, Deliberate) else None
        self._control = control
        self._outlets = list(outlets)
        self._on_drain = on_drain
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        for inlet in inlets:
            self._selector.register(inlet, selectors.EVENT_READ, inlet)
        self._turns = 0
        self._beat_at = 0.0
        self._draining = False
        self._lost = RateLimitedWarning(log, "the parent does not read: %d messages lost")

    def run(self) -> None:
        """Say ready, then loop. Returns when drained; raises ChannelClosed when the parent is gone."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._control.discard_spills()
        if self._stage.has_work():
            # What a stage found when it was built is known before it is ready.
            self._send_all(self._stage.step())
        self._control.send(Ready())
        while not self._draining:
            self.turn(self._patience())
        self._finish()

    def turn(self, patience_s: float) -> bool:
        """Take what came, do one piece of work, send what came of it. False: there was nothing to do."""
        events = self._selector.select(patience_s)
        records = [record for key, _ in events if key.data is not None for record in key.data.drain()]
        # A record may rest on a message that was sent before it, as a stream's media on what opens the stream. What the
        # selector found first says nothing about that: such messages are there now, and go first.
        messages = self._control.receive()
        for message in (*messages, *records):
            self._take(message)
        works = self._stage.has_work()
        if works and not self._blocked():
            self._announce()
            self._send_all(self._stage.step())
        self._flush()
        self._beat()
        return works or bool(events or messages)

    def _patience(self) -> float:
        if self._stage.has_work() and not self._blocked():
            return 0.0
        return _BLOCKED_S if self._waiting() else _IDLE_S

    def _blocked(self) -> bool:
        """Whether what the stage gave has nowhere to go."""
        return self._control.crowded or any(outlet.blocked for outlet in self._outlets)

    def _waiting(self) -> bool:
        return self._control.wants_write or any(outlet.waiting for outlet in self._outlets)

    def _take(self, message: Any) -> None:
        if isinstance(message, Drain):
            self._draining = True
        else:
            self._stage.submit(message)

    def _announce(self) -> None:
        if self._deliberate is not None and (seconds := self._deliberate.next_step_s()) > 0:
            self._control.send(LongStep(seconds))

    def _send_all(self, messages: Iterable[Any]) -> None:
        for message in messages:
            if not any(outlet.offer(message) for outlet in self._outlets) and not self._control.send(message):
                self._lost()

    def _flush(self) -> None:
        self._control.flush()
        for outlet in self._outlets:
            outlet.flush()

    def _beat(self) -> None:
        self._turns += 1
        now = time.monotonic()
        # A parent that does not read needs no pile of heartbeats.
        if now - self._beat_at >= _HEARTBEAT_S and not self._control.wants_write:
            self._beat_at = now
            self._control.send(Heartbeat(self._turns))

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """The parent decides when to stop, and says it by `Drain`; only then a signal means: without finishing."""
        if self._draining:
            sys.exit(1)

    def _finish(self) -> None:
        """Work off what came, close the stage, see its last words off; the parent ends a child that takes too long."""
        self._on_drain()
        if isinstance(self._stage, Leisured):
            self._stage.end_leisure()
        while self.turn(_BLOCKED_S if self._blocked() else 0.0):
            pass
        self._control.send(LongStep(_CLOSE_S))
        self._send_all(self._stage.close())
        while self._waiting():
            self._flush()
            self._beat()
            time.sleep(_BLOCKED_S)
