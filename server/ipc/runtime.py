"""The loop of a child: waits for messages, steps its stage, sends what comes of it, shows that it is alive."""

import ctypes
import faulthandler
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from server.ipc.channel import Channel, ChannelClosed
from server.ipc.messages import Drain, Heartbeat, Ready

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_HEARTBEAT_S: Final = 0.5
_IDLE_S: Final = 0.5
_BLOCKED_S: Final = 0.005


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
    """What every child does first: it dies with its parent, leaves Ctrl-C to it, and dumps its stacks on SIGUSR1."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)


class StageLoop:
    """Turns until it is drained or its parent is gone."""

    def __init__(
        self, stage: Stage, control: Channel, inlets: Iterable[Inlet] = (), outlets: Iterable[Outlet] = ()
    ) -> None:
        self._stage = stage
        self._control = control
        self._inlets = list(inlets)
        self._outlets = list(outlets)
        self._selector = selectors.DefaultSelector()
        self._turns = 0
        self._beat_at = 0.0
        self._draining = False

    def run(self) -> None:
        """Say ready, then loop. Returns when drained; raises ChannelClosed when the parent is gone."""
        self._selector.register(self._control, selectors.EVENT_READ, self._control.receive)
        for inlet in self._inlets:
            self._selector.register(inlet, selectors.EVENT_READ, inlet.drain)
        self._control.discard_spills()
        self._control.send(Ready())
        while not self._draining:
            self.turn()
        self._finish()

    def turn(self) -> None:
        """Take what came, do one piece of work, send what came of it."""
        for key, _ in self._selector.select(self._patience()):
            receive: Callable[[], Iterable[Any]] = key.data
            for message in receive():
                self._take(message)
        if not any(outlet.blocked for outlet in self._outlets) and self._stage.has_work():
            self._send_all(self._stage.step())
        self._flush()
        self._beat()

    def _patience(self) -> float:
        blocked = any(outlet.blocked for outlet in self._outlets)
        if self._stage.has_work() and not blocked:
            return 0.0
        waiting = self._control.wants_write or any(outlet.waiting for outlet in self._outlets)
        return _BLOCKED_S if waiting else _IDLE_S

    def _take(self, message: Any) -> None:
        if isinstance(message, Drain):
            self._draining = True
        else:
            self._stage.submit(message)

    def _send_all(self, messages: Iterable[Any]) -> None:
        for message in messages:
            if not any(outlet.offer(message) for outlet in self._outlets) and not self._control.send(message):
                log.error("the parent does not read: a %s is lost", type(message).__name__)

    def _flush(self) -> None:
        self._control.flush()
        for outlet in self._outlets:
            outlet.flush()

    def _beat(self) -> None:
        self._turns += 1
        now = time.monotonic()
        if now - self._beat_at >= _HEARTBEAT_S:
            self._beat_at = now
            self._control.send(Heartbeat(self._turns))

    def _finish(self) -> None:
        """Close the stage and see its last words off; the parent kills a child that takes too long."""
        self._send_all(self._stage.close())
        while self._control.wants_write or any(outlet.waiting for outlet in self._outlets):
            self._flush()
            time.sleep(_BLOCKED_S)


def run_until_closed(loop: StageLoop) -> None:
    """Run a loop; a parent that is gone is no error here."""
    try:
        loop.run()
    except ChannelClosed:
        log.debug("the parent is gone")
