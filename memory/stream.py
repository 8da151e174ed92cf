"""One stream in memory's process: its store, the event that goes on, its index, what it covers."""

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from memory.config import MemoryConfig
from memory.events import Bounds, EventBuilder
from memory.index import VectorIndex
from memory.messages import EventRecord, MemoryOptions
from memory.reading import NOTHING, Totals
from memory.retention import Budget
from memory.rows import EventRow
from memory.spans import Spans
from memory.store import Settings, Store
from perception.messages import Fault

Change = tuple[Callable[[sqlite3.Connection], Any], Callable[[Any], None]]
"""What is done to the store; what follows once it is on disk."""


DAMAGE: Final = (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError)
"""What a damaged store raises: SQLite finds some of it, the rest are values that cannot be."""


@dataclass
class Stream:
    """State of a stream; everything on the stage's thread.

    closing: closed events whose commit is under way. unsaved: those whose commit failed; tried again, the oldest given
    up. again: small changes whose commit failed, and what follows them. covered: time of all events but the open one.
    totals: as they could be read last. unreadable: a part of the store is damaged.
    words_mended: a search found the full-text index damaged, and it was made anew.
    """

    key: str
    store: Store
    settings: Settings
    builder: EventBuilder
    index: VectorIndex
    forgotten: Spans
    covered: Spans
    budget: Budget
    closing: dict[int, EventRow] = field(default_factory=dict)
    unsaved: deque[EventRow] = field(default_factory=deque)
    again: list[Change] = field(default_factory=list)
    retry_at_us: int | None = None
    saved: EventRow | None = None
    saved_seq: int = 0
    saved_frames: frozenset[int] = frozenset()
    saved_at_us: int = 0
    status_due: bool = True
    status_at_us: int | None = None
    purge_at_us: int | None = None
    totals: Totals = NOTHING
    unreadable: bool = False
    words_mended: bool = False
    fault: Fault | None = None

    @classmethod
    def open(cls, key: str, store: Store, config: MemoryConfig, dim: int) -> "Stream":
        """Take up what the store holds. Raises one of DAMAGE."""
        settings, resume = store.settings(), store.resume()
        forgotten = Spans(store.reader.tombstones())
        builder = EventBuilder(bounds_of(config, settings.options), resume, forgotten)
        covered = Spans(store.reader.spans())
        index = VectorIndex(dim, resume.next_seq)
        return cls(key, store, settings, builder, index, forgotten, covered, budget_of(config, settings.options))

    def configure(self, settings: Settings, config: MemoryConfig) -> None:
        """Take over new options."""
        self.settings = settings
        self.builder.bounds = bounds_of(config, settings.options)
        self.budget = budget_of(config, settings.options)

    @property
    def end_us(self) -> int:
        """Where media time goes on."""
        return max(0, self.builder.end_us)

    def live(self) -> list[EventRow]:
        """Events that are in RAM with their pictures: not yet committed, and the open one."""
        row = self.builder.row()
        return [*self.unsaved, *self.closing.values(), *([row] if row is not None else [])]

    def live_frame(self, event: str, n: int) -> bytes | None:
        """A frame of an event that is in RAM."""
        frames = (frame for row in self.live() if row.id == event for frame in row.frames)
        return next((frame.jpeg for frame in frames if frame.n == n), None)

    def spans(self) -> Spans:
        """Time of all events, the open one included."""
        row = self.builder.row()
        if row is None:
            return self.covered
        spans = self.covered.copy()
        spans.add(row.start_us, row.observed_us + 1)
        return spans

    def record(self, row: EventRow, score: float | None = None) -> EventRecord:
        """An event of the store as it is told. Frames of the open one that are told stay there."""
        now = self.builder.row()
        if now is not None and now.seq == row.seq:
            self.builder.pin(row.id, [frame.n for frame in row.frames])
            known = {frame.n for frame in now.frames}
            for missing in (frame for frame in row.frames if frame.n not in known):
                stored = self.store.reader.keyframe(row.seq, missing)
                if stored is not None:
                    self.builder.restore(row.id, stored)
        return row.record(self.key, score)

    def drop_pictures(self, dead: Spans) -> set[str]:
        """Let go of pictures that were captured in a dead time; the ids of the events in RAM that showed one."""
        before = [*self.unsaved, *self.closing.values()]
        self.unsaved = deque(row.without(dead.holds) for row in self.unsaved)
        self.closing = {seq: row.without(dead.holds) for seq, row in self.closing.items()}
        changed = {
            old.id for old, new in zip(before, [*self.unsaved, *self.closing.values()], strict=True) if old != new
        }
        still_open = self.builder.drop_pictures(dead.holds)
        return changed if still_open is None else changed | {still_open}


def bounds_of(config: MemoryConfig, options: MemoryOptions) -> Bounds:
    """How this stream's events close."""
    longest = config.max_event_us if options.max_event_us is None else options.max_event_us
    return Bounds(longest, config.min_event_us, config.speech_event_us, config.keyframes)


def budget_of(config: MemoryConfig, options: MemoryOptions) -> Budget:
    """What this stream may keep."""
    return Budget(
        config.max_bytes if options.max_bytes is None else options.max_bytes,
        config.max_age_us if options.max_age_us is None else options.max_age_us,
        config.keyframes,
    )
