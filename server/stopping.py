"""SIGTERM and SIGINT from the command's first moment on. Nothing heavy is imported here: until then a signal kills."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopper:
    """Counts how often the server was asked to stop, and passes it on to what it does at the moment."""

    def __init__(self) -> None:
        self.asked = 0
        self._told = 0
        self._listener: Callable[[], object] | None = None

    def install(self) -> None:
        """From now on signals only ask. Call it from the main thread."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def finish(self) -> None:
        """What comes from now on comes too late: the exit code is settled."""
        for number in _SIGNALS:
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


stopper = Stopper()
"""The one of this process: the command line installs it, `server.run` listens."""
