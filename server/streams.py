"""Streams: their declarations, their life between memory and perception, what is known of each."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from memory.messages import MemoryOptions, MemoryStatus
from perception.messages import Fault, FileSource, Percept, PushSource, Source, StreamStatus
from server.core import Clocks
from server.errors import RequestError
from server.protocol import Pace, SourceSpec, State, StreamOptions
from server.times import Clock
from server.watchers import Watcher


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """All that makes a stream, as it is kept with its memory and handed back at start. Carries credentials."""

    id: str
    tenant: str
    created_wall_us: int
    start_wall_us: int
    url: str | None = None
    pace: Pace | None = None
    start: str | None = None
    sample_fps: float | None = None
    max_event_s: float | None = None
    max_bytes: int | None = None
    max_age_s: float | None = None
    prompt: str | None = None
    time_zone: str | None = None
    version: int = 1

    @property
    def key(self) -> str:
        """The stream's name between processes."""
        return f"{self.tenant}/{self.id}"

    @property
    def spec(self) -> SourceSpec:
        """The source as it was asked for."""
        if self.url is None:
            return SourceSpec(push=True, pace=self.pace or "real", start=self.start)
        return SourceSpec(url=self.url, pace=self.pace, start=self.start)

    @property
    def memory_options(self) -> MemoryOptions:
        """Bounds of its memory; None: the server's."""
        return MemoryOptions(
            max_event_us=None if self.max_event_s is None else round(self.max_event_s * 1e6),
            max_bytes=self.max_bytes,
            max_age_us=None if self.max_age_s is None else round(self.max_age_s * 1e6),
        )

    def json(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode()


def with_options(declaration: Declaration, options: StreamOptions) -> Declaration:
    """The declaration with the options that the request names; null gives one back to the server's default."""
    changes: dict[str, object] = {}
    for name in ("prompt", "time_zone"):
        if name in options.model_fields_set:
            changes[name] = getattr(options, name)
    if "sample" in options.model_fields_set:
        changes["sample_fps"] = None if options.sample is None else options.sample.fps
    if "memory" in options.model_fields_set:
        for name in ("max_event_s", "max_bytes", "max_age_s"):
            if options.memory is None or name in options.memory.model_fields_set:
                changes[name] = None if options.memory is None else getattr(options.memory, name)
    return msgspec.structs.replace(declaration, **changes)


@dataclass(eq=False)
class StreamEntry:
    """A stream as the server knows it."""

    declaration: Declaration
    source: Source | None
    lane: int
    fault: Fault | None = None
    closing: bool = False
    memory_open: bool = False
    end_known: bool = False
    end_us: int = 0
    newest_us: int = -1
    newest_arrival_us: int = -1
    has_frames: bool = False
    forgotten_encoded: int = 0
    status: StreamStatus | None = None
    memory: MemoryStatus | None = None
    sender: object | None = None
    """Whose media a push stream takes: only told apart from others."""
    questions: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    watchers: list[Watcher] = field(default_factory=list)
    shown: Percept | None = None
    """The newest frame that watchers were told of: who begins to watch a still scene need not wait for it to move."""

    @property
    def key(self) -> str:
        """The stream's name between processes."""
        return self.declaration.key

    @property
    def id(self) -> str:
        """The stream's name for its tenant."""
        return self.declaration.id

    @property
    def is_push(self) -> bool:
        """Whether clients send its media."""
        return self.declaration.url is None

    @property
    def kind(self) -> Literal["camera", "file", "push"]:
        """What it watches."""
        if self.declaration.url is None:
            return "push"
        return "file" if self.declaration.url.lower().startswith("file:") else "camera"

    @property
    def source_open(self) -> bool:
        """Whether this life of perception was told to watch it."""
        return self.opened.is_set()

    @property
    def on_file_time(self) -> bool:
        """Whether 'now' is the time of the newest frame instead of the wall clock's."""
        source = self.source
        return isinstance(source, FileSource) or (isinstance(source, PushSource) and source.pace == "fast")

    @property
    def state(self) -> State:
        """What the stream does; before perception says so, what it is about to do."""
        if self.fault is not None:
            return "failed"
        if self.status is not None:
            return self.status.state
        return "offline" if self.is_push else "connecting"

    @property
    def error(self) -> Fault | None:
        """Why it does not do what it should."""
        source_fault = self.status.fault if self.status is not None else None
        return self.fault or source_fault or (self.memory.fault if self.memory is not None else None)

    def clock(self, clocks: Clocks) -> Clock:
        """Its clock, now."""
        start = self.declaration.start_wall_us
        newest = max(self.newest_us, 0)
        latest = newest if self.declaration.pace == "fast" else max(newest, clocks.wall_us() - start)
        return Clock(start, newest if self.on_file_time or self.source is None else latest, latest)

    def saw_frame(self, media_us: int, arrival_us: int) -> None:
        """A frame was perceived."""
        self.newest_us = max(self.newest_us, media_us)
        self.newest_arrival_us = max(self.newest_arrival_us, arrival_us)
        self.has_frames = True

    def show(self, frame: Percept) -> None:
        """Tell those who watch frames of a new one."""
        self.shown = frame
        for watcher in self.watchers:
            watcher.tell_frame(frame)

    def took_status(self, status: StreamStatus) -> None:
        """Perception said how it fares."""
        self.status = status
        self.newest_us = max(self.newest_us, status.last_media_us)
        # The records of single frames may be missed; the counter is not.
        self.has_frames = self.has_frames or status.encoded > self.forgotten_encoded

    def lost_perception(self) -> None:
        """Its counters begin anew."""
        self.opened.clear()
        self.status = None
        self.forgotten_encoded = 0

    def forgot_shown(self, since_us: int, until_us: int) -> None:
        """Frames of [since_us, until_us) are shown to nobody any more."""
        if self.shown is not None and since_us <= self.shown.media_us < until_us:
            self.shown = None
        for watcher in self.watchers:
            watcher.forget(since_us, until_us)

    def forgot_frames(self) -> None:
        """The window's frames are forgotten."""
        self.has_frames = False
        self.forgotten_encoded = self.status.encoded if self.status is not None else 0

    def took_end(self, end_us: int) -> None:
        """Memory said where it ends."""
        self.end_us = end_us
        self.end_known = True
        self.newest_us = max(self.newest_us, end_us if end_us > 0 else -1)

    @property
    def can_answer(self) -> bool:
        """Whether memory or window holds a frame."""
        stored = self.memory.events > 0 if self.memory is not None else self.end_us > 0
        return stored or self.has_frames

    def tell_state(self) -> None:
        """Its view changed: tell who watches."""
        for watcher in self.watchers:
            watcher.tell_state()


class Registry:
    """Every stream by its key, and the lanes of the window slab."""

    def __init__(self, lanes: int) -> None:
        self._entries: dict[str, StreamEntry] = {}
        self._lanes = lanes

    def __iter__(self) -> Iterator[StreamEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, declaration: Declaration, source: Source | None) -> StreamEntry:
        """A new stream with a lane of its own. Raises RequestError stream_exists or too_many_streams."""
        if declaration.key in self._entries:
            raise RequestError("stream_exists", "there is a stream of this id: choose another or delete it", "id")
        taken = {entry.lane for entry in self}
        lane = next((lane for lane in range(self._lanes) if lane not in taken), None)
        if lane is None:
            raise RequestError("too_many_streams", f"there are {self._lanes} streams: delete one first")
        entry = self._entries[declaration.key] = StreamEntry(declaration, source, lane)
        return entry

    def remove(self, entry: StreamEntry) -> None:
        """Give back its name and lane."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]

    def by_key(self, key: str) -> StreamEntry | None:
        """The stream that the processes call so."""
        return self._entries.get(key)

    def find(self, tenant: str, stream: str, param: str = "id") -> StreamEntry:
        """A tenant's stream. Raises RequestError stream_not_found, of the field that names it."""
        entry = self._entries.get(f"{tenant}/{stream}")
        if entry is None or entry.closing:
            raise RequestError("stream_not_found", "there is no stream of this id", param)
        return entry

    def of_tenant(self, tenant: str) -> list[StreamEntry]:
        """A tenant's streams, by id."""
        mine = (entry for entry in self if entry.declaration.tenant == tenant and not entry.closing)
        return sorted(mine, key=lambda entry: entry.id)

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[StreamEntry], str | None]:
        """Streams whose id sorts behind `after`, and the cursor of the next page."""
        rest: Iterable[StreamEntry] = self.of_tenant(tenant)
        if after is not None:
            rest = [entry for entry in rest if entry.id > after]
        found = list(rest)
        return found[:limit], found[limit - 1].id if len(found) > limit else None
