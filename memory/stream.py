"""One stream's memory in the stage: its builder, its store's reading side and its index, with the open event on top."""

from memory.config import MemoryConfig
from memory.events import Changes, EventBuilder, Keyframe, OpenEvent, Vector
from memory.index import Hit, VectorIndex
from memory.messages import EventRecord, GapRecord, MemoryOptions
from memory.store import StreamStore, VectorRow
from perception.messages import Gap, Percept, Speech, StreamEnded, Unchanged


class StreamMemory:
    """Reads see what is committed, and the open event as it is in RAM."""

    def __init__(self, store: StreamStore, config: MemoryConfig, dim: int, start_wall_us: int, time_zone: str) -> None:
        self.stream = store.stream
        self.store = store
        self.start_wall_us = start_wall_us
        self.time_zone = time_zone
        self._config, self._dim = config, dim
        self._index: VectorIndex | None = None
        self._tombstones = store.tombstones()
        self.builder = EventBuilder(self.stream, config.max_event_us, config.keyframes)
        self.options = MemoryOptions()
        self.set_options(store.options())

    def set_options(self, options: MemoryOptions) -> None:
        """Other bounds from now on."""
        self.options = options
        self.builder.max_event_us = options.max_event_us or self._config.max_event_us

    @property
    def tolerance_us(self) -> int:
        """How far a range may reach beyond the newest event and still be covered: one event is always going on."""
        return 3_000_000

    # ------------------------------------------------------------ writing

    def take(self, record: Percept | Unchanged | Speech | Gap | StreamEnded) -> Changes:
        """Work a record in, unless it is of a time that was forgotten."""
        if isinstance(record, Percept | Unchanged) and self._is_forgotten(record.media_us):
            return Changes()
        if isinstance(record, Speech) and self._is_forgotten(record.start_us):
            return Changes()
        return self.builder.take(record)

    def stored(self, event: OpenEvent) -> None:
        """An event's frames are committed: they can be found."""
        if self._index is not None:
            self._index.keep_only(event.id, {one.n for one in event.keyframes})
            self._index.add([VectorRow(event.id, one.n, one.media_us, one.vector) for one in event.keyframes])

    def forgotten(self, events: list[str], since_us: int, until_us: int) -> None:
        """Events are gone, and their range is closed to what comes late."""
        if self._index is not None:
            self._index.remove(set(events))
        if since_us < until_us:
            self._tombstones.append((since_us, until_us))

    def _is_forgotten(self, media_us: int) -> bool:
        return any(since <= media_us < until for since, until in self._tombstones)

    # ------------------------------------------------------------ reading

    def search(self, query: Vector, since_us: int, until_us: int, count: int, *, centred: bool = False) -> list[Hit]:
        """Keyframes like the query, the open event's among them, best first."""
        hits = self.index.search(query, since_us, until_us, count, centred=centred)
        known = {(hit.event, hit.n) for hit in hits}
        for event, frame in self._open_frames():
            if (
                (event.id, frame.n) not in known
                and since_us <= frame.media_us < until_us
                and frame.vector.size == query.size
            ):
                hits.append(Hit(event.id, frame.n, frame.media_us, float(frame.vector @ query)))
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    @property
    def index(self) -> VectorIndex:
        """Made from the rows when it is first needed."""
        if self._index is None:
            self._index = VectorIndex(self._dim)
            self._index.add(list(self.store.vectors()))
        return self._index

    def jpeg(self, event: str, n: int) -> bytes | None:
        """A keyframe's picture."""
        stored = self.store.jpeg(event, n)
        if stored is not None:
            return stored
        return next((f.jpeg for one, f in self._open_frames() if one.id == event and f.n == n), None)

    def event(self, event: str) -> EventRecord | None:
        """An event, as far as it is committed."""
        return self.store.event(event)

    def span_of(self, event: str) -> tuple[int, int] | None:
        """When an event was."""
        current = self.builder.current
        if current is not None and current.id == event:
            return current.start_us, current.end_us
        record = self.store.event(event)
        return None if record is None else (record.start_us, record.end_us)

    def first_frame(self, event: str) -> tuple[int, int]:
        """Number and time of an event's first keyframe."""
        record = self.store.event(event)
        frame = record.frames[0] if record is not None and record.frames else None
        return (frame.n, frame.media_us) if frame is not None else (0, record.start_us if record is not None else 0)

    def spoken(self, since_us: int, until_us: int) -> list[tuple[str, int, int, str]]:
        """What was said in a range, the open event's words too."""
        rows = self.store.spoken(since_us, until_us)
        current = self.builder.current
        if current is not None and current.words and current.start_us < until_us and current.end_us >= since_us:
            rows = [row for row in rows if row[0] != current.id]
            rows.append((current.id, current.start_us, current.end_us, " ".join(current.words)))
        return rows

    def span(self) -> tuple[int, int]:
        """What memory spans, the open event included; -1 where it is empty."""
        start, end = self.store.span()
        current = self.builder.current
        if current is None:
            return start, end
        return (current.start_us if start < 0 else min(start, current.start_us)), max(end, current.end_us)

    def gaps(self, since_us: int, until_us: int) -> list[GapRecord]:
        """Gaps that touch a range."""
        return self.store.gaps(since_us, until_us)

    def _open_frames(self) -> list[tuple[OpenEvent, Keyframe]]:
        current = self.builder.current
        return [(current, frame) for frame in current.keyframes] if current is not None else []
