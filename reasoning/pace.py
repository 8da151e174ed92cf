"""How fast this machine reads: how much of a prompt a step holds, and how long the next step may take."""

from typing import Final

STEP_S: Final = 1.3
"""What reading a chunk may take: small chunks cost throughput, long steps delay a cancellation and the heartbeat."""
SMALLEST: Final = 32
"""Fewer tokens than these take hardly less time."""
LARGEST: Final = 4096
_TIMES: Final = 4.0
"""How much longer than the slowest step so far the next may take: attention costs more behind a long prompt."""
_USUAL_S: Final = 4.0
_LONGEST_S: Final = 120.0


class Pace:
    """chunk: tokens of a prompt that a step reads at most."""

    def __init__(self, chunk: int, most: int | None = None) -> None:
        """most: what the chunk may grow to; None: it never grows beyond what it is."""
        self.chunk = chunk
        self._most = chunk if most is None else most
        self._slowest_s = 0.0

    def note(self, seconds: float) -> None:
        """Learn from a step, whatever it did."""
        self._slowest_s = max(self._slowest_s, seconds)

    def note_chunk(self, tokens: int, seconds: float) -> None:
        """Learn from tokens that were read: where they took far too long the next chunk is half of this one; where a
        whole chunk was quick, twice: a machine that was busy when it was measured is not slow for ever."""
        self.note(seconds)
        if seconds > 2 * STEP_S:
            self.chunk = max(min(SMALLEST, self.chunk), self.chunk // 2)
        elif tokens >= self.chunk and seconds < STEP_S / 2:
            self.chunk = min(self._most, 2 * self.chunk)

    def next_step_s(self) -> float:
        """How long the next step may take; 0 where that is nothing to speak of."""
        seconds = min(_TIMES * self._slowest_s, _LONGEST_S)
        return seconds if seconds > _USUAL_S else 0.0


def fitting_chunk(rate: float) -> int:
    """What is read within `STEP_S` at so many tokens a second.

    A power of two, so that the same machine cuts the same prompt alike each time.
    """
    chunk = SMALLEST
    while chunk * 1.5 <= rate * STEP_S and chunk < LARGEST:
        chunk *= 2
    return chunk
