"""Pushes a video through the live websocket at the pace of its own clock, and listens to what comes back."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from clients.api import ApiError, Json
from clients.live import Live
from clients.media import MediaUnit


@dataclass(frozen=True)
class Seen:
    """A perceived frame as the topic `frames` tells it: its time, and when the word of it came (both Unix time)."""

    time_s: float
    heard_s: float


class LivePush:
    """`with LivePush(url, "cam", units, period_us):` sends in real time from a thread of its own until it is left.

    The units are sent in a loop, their clock going on. `seen` collects what the server says it perceived.
    """

    def __init__(self, url: str, stream: str, units: Sequence[MediaUnit], period_us: int) -> None:
        self._url, self._stream = url, stream
        self._units, self._period_us = units, period_us
        self._live: Live | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.seen: list[Seen] = []
        self.sent = 0
        self.late_s = 0.0
        self.error: str | None = None

    def __enter__(self) -> Self:
        live = self._live = Live(self._url, self._stream)
        live.subscribe("frames")
        live.announce(0, "h264")
        for work in (self._send, self._listen):
            self._threads.append(threading.Thread(target=work, args=(live,), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        if self._live is not None:
            self._live.close()

    def _send(self, live: Live) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            loops, place = divmod(self.sent, len(self._units))
            unit = self._units[place]
            pts_us = unit.pts_us + loops * self._period_us
            ahead_s = pts_us / 1e6 - (time.monotonic() - began)
            if ahead_s > 0 and self._stop.wait(ahead_s):
                return
            self.late_s = max(self.late_s, -ahead_s)
            try:
                live.send(0, unit.data, pts_us)
            except ApiError as lost:
                self.error = str(lost)
                return
            self.sent += 1

    def _listen(self, live: Live) -> None:
        while not self._stop.is_set():
            for message in live.told(0.2):
                self._hear(message)

    def _hear(self, message: Json) -> None:
        if message.get("type") == "frame":
            self.seen.append(Seen(wall_s(message["time"]), time.time()))
        elif message.get("type") == "error":
            self.error = str(message.get("error"))


def wall_s(text: str) -> float:
    """An RFC 3339 time as Unix time in seconds."""
    return datetime.fromisoformat(text).timestamp()
