"""One log line a second for something that may happen a thousand times a second."""

import logging
import time
from collections.abc import Callable


class RateLimitedWarning:
    """Counts, and tells of it at most every `every_s` seconds. `%d` in `message`: how often since the last line."""

    def __init__(
        self,
        logger: logging.Logger,
        message: str,
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger, self._message = logger, message
        self._every_s, self._clock = every_s, clock
        self._told_at: float | None = None
        self._untold = 0
        self.total = 0

    def __call__(self, count: int = 1) -> None:
        """It happened `count` times."""
        self.total += count
        self._untold += count
        now = self._clock()
        if self._told_at is None or now - self._told_at >= self._every_s:
            self._logger.warning(self._message, self._untold)
            self._told_at, self._untold = now, 0
