"""The machine's monotonic clock in microseconds: the same in all processes."""

import time


def monotonic_us() -> int:
    """Microseconds since some moment in the past."""
    return time.monotonic_ns() // 1000
