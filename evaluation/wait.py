"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TookTooLong(RuntimeError):
    """The condition did not come about in time."""


def until(condition: Callable[[], T | None], seconds: float, what: str, every_s: float = 0.1) -> T:
    """Ask again and again until the condition gives something other than None or False, and return that.

    Raises TookTooLong, which names `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what}: not within {seconds:.0f} s")
        time.sleep(every_s)
