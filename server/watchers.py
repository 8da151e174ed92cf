"""What live clients are told of a stream: state coalesced, events in a bounded queue, of frames only the newest."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from memory.messages import EventRecord
from perception.messages import Percept
from server.metrics import Metrics

MAX_EVENTS = 256
"""Events that wait for a slow client; then the oldest goes, counted."""


@dataclass(eq=False)
class Watcher:
    """One client's mailbox for one stream."""

    metrics: Metrics
    topics: frozenset[str] = frozenset({"state"})
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    state_changed: bool = True
    events: deque[EventRecord] = field(default_factory=deque)
    frame: Percept | None = None
    closed: bool = False

    def tell_state(self) -> None:
        """The stream's view changed."""
        self.state_changed = True
        if "state" in self.topics:
            self.wake.set()

    def tell_event(self, event: EventRecord) -> None:
        """An event was committed."""
        if "events" not in self.topics:
            return
        if len(self.events) >= MAX_EVENTS:
            self.events.popleft()
            self.metrics.client_drops.labels("events").inc()
        self.events.append(event)
        self.wake.set()

    def tell_frame(self, frame: Percept) -> None:
        """A frame was perceived."""
        if "frames" not in self.topics:
            return
        if self.frame is not None:
            self.metrics.client_drops.labels("frames").inc()
        self.frame = frame
        self.wake.set()

    def forget(self, since_us: int, until_us: int) -> None:
        """Take back what waits and lies in [since_us, until_us)."""
        kept = [event for event in self.events if event.end_us < since_us or event.start_us >= until_us]
        self.events = deque(kept)
        if self.frame is not None and since_us <= self.frame.media_us < until_us:
            self.frame = None

    def close(self) -> None:
        """The stream is gone."""
        self.closed = True
        self.wake.set()
