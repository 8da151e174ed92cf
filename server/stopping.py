"""Signals from the command's first moment on: SIGTERM and SIGINT ask to stop, SIGHUP to read the configuration again.

Nothing heavy is imported here: until these are installed a signal kills.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final


class Asker:
    """Counts how often signals asked for something, and passes it on to what the server does at the moment."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self.asked = 0
        self._told = 0
        self._listener: Callable[[], object] | None = None

    def install(self) -> None:
        """From now on the signals only ask. Call it from the main thread."""
        for number in self._signals:
            signal.signal(number, self._on_signal)

    def finish(self) -> None:
        """What comes from now on comes too late: the exit code is settled."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def telling(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call the listener for each time that the server is asked, the times before included."""
        self._told, self._listener = 0, listener
        self._pass_on()
        try:
            yield
        finally:
            self._listener = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        self._pass_on()

    def _pass_on(self) -> None:
        while self._listener is not None and self._told < self.asked:
            self._told += 1
            self._listener()


class Stopper(Asker):
    """Asked to stop."""

    def __init__(self) -> None:
        super().__init__(signal.SIGTERM, signal.SIGINT)


class Reloader(Asker):
    """Asked to read the configuration again; where SIGHUP says that the server's terminal is gone, it stops instead."""

    def __init__(self) -> None:
        super().__init__(signal.SIGHUP)
        self._terminals: list[int] = []

    def install(self) -> None:
        """See Asker."""
        self._terminals = [stream for stream in _STREAMS if os.isatty(stream)]
        super().install()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if all(map(os.isatty, self._terminals)):
            super()._on_signal(number, frame)
        else:
            os.kill(os.getpid(), signal.SIGTERM)


_STREAMS: Final = (0, 1, 2)

stopper = Stopper()
"""The one of this process: the command line installs it, `server.run` listens."""
reloader = Reloader()
"""The same for SIGHUP."""
