"""How a thread beside a stage's loop tells it that there is something to do."""

import os
from collections.abc import Iterator
from typing import Any


class WakeUp:
    """An eventfd by which a thread of the stage's own wakes the loop."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """The eventfd."""
        return self._event

    def notify(self) -> None:
        """Wake the loop; from any thread."""
        os.eventfd_write(self._event, 1)

    def drain(self) -> Iterator[Any]:
        """Take the note; the stage itself knows what there is to do."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return
        yield from ()
