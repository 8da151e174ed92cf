"""The memory stage: percepts and requests in; committed events, recalled contexts, pages and pictures out."""

import io
import json
import logging
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from memory.config import MemoryConfig
from memory.events import Changes, OpenEvent, Vector
from memory.messages import (
    BarrierReached,
    Context,
    DropMemory,
    Dropped,
    EventCommitted,
    EventFound,
    EventPage,
    EventRecord,
    Forget,
    Forgotten,
    FrameFound,
    GetEvent,
    GetFrame,
    ListEvents,
    MemoryInput,
    MemoryOpened,
    MemoryOptions,
    MemoryOutput,
    MemoryStatus,
    OpenMemory,
    Recall,
    Refused,
    SearchPicture,
    StreamCoverage,
    StreamRestored,
    UpdateMemory,
)
from memory.recall import choose, coverage_of, evidence_of, explain, overlap, rank, speech_of, understand
from memory.store import FILE, Erased, StoreUnknown, StreamStore, cursor_of, parse_cursor
from memory.stream import StreamMemory
from memory.writer import Job, Writer
from perception.encoders import ImageEncoder, TextEncoder
from perception.messages import Barrier, Fault, Gap, Percept, Speech, StreamEnded, Unchanged

log = logging.getLogger(__name__)

Clock = Callable[[], int]

_STATUS_US: Final = 1_000_000
_STORE_OPEN_US: Final = 2_000_000
"""The open event's row is brought up to date at most this often."""
_MESSAGES_A_STEP: Final = 32
_ALL = 2**62
_FULL = Fault("storage_full", "the disk is full; free some space or lower memory.max_bytes")
_NO_EVENT = Fault("event_not_found", "there is no such event; list the stream's events")
_NO_STREAM = Fault("stream_not_found", "there is no such stream")


class MemoryStage:
    """Keeps the streams' memories. Reads are answered at once; writes are acknowledged when they are durable."""

    def __init__(
        self, config: MemoryConfig, texts: TextEncoder, images: ImageEncoder, clock: Clock, notify: Callable[[], None]
    ) -> None:
        self._config, self._texts, self._images, self._clock = config, texts, images, clock
        self._folder = Path(config.streams_folder)
        self._writer = Writer(notify)
        self._streams: dict[str, StreamMemory] = {}
        self._writers: dict[str, StreamStore] = {}
        self._stored_at: dict[str, int] = {}
        self._told_at: dict[str, int] = {}
        self._inbox: deque[MemoryInput] = deque()
        self._outputs: list[MemoryOutput] = list(self._restore())

    # ------------------------------------------------------------ the four verbs

    def submit(self, message: MemoryInput) -> None:
        """Take a message."""
        self._inbox.append(message)

    def has_work(self) -> bool:
        """Whether a message waits or a commit is to be acknowledged."""
        return bool(self._inbox or self._outputs) or self._writer.finished

    def step(self) -> list[MemoryOutput]:
        """Work on some messages and collect what became durable."""
        for _ in range(min(_MESSAGES_A_STEP, len(self._inbox))):
            self._handle(self._inbox.popleft())
        self._writer.collect()
        outputs, self._outputs = self._outputs, []
        return outputs

    def close(self) -> list[MemoryOutput]:
        """Close every event that is open, commit everything."""
        while self._inbox:
            self._handle(self._inbox.popleft())
        for memory in self._streams.values():
            self._apply(memory, memory.take(StreamEnded(memory.stream, 0, final=False)))
        self._writer.close()
        self._writer.collect()
        for stream, memory in self._streams.items():
            memory.store.close()
            self._writers[stream].close()
        outputs, self._outputs = self._outputs, []
        return outputs

    def _handle(self, message: MemoryInput) -> None:
        match message:
            case Percept() | Unchanged() | Speech() | Gap() | StreamEnded():
                memory = self._streams.get(message.stream)
                if memory is not None:
                    self._apply(memory, memory.take(message))
            case Barrier():
                self._barrier(message)
            case OpenMemory():
                self._open(message)
            case UpdateMemory():
                self._update(message)
            case DropMemory():
                self._drop(message)
            case Recall():
                self._outputs.append(self._recall(message))
            case ListEvents() | SearchPicture() | GetEvent() | GetFrame() | Forget():
                self._request(message)

    def _request(self, message: ListEvents | SearchPicture | GetEvent | GetFrame | Forget) -> None:
        memory = self._streams.get(message.stream)
        if memory is None:
            self._outputs.append(Refused(message.request, _NO_STREAM))
            return
        match message:
            case ListEvents():
                self._outputs.append(self._list(memory, message))
            case SearchPicture():
                self._outputs.append(self._search_picture(memory, message))
            case GetEvent():
                event = memory.event(message.event)
                found = EventFound(message.request, event) if event is not None else Refused(message.request, _NO_EVENT)
                self._outputs.append(found)
            case GetFrame():
                jpeg = memory.jpeg(message.event, message.n)
                frame = FrameFound(message.request, jpeg) if jpeg is not None else Refused(message.request, _NO_EVENT)
                self._outputs.append(frame)
            case Forget():
                self._forget(memory, message)

    # ------------------------------------------------------------ opening

    def _restore(self) -> list[StreamRestored]:
        """Every stream that the data folder holds."""
        found = []
        for path in sorted(self._folder.glob(f"*/*/{FILE}")):
            stream = f"{path.parent.parent.name}/{path.parent.name}"
            try:
                store = StreamStore(path.parent, stream)
            except (sqlite3.Error, StoreUnknown):
                log.exception("the memory of %s cannot be read and is left alone", stream)
                continue
            store.begin()
            store.close_open_events()
            store.commit()
            found.append(StreamRestored(stream, store.meta("declaration") or "", store.last_us()))
            store.close()
        return found

    def _open(self, message: OpenMemory) -> None:
        stream = message.stream
        if stream in self._streams:
            self._outputs.append(MemoryOpened(stream, self._streams[stream].store.last_us() + 1, None))
            return
        try:
            folder = self._folder / stream
            store, writing = StreamStore(folder, stream), StreamStore(folder, stream)
        except sqlite3.Error:
            log.exception("the memory of %s cannot be opened", stream)
            self._outputs.append(MemoryOpened(stream, 0, _FULL))
            return
        except StoreUnknown:
            fault = Fault("storage_full", "the stream's memory is of another version; start the server that made it")
            self._outputs.append(MemoryOpened(stream, 0, fault))
            return
        memory = StreamMemory(store, self._config, self._texts.dim, message.start_wall_us, message.time_zone)
        self._streams[stream], self._writers[stream] = memory, writing
        memory.set_options(message.options)
        self._declare(memory, message.declaration, message.options, lambda _: self._opened(memory))

    def _opened(self, memory: StreamMemory) -> None:
        """The declaration is durable."""
        self._outputs.append(MemoryOpened(memory.stream, memory.store.last_us() + 1, None))
        self._tell(memory, now=True)

    def _update(self, message: UpdateMemory) -> None:
        memory = self._streams.get(message.stream)
        if memory is not None:
            memory.set_options(message.options)
            memory.time_zone = message.time_zone
            self._declare(memory, message.declaration, message.options, lambda _: None)

    def _declare(
        self, memory: StreamMemory, declaration: str, options: MemoryOptions, then: Callable[[Any], None]
    ) -> None:
        encoded = msgspec.json.encode(options).decode()

        def work(store: StreamStore) -> None:
            store.set_meta("declaration", declaration)
            store.set_meta("options", encoded)

        def failed(_: sqlite3.Error) -> None:
            self._outputs.append(MemoryOpened(memory.stream, 0, _FULL))

        self._writer.submit(Job(self._writers[memory.stream], work, then, failed))

    def _drop(self, message: DropMemory) -> None:
        """Delete a stream's folder: out of sight by the rename, then byte by byte."""
        memory = self._streams.pop(message.stream, None)
        folder = self._folder / message.stream
        if memory is not None:
            memory.builder.drop()
            memory.store.close()
            self._drain_writer()
            self._writers.pop(message.stream).close()
        if folder.exists():
            gone = folder.with_name(f".{folder.name}.deleted")
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        self._outputs.append(Dropped(message.stream, message.request))

    def _drain_writer(self) -> None:
        """Wait for the commits under way: there are at most a few."""
        self._writer.close()
        self._writer.collect()
        self._writer = self._writer.renewed()

    # ------------------------------------------------------------ events

    def _apply(self, memory: StreamMemory, changes: Changes) -> None:
        """Write what a record did: closed events at once, the open one now and then."""
        for event in changes.closed:
            self._store(memory, event, is_open=False)
        if changes.gap is not None:
            gap = changes.gap
            self._writer.submit(
                Job(self._writers[memory.stream], lambda store: store.put_gap(gap), lambda _: None, self._lost(memory))
            )
        current = memory.builder.current
        if current is None:
            return
        due = self._clock() - self._stored_at.get(memory.stream, 0) >= _STORE_OPEN_US
        if current.stored == 0 or (due and (current.dirty or changes.closed)):
            self._store(memory, current, is_open=True)

    def _store(self, memory: StreamMemory, event: OpenEvent, *, is_open: bool) -> None:
        """Have an event written as it is at this moment."""
        event.dirty, event.stored = False, event.stored + 1
        self._stored_at[memory.stream] = self._clock()
        as_is = replace(event, keyframes=list(event.keyframes), speech=list(event.speech), words=list(event.words))

        def then(_: Any) -> None:
            memory.stored(as_is)
            if not is_open and self._streams.get(memory.stream) is memory:
                record = memory.event(as_is.id)
                if record is not None:
                    self._outputs.append(EventCommitted(record))
                self._retain(memory)
            self._tell(memory)

        self._writer.submit(
            Job(
                self._writers[memory.stream],
                lambda store: store.put_event(as_is, is_open=is_open),
                then,
                self._lost(memory),
            )
        )

    def _lost(self, memory: StreamMemory) -> Callable[[sqlite3.Error], None]:
        def failed(error: sqlite3.Error) -> None:
            log.error("%s: something could not be kept: %s", memory.stream, error.sqlite_errorname)

        return failed

    def _retain(self, memory: StreamMemory) -> None:
        """Stay inside the byte budget and the age limit: the oldest events go. Age is media time, not the wall's."""
        options, config = memory.options, self._config
        max_bytes = options.max_bytes or config.max_bytes
        max_age_us = options.max_age_us or config.max_age_us
        oldest = memory.store.oldest()
        if oldest is None:
            return
        _, size, _ = memory.store.totals()
        _, newest_us = memory.span()
        if size <= max_bytes and newest_us - oldest[1] <= max_age_us:
            return
        event = oldest[0]
        self._writer.submit(
            Job(
                self._writers[memory.stream],
                lambda store: store.erase([event], None),
                lambda erased: memory.forgotten(erased.events, 0, 0),
                self._lost(memory),
            )
        )

    def _barrier(self, barrier: Barrier) -> None:
        """Commit all that came before, the open event as it is; then say so."""
        memory = self._streams.get(barrier.stream)
        reached = BarrierReached(barrier.stream, barrier.barrier)
        if memory is None:
            self._outputs.append(reached)
            return
        if memory.builder.current is not None:
            self._store(memory, memory.builder.current, is_open=True)
        self._writer.submit(
            Job(
                self._writers[barrier.stream],
                lambda _: None,
                lambda _: self._outputs.append(reached),
                lambda _: self._outputs.append(reached),
            )
        )

    def _tell(self, memory: StreamMemory, *, now: bool = False) -> None:
        """What the store holds, at most once a second."""
        at = self._clock()
        if not now and at - self._told_at.get(memory.stream, 0) < _STATUS_US:
            return
        if self._streams.get(memory.stream) is not memory:
            return
        self._told_at[memory.stream] = at
        events, size, gaps = memory.store.totals()
        self._outputs.append(MemoryStatus(memory.stream, events, *memory.store.span(), size, gaps))

    # ------------------------------------------------------------ forgetting

    def _forget(self, memory: StreamMemory, message: Forget) -> None:
        """Tombstone and deletion in one commit; nothing of it is found from this moment on."""
        current = memory.builder.current
        if message.event is not None:
            doomed = [message.event]
            open_too = current is not None and current.id == message.event
            if not open_too and memory.event(message.event) is None:
                self._outputs.append(Refused(message.request, _NO_EVENT))
                return
        else:
            doomed = memory.store.ids_touching(message.since_us, message.until_us)
            open_too = (
                current is not None and current.start_us < message.until_us and current.end_us >= message.since_us
            )
        spans = [memory.span_of(event) for event in doomed]
        if open_too and current is not None:
            spans.append((current.start_us, current.end_us))
            doomed = list(dict.fromkeys([*doomed, current.id]))
            memory.builder.drop()
        known = [span for span in spans if span is not None]
        _, newest_us = memory.span()
        since = min([message.since_us if message.event is None else _ALL, *(start for start, _ in known)])
        until = max(
            [min(message.until_us, newest_us + 1) if message.event is None else 0, *(end + 1 for _, end in known)]
        )
        memory.forgotten(doomed, since, until)
        tombstone = (since, until) if since < until else None

        def then(erased: Erased) -> None:
            start, end = (min(s for s, _ in known), max(e for _, e in known)) if known else (-1, -1)
            self._outputs.append(Forgotten(memory.stream, message.request, doomed, erased.bytes, start, end))
            self._tell(memory, now=True)

        def failed(_: sqlite3.Error) -> None:
            self._outputs.append(Refused(message.request, _FULL))

        self._writer.submit(
            Job(self._writers[memory.stream], lambda store: store.erase(doomed, tombstone), then, failed, purge=True)
        )

    # ------------------------------------------------------------ reading

    def _list(self, memory: StreamMemory, message: ListEvents) -> EventPage | Refused:
        try:
            before = parse_cursor(message.cursor) if message.cursor is not None else None
        except (ValueError, TypeError):
            return Refused(message.request, Fault("invalid_field", "cursor: give back next_cursor as it was", "cursor"))
        if message.q is not None:
            query = self._texts.embed_texts([message.q])[0]
            return self._by_likeness(memory, message, query, message.q)
        events = memory.store.events(message.since_us, message.until_us, message.limit + 1, before)
        page = events[: message.limit]
        more = cursor_of(page[-1]) if len(events) > message.limit else None
        return EventPage(message.request, page, more)

    def _search_picture(self, memory: StreamMemory, message: SearchPicture) -> EventPage | Refused:
        try:
            with Pillow.open(io.BytesIO(message.picture), formats=["JPEG", "PNG", "WEBP"]) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
            return Refused(message.request, Fault("invalid_image", "send a whole JPEG, PNG or WebP picture"))
        query = self._images.embed_images([pixels])[0]
        return self._by_likeness(memory, message, query, None)

    def _by_likeness(
        self, memory: StreamMemory, message: ListEvents | SearchPicture, query: Vector, words: str | None
    ) -> EventPage:
        """Events by their best keyframe; with words also by what was said."""
        scores: dict[str, float] = {}
        many = max(64, message.limit * 4)
        for hit in memory.search(query, message.since_us, message.until_us, many, centred=words is None):
            scores[hit.event] = max(scores.get(hit.event, -1.0), hit.score)
        if words is not None:
            for event, _, _, said in memory.spoken(message.since_us, message.until_us):
                scores[event] = scores.get(event, 0.0) + overlap(words, said)
        best = sorted(scores.items(), key=lambda item: -item[1])
        found: list[EventRecord] = []
        for event, score in best:
            record = memory.event(event)
            if record is not None:
                found.append(msgspec.structs.replace(record, score=round(score, 6)))
            if len(found) == message.limit:
                break
        return EventPage(message.request, found, None)

    def _recall(self, message: Recall) -> Context:
        """Rank across the streams that are asked, take the best, hand them over with what memory covers."""
        query = self._texts.embed_texts([message.question])[0]
        asked = [
            (self._streams[s], now)
            for s, now in zip(message.streams, message.now_us, strict=True)
            if s in self._streams
        ]
        understood = [understand(message, memory, now) for memory, now in asked]
        ranked = [
            rank(memory, message.question, query, one.range, now) if one.gate.needs_past else []
            for (memory, now), one in zip(asked, understood, strict=True)
        ]
        limit = message.limit or self._config.evidence
        chosen = choose([candidate for one in ranked for candidate in one], limit)
        by_stream = {memory.stream: memory for memory, _ in asked}
        evidence = [evidence_of(by_stream[one.stream], one) for one in chosen]
        first = understood[0] if understood else None
        since = first.range.since_us if first is not None and first.range is not None else None
        until = first.range.until_us if first is not None and first.range is not None else None
        return Context(
            message.request,
            [one for one in evidence if one is not None],
            [
                line
                for (memory, now), one in zip(asked, understood, strict=True)
                for line in speech_of(memory, one.range, now)
            ],
            [
                StreamCoverage(memory.stream, coverage_of(memory, one.range))
                for (memory, _), one in zip(asked, understood, strict=True)
            ],
            since,
            until,
            any(one.gate.needs_past for one in understood),
            json.dumps(explain(understood, [c for one in ranked for c in one], chosen)) if understood else "{}",
        )
