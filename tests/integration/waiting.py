"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Poll until something holds; what it was."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found or time.monotonic() > deadline:
            assert found, "it did not come to hold in time"
            return found
        time.sleep(0.05)
