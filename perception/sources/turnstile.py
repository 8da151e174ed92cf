"""Lets attempts through one after the other, at a steady pace: fifty cameras that return at once are not all opened at
once."""

import threading
import time
from typing import Final

EVERY_S: Final = 0.25
"""Each attempt is two handshakes: one that asks, one that stays."""


class Turnstile:
    """Shared by all readers of a process."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next_s = 0.0
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> bool:
        """Block until it is this thread's turn. False: `stop` was set meanwhile; its turn is lost."""
        now_s = time.monotonic()
        return not stop.wait(self.turn_s(now_s) - now_s)

    def turn_s(self, now_s: float) -> float:
        """When it is the turn of who comes now; nobody else has it."""
        with self._lock:
            turn_s = max(now_s, self._next_s)
            self._next_s = turn_s + self._every_s
        return turn_s
