"""Which event reasoning describes next, while nobody asks: the newest that was closed, then older ones; its words."""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from memory import writing
from memory.caption_messages import LONGEST_CAPTION, Captioned, CaptionFrame, CaptionKept, ToCaption, WantCaption
from memory.messages import FOREVER_US, EventCommitted, MemoryOutput
from memory.rows import EventRow
from memory.stream import Stream
from memory.writer import Job, Writer

log = logging.getLogger(__name__)

_FRESH: Final = 256
_PAGE: Final = 32
_TOP: Final = 1 << 40


@dataclass
class Describer:
    """Answers one `WantCaption` at a time; `say` takes what is to be told.

    fresh: (stream, id) of events that were closed lately. looked: by stream, the number below which older events have
    still to be looked at. Both are known in RAM alone: after a start all events are looked at once more.
    """

    writer: Writer
    say: Callable[[MemoryOutput], None]
    wanted: bool = False
    fresh: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_FRESH))
    looked: dict[str, int] = field(default_factory=dict)
    _given: deque[str] = field(default_factory=lambda: deque(maxlen=2 * _FRESH))

    def note(self, message: EventCommitted) -> None:
        """An event was closed."""
        if not message.event.open:
            self.fresh.append((message.event.stream, message.event.id))

    def take(self, message: WantCaption | Captioned, streams: Mapping[str, Stream]) -> None:
        """Reasoning has nothing else to do, or has described an event. One that it never described is passed over."""
        if isinstance(message, WantCaption):
            self.wanted = True
        elif message.stream in streams:
            self._keep(streams[message.stream], message)

    def has_work(self, streams: Mapping[str, Stream]) -> bool:
        """Whether `step` has something to look at."""
        return self.wanted and (bool(self.fresh) or any(self.looked.get(key, _TOP) > 0 for key in streams))

    def step(self, streams: Mapping[str, Stream]) -> None:
        """Look at one event, or at a page of older ones."""
        try:
            self._look(streams)
        except sqlite3.Error as error:
            # Who reads or writes there is told; its events go without captions.
            log.error("events cannot be read for captions: %s", type(error).__name__)

    def _look(self, streams: Mapping[str, Stream]) -> None:
        if self.fresh:
            key, event = self.fresh.pop()
            row = streams[key].store.reader.by_id(event) if key in streams else None
            rows = [] if row is None else [row]
        else:
            key = max(streams, key=lambda one: self.looked.get(one, _TOP))
            below, self.looked[key] = self.looked.get(key, _TOP), 0
            rows = streams[key].store.reader.newest(-FOREVER_US, FOREVER_US, below, _PAGE)
            self.looked[key] = rows[-1].seq if rows else 0
        for row in rows:
            if row.caption is None and not row.open and self._give(key, row, streams[key]):
                if len(rows) > 1:
                    self.looked[key] = row.seq
                return

    def _give(self, key: str, row: EventRow, stream: Stream) -> bool:
        if row.id in self._given:
            return False
        shown = sorted(row.frames, key=lambda frame: frame.media_us)
        pictures = [(frame.media_us, stream.store.reader.picture(frame.picture)) for frame in shown]
        frames = [CaptionFrame(at, jpeg) for at, jpeg in pictures if jpeg is not None]
        if frames:
            self.wanted = False
            self._given.append(row.id)
            self.say(ToCaption(key, row.id, frames))
        return bool(frames)

    def _keep(self, stream: Stream, message: Captioned) -> None:
        """Put the words into the event, if it is still there."""
        text = " ".join(message.text.split())[:LONGEST_CAPTION]
        if not text:
            return

        def done(known: bool) -> None:
            if known:
                stream.status_due = True
                self.say(CaptionKept(message.stream, message.event))

        run = partial(_caption, message.event, text)
        # Where it cannot be stored, the event is described again after a start.
        self.writer.put(Job(stream.store, run, done, lambda _: None, len(text)))


def _caption(event: str, text: str, db: sqlite3.Connection) -> bool:
    return writing.set_caption(db, event, text)
