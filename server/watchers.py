"""What live clients are told of a stream: state coalesced, events in a bounded queue, of frames only the newest."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from memory.messages import EventRecord
from perception.messages import Percept
from server.keys import Principal
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

    def subscribe(self, topics: frozenset[str], newest: Percept | None) -> None:
        """From now on tell of these; what waits of others goes. newest: told at once to who had no frames until now."""
        if "frames" in topics and "frames" not in self.topics:
            self.frame = newest
        self.topics = topics
        self.state_changed = True
        if "events" not in topics:
            self.events.clear()
        if "frames" not in topics:
            self.frame = None
        self.wake.set()

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


class Sessions:
    """Live connections, so that the server can say goodbye to all of them."""

    def __init__(self) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._closing: dict[object, asyncio.Future[int]] = {}
        self._whose: dict[object, Principal] = {}

    def enter(self, session: object, principal: Principal) -> asyncio.Future[int]:
        """A future for the code that the session is to close with. principal: whose it is."""
        self.idle.clear()
        self._whose[session] = principal
        future = self._closing[session] = asyncio.get_running_loop().create_future()
        return future

    def leave(self, session: object) -> None:
        """The session is over."""
        self._closing.pop(session, None)
        self._whose.pop(session, None)
        if not self._closing:
            self.idle.set()

    def close(self, session: object, code: int) -> None:
        """Ask one to close."""
        future = self._closing.get(session)
        if future is not None and not future.done():
            future.set_result(code)

    def close_those_of(self, shut_out: Callable[[Principal], bool], code: int) -> None:
        """Ask those to close whose key opens nothing any more."""
        for session, principal in list(self._whose.items()):
            if shut_out(principal):
                self.close(session, code)

    def close_all(self, code: int) -> None:
        """Ask all to close."""
        for session in list(self._closing):
            self.close(session, code)
