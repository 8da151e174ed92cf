"""A stream's media that waits to be decoded: bounded in number, and where it is live, in age."""

from collections import deque
from collections.abc import Callable
from typing import Final

from perception.decode import is_sound
from perception.messages import Barrier, Packet, SessionEnded, SessionStarted

QUEUE_PACKETS: Final = 600
"""A live stream's packets that may wait: twenty seconds of a usual camera."""
ROOM_PACKETS: Final = 64
"""A file's or fast sender's packets that may wait."""
LATE_US: Final = 4_000_000
"""A live stream whose oldest packet has waited for so long goes on with what came lately."""
_LATELY_US: Final = 1_000_000
_LOOK_US: Final = 500_000
"""Between two searches for a keyframe to go on with."""

Input = Packet | SessionStarted | SessionEnded | Barrier


class Backlog:
    """First in, first out; of a live stream the oldest packets are dropped where they are too many or too old."""

    def __init__(self, live: bool, is_keyframe: Callable[[Packet], bool]) -> None:
        self._live, self._is_keyframe = live, is_keyframe
        self._queue: deque[Input] = deque()
        self._searched_us: int | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: Input) -> int:
        """Queue a message; how many packets were dropped: all, where a live stream's were too many."""
        self._queue.append(message)
        if not self._live or len(self._queue) <= QUEUE_PACKETS:
            return 0
        return self._keep([one for one in self._queue if not isinstance(one, Packet)])

    def get(self) -> Input:
        """The oldest message."""
        return self._queue.popleft()

    def barriers(self) -> list[Barrier]:
        """Those that wait behind media."""
        return [message for message in self._queue if isinstance(message, Barrier)]

    def waited_us(self, now_us: int) -> int:
        """How long the oldest message has waited."""
        oldest = self._queue[0] if self._queue else None
        return 0 if oldest is None or isinstance(oldest, Barrier) else max(0, now_us - oldest.arrival_us)

    def catch_up(self, now_us: int) -> int:
        """Where a live stream is too late, have it go on with a keyframe that came lately; how many packets were
        dropped. Where there is none, it stays late until one comes. Sound is kept: it costs little."""
        if not self._live or self.waited_us(now_us) < LATE_US:
            return 0
        if self._searched_us is not None and now_us - self._searched_us < _LOOK_US:
            return 0
        self._searched_us = now_us
        start = self._fresh_start(now_us - _LATELY_US)
        if start is None:
            return 0
        queue = list(self._queue)
        before = [one for one in queue[:start] if not isinstance(one, Packet) or is_sound(one.codec)]
        return self._keep([*before, *queue[start:]])

    def _fresh_start(self, since_us: int) -> int | None:
        """Where the first keyframe lies that came since then, or the last one of all."""
        found: int | None = None
        for place, one in enumerate(self._queue):
            if place and isinstance(one, Packet) and not is_sound(one.codec) and self._is_keyframe(one):
                found = place
                if one.arrival_us >= since_us:
                    break
        return found

    def _keep(self, kept: list[Input]) -> int:
        lost = len(self._queue) - len(kept)
        self._queue = deque(kept)
        return lost
