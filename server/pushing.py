"""Media that clients push: sessions, packets and barriers into the media ring, at the stream's pace."""

import asyncio
from dataclasses import dataclass
from typing import Any

from perception.messages import Barrier, Packet, PushSource, SessionEnded, SessionStarted
from server.core import Core
from server.errors import RequestError, not_ready
from server.metrics import label_of
from server.streams import StreamEntry

REAL_PATIENCE_S = 1.0
"""How long a live sender may be held back before its packet is dropped."""

PERCEPTION_PATIENCE_S = 30.0
"""How long a `fast` sender waits for a perception that is being replaced."""

BARRIER_PATIENCE_S = 10.0
"""How long a live sender's barrier may wait for its place."""

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
    """One connected sender of one push stream. The newest sender of a stream replaces the one before.

    A sender is one from its first packet on: who only connects, or sends what is no media, replaces nobody.
    """

    def __init__(self, core: Core, entry: StreamEntry) -> None:
        if not isinstance(entry.source, PushSource):
            raise RequestError("not_a_push_stream", "this stream has its own source: add a push stream to send media")
        self._core = core
        self._entry = entry
        self._fast = entry.source.pace == "fast"
        self._session = 0
        self._epoch = -1
        self._label = label_of(entry.key)
        self._was_sender = False
        self._sent_since_barrier = False
        self._barrier = 0
        self._reached: asyncio.Future[Any] | None = None
        self._marking: asyncio.Task[None] | None = None

    async def push(self, media: Media) -> None:
        """Hand a packet to perception; `fast` waits for room, otherwise it may be dropped and counted.

        Raises RequestError sender_replaced, not_ready.
        """
        arrival_us, wall_us = self._core.clocks.monotonic_us(), self._core.clocks.wall_us()
        await self._need_open(PERCEPTION_PATIENCE_S if self._fast else REAL_PATIENCE_S)
        self._take_over()
        accepted = await self._offer(media, arrival_us, wall_us)
        self._core.metrics.pushed.labels(self._label, "accepted" if accepted else "dropped").inc()
        self._sent_since_barrier = self._sent_since_barrier or accepted
        if not accepted and media.codec not in _IMAGES:
            # What follows cannot be decoded without the lost unit: a new session waits for a keyframe.
            self._epoch = -1

    def barrier(self) -> asyncio.Future[Any] | None:
        """Mark this point behind all that was sent: what is returned is done once memory has committed all of it.

        None where it has. What is sent from now on comes behind the mark. The wait raises RequestError process_lost,
        not_ready.
        """
        if self._sent_since_barrier:
            self._sent_since_barrier = False
            self._mark()
        if self._reached is None or self._reached.done():
            return None
        # Several may wait for the same mark, and each may leave.
        return asyncio.shield(self._reached)

    def close(self) -> None:
        """The sender went away."""
        if self._marking is not None:
            self._marking.cancel()
        if self._reached is not None:
            self._core.waiters.drop(("Barrier", self._barrier), self._reached)
        if self._entry.sender is self:
            self._entry.sender = None
            self._end_session()

    # ------------------------------------------------------------ packets

    async def _need_open(self, patience_s: float) -> None:
        """Until this life of perception watches the stream: before, it drops what comes. Raises not_ready."""
        if self._entry.source_open:
            return
        try:
            await asyncio.wait_for(self._entry.opened.wait(), patience_s)
        except TimeoutError:
            raise not_ready("perception") from None

    def _take_over(self) -> None:
        if self._entry.sender is self:
            return
        if self._was_sender:
            raise RequestError("sender_replaced", "another sender took over this stream: connect again to push")
        self._was_sender = True
        self._entry.sender = self

    async def _offer(self, media: Media, arrival_us: int, wall_us: int) -> bool:
        if not await self._has_marked() or not await self._has_session(arrival_us, wall_us):
            return False
        packet = Packet(
            self._entry.key, self._session, media.track, media.codec, media.data, media.pts_us, arrival_us, wall_us,
            rate=media.rate, channels=media.channels,
        )  # fmt: skip
        return await self._put(packet, REAL_PATIENCE_S)

    async def _has_session(self, arrival_us: int, wall_us: int) -> bool:
        epoch = self._core.perception_epoch
        if self._epoch == epoch:
            return True
        self._session = self._core.next_request()
        started = await self._put(SessionStarted(self._entry.key, self._session, arrival_us, wall_us), REAL_PATIENCE_S)
        if started:
            self._epoch = epoch
        return started

    async def _put(self, record: Packet | SessionStarted | Barrier, patience_s: float) -> bool:
        """False: there is no room, and this sender does not wait for it any longer."""
        host = self._core.host
        if host.try_push(record):
            return True
        try:
            await asyncio.wait_for(host.push(record), None if self._fast else patience_s)
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

    # ------------------------------------------------------------ barriers

    def _mark(self) -> None:
        self._barrier = self._core.next_request()
        self._reached = self._core.waiters.expect(("Barrier", self._barrier), "perception", "memory")
        record = Barrier(self._entry.key, self._barrier)
        if not self._entry.source_open or not self._core.host.try_push(record):
            # Whoever asked is not kept from hearing of its end, nor from saying that it waits no longer.
            self._marking = asyncio.create_task(self._mark_later(record))

    async def _mark_later(self, record: Barrier) -> None:
        try:
            await self._need_open(PERCEPTION_PATIENCE_S if self._fast else BARRIER_PATIENCE_S)
            if not await self._put(record, BARRIER_PATIENCE_S):
                raise RequestError("not_ready", "perception does not keep up: ask again in a moment")
        except RequestError as error:
            self._sent_since_barrier = True
            self._core.waiters.fail(("Barrier", record.barrier), error)

    async def _has_marked(self) -> bool:
        """Nothing passes by a mark that waits for its place."""
        if self._marking is None:
            return True
        await asyncio.wait({self._marking}, timeout=None if self._fast else REAL_PATIENCE_S)
        return self._marking.done()
