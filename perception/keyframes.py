"""How often a video can be entered: arrivals of keyframes in, whether they come often enough to do with them out."""

from typing import Final

CLOSE_US: Final = 2_200_000
"""Keyframes that lie further apart show too little of what happens."""


class KeyframeMeter:
    """Of one live video, on the clock of arrivals."""

    def __init__(self) -> None:
        self._newest_us: int | None = None
        self._apart_us: int | None = None

    def saw(self, arrival_us: int) -> None:
        """A keyframe came."""
        if self._newest_us is not None:
            self._apart_us = arrival_us - self._newest_us
        self._newest_us = arrival_us

    def close(self, arrival_us: int) -> bool:
        """Whether the newest two came soon after one another, and the next one is not overdue."""
        if self._newest_us is None or self._apart_us is None:
            return False
        return self._apart_us <= CLOSE_US and arrival_us - self._newest_us <= CLOSE_US
