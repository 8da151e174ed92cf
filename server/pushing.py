"""Media that clients push: sessions, packets and barriers into the media ring, at the stream's pace."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from perception.messages import Barrier, Packet, PushSource, SessionEnded, SessionStarted
from server.core import Core
from server.errors import RequestError
from server.metrics import label_of
from server.streams import StreamEntry

REAL_PATIENCE_S = 1.0
"""How long a live sender may be held back before its packet is dropped."""

PERCEPTION_PATIENCE_S = 30.0
"""How long a `fast` sender waits for a perception that is being replaced."""

_IMAGES = frozenset({"jpeg", "png", "webp"})


@dataclass
class Media:
    """One media message of a client."""

    track: int
    codec: str
    data: bytes
    pts_us: int | None
    rate: int = 0
    channels: int = 0


class Pusher:
    """One connected sender of one push stream. The newest sender of a stream replaces the one before."""

    def __init__(self, core: Core, entry: StreamEntry) -> None:
        if not isinstance(entry.source, PushSource):
            raise RequestError("not_a_push_stream", "this stream has its own source: add a push stream to send media")
        self._core = core
        self._entry = entry
        self._fast = entry.source.pace == "fast"
        self._session = 0
        self._epoch = -1
        self._label = label_of(entry.key)
        self.sent_since_barrier = False
        self._replaced = False
        entry.sender = self

    async def push(self, media: Media) -> None:
        """Hand a packet to perception; `fast` waits for room, otherwise it may be dropped and counted.

        Raises RequestError sender_replaced, not_ready.
        """
        arrival_us, wall_us = self._core.clocks.monotonic_us(), self._core.clocks.wall_us()
        await self._need_session(arrival_us, wall_us)
        packet = Packet(
            self._entry.key, self._session, media.track, media.codec, media.data, media.pts_us, arrival_us, wall_us,
            rate=media.rate, channels=media.channels,
        )  # fmt: skip
        accepted = await self._put(packet)
        self._core.metrics.pushed.labels(self._label, "accepted" if accepted else "dropped").inc()
        self.sent_since_barrier = self.sent_since_barrier or accepted
        if not accepted and media.codec not in _IMAGES:
            # What follows cannot be decoded without the lost unit: a new session waits for a keyframe.
            self._epoch = -1

    async def barrier(self) -> Awaitable[Any] | None:
        """Mark this point behind all that was sent: what is returned is done once memory has committed all of it.

        None where nothing was sent since the last one. The wait raises RequestError process_lost.
        """
        if not self.sent_since_barrier:
            return None
        self.sent_since_barrier = False
        number = self._core.next_request()
        future = self._core.waiters.expect(("Barrier", number), "perception", "memory")
        if not await self._put(Barrier(self._entry.key, number), patient=True):
            self._core.waiters.fail(
                ("Barrier", number), RequestError("not_ready", "perception does not keep up: ask again in a moment")
            )
        return future

    def close(self) -> None:
        """The sender went away."""
        if self._entry.sender is not self:
            return
        self._entry.sender = None
        self._end_session()

    async def _need_session(self, arrival_us: int, wall_us: int) -> None:
        if self._entry.sender is not self:
            if self._replaced or self._entry.sender is None or self._session:
                self._replaced = True
                raise RequestError("sender_replaced", "another sender took over this stream: connect again to push")
            self._entry.sender = self
        if not self._core.is_ready("perception"):
            await self._core.wait_ready("perception", PERCEPTION_PATIENCE_S if self._fast else REAL_PATIENCE_S)
        if self._epoch == self._core.perception_epoch:
            return
        self._session = self._core.next_request()
        if await self._put(SessionStarted(self._entry.key, self._session, arrival_us, wall_us)):
            self._epoch = self._core.perception_epoch

    async def _put(self, record: Packet | SessionStarted | Barrier, patient: bool = False) -> bool:
        host = self._core.host
        if host.try_push(record):
            return True
        if self._fast:
            await host.push(record)
            return True
        try:
            await asyncio.wait_for(host.push(record), 10 * REAL_PATIENCE_S if patient else REAL_PATIENCE_S)
        except TimeoutError:
            return False
        return True

    def _end_session(self) -> None:
        if self._epoch != self._core.perception_epoch:
            return
        self._epoch = -1
        ended = SessionEnded(self._entry.key, self._session, False, None, self._core.clocks.monotonic_us())
        if not self._core.host.try_push(ended):
            self._core.spawn(self._core.host.push(ended))
