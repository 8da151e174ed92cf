"""Memory's stage: percept records and requests in; acknowledgements, events, contexts out. Never waits for a disk."""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from memory import listing, search
from memory.archives import NO_STREAM, Archives
from memory.caption_messages import Captioned, WantCaption
from memory.config import MemoryConfig
from memory.coverage import EMPTY
from memory.describing import Describer
from memory.folders import Folders
from memory.forgetting import NO_EVENT, Forgetter
from memory.keeping import UNREADABLE, Keeper
from memory.messages import (
    BarrierReached,
    Context,
    DropMemory,
    Dropped,
    EventCommitted,
    EventFound,
    ExportMemory,
    Forget,
    FrameFound,
    GetEvent,
    GetFrame,
    ImportMemory,
    ListEvents,
    MemoryInput,
    MemoryOpened,
    MemoryOutput,
    OpenMemory,
    Recall,
    Refused,
    SearchPicture,
    StreamCoverage,
    StreamRestored,
    Updated,
    UpdateMemory,
)
from memory.recall import Recaller
from memory.store import Settings, Store, empty_trash, remove_folder
from memory.stream import DAMAGE, Stream
from memory.writer import BROKEN, FULL, Job, Writer
from perception.encoders import ImageEncoder, TextEncoder
from perception.messages import Barrier, Fault, Gap, Percept, Speech, StreamEnded, Unchanged

log = logging.getLogger(__name__)

_RECORDS: Final = (Percept, Unchanged, Speech, Gap, StreamEnded, Barrier)
_BATCH: Final = 64
_LOAD_VECTORS: Final = 2048
_WAIT_S: Final = 0.005

Request = ListEvents | SearchPicture | GetEvent | GetFrame | Recall

NO_FRAME: Final = Fault("event_not_found", "the event has no such frame: look at its frames", "n")
BAD_CURSOR: Final = Fault("invalid_field", "cursor is none that this list gave out: leave it out to begin", "cursor")
BAD_PICTURE: Final = Fault("invalid_image", "the picture cannot be read: send JPEG, PNG or WebP", None)


class MemoryStage:
    """All streams' memories. One thread beside this one writes; `notify` is called on it when there is work here."""

    def __init__(
        self,
        config: MemoryConfig,
        text: TextEncoder,
        image: ImageEncoder,
        clock: Callable[[], int],
        notify: Callable[[], None] | None = None,
    ) -> None:
        """Opens what is stored. Raises StartRefused data_format_unknown."""
        self._config = config
        self._text = text
        self._image = image
        self._clock = clock
        self._notified = notify is not None
        self._folders = Folders(Path(config.streams_folder))
        self._writer = Writer(self._folders.root, config.low_water_bytes, notify)
        self._outputs: list[MemoryOutput] = []
        self._streams: dict[str, Stream] = {}
        self._describer = Describer(self._writer, self._outputs.append)
        self._keeper = Keeper(config, self._writer, clock, self._say)
        self._archives = Archives(config, self._folders, notify, self._streams, self._text.dim, self._outputs.append)
        self._forgetter = Forgetter(self._writer, clock, self._outputs.append)
        self._recaller = Recaller(text, config.evidence)
        self._inbox: deque[MemoryInput] = deque()
        self._waiting: deque[Recall | ListEvents | SearchPicture] = deque()
        self._dropping: dict[str, list[OpenMemory]] = {}
        self._restore()

    def _restore(self) -> None:
        empty_trash(self._folders.trash)
        for key, store in self._folders.found():
            try:
                stream = Stream.open(key, store, self._config, self._text.dim)
                is_purge_due = store.reader.meta("purge") == "due"
            except DAMAGE as error:
                log.error("the memory of a stream is damaged and left alone: %s", type(error).__name__)
                store.close()
                continue
            self._streams[key] = stream
            self._keeper.verify(stream)
            self._outputs.append(StreamRestored(key, stream.settings.declaration, stream.end_us))
            if is_purge_due:
                self._forgetter.purge(stream)

    # ------------------------------------------------------------ the four verbs

    def submit(self, message: MemoryInput) -> None:
        """Take a message."""
        self._inbox.append(message)

    def room(self) -> int:
        """How many percept records more it should be given now, whatever else it has to do."""
        return max(0, _BATCH - sum(isinstance(message, _RECORDS) for message in self._inbox))

    def has_work(self) -> bool:
        """Whether `step` has something to do. Without `notify` also while the writer thread is at work."""
        if self._inbox or self._waiting or self._outputs or self._writer.finished or self._archives.finished:
            return True
        if (self._writer.outstanding or self._archives.outstanding) and not self._notified:
            return True
        if self._describer.has_work(self._streams):
            return True
        now_us = self._clock()
        return any(not one.index.ready or self._due(one, now_us) for one in self._streams.values())

    def step(self) -> list[MemoryOutput]:
        """Say what was committed, take some messages; load some of an index that is waited for, or when all is done."""
        self._writer.collect()
        self._archives.collect()
        for _ in range(min(_BATCH, len(self._inbox))):
            message = self._inbox.popleft()
            self._handle(message)
            if isinstance(message, Recall | ListEvents | SearchPicture):
                break
        self._answer_waiting()
        self._tick()
        loaded = (not self._inbox or bool(self._waiting)) and self._load()
        if not self._inbox and not self._waiting and self._describer.has_work(self._streams):
            self._describer.step(self._streams)
        if not self._inbox and not loaded and not self._notified and self._writer.outstanding:
            self._writer.wait(_WAIT_S)
            self._writer.collect()
        return self._take()

    def close(self) -> list[MemoryOutput]:
        """Close open events, commit, end the thread."""
        while self._inbox:
            self._handle(self._inbox.popleft())
        while self._waiting:
            self._load()
            self._answer_waiting()
        for stream in self._streams.values():
            self._keeper.keep(stream, stream.builder.close())
        while self._writer.outstanding:
            self._writer.wait(1.0)
            self._writer.collect()
        self._archives.close()
        self._writer.close()
        for stream in self._streams.values():
            stream.store.close()
        self._streams.clear()
        return self._take()

    def _say(self, message: MemoryOutput) -> None:
        self._outputs.append(message)
        if isinstance(message, EventCommitted):
            self._describer.note(message)

    def _take(self) -> list[MemoryOutput]:
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    def _tick(self) -> None:
        now_us = self._clock()
        for stream in self._streams.values():
            if self._due(stream, now_us):
                self._keeper.tick(stream, now_us)
                self._forgetter.tick(stream, now_us)

    def _due(self, stream: Stream, now_us: int) -> bool:
        return self._keeper.due(stream, now_us) or self._forgetter.due(stream, now_us)

    def _load(self) -> bool:
        """A piece of an index: of a stream that a request waits for, else of the one that was seen last."""
        asked = [key for message in self._waiting for key in _streams_of(message)]
        behind = [stream for stream in self._streams.values() if not stream.index.ready]
        if not behind:
            return False
        wanted = max(behind, key=lambda one: (one.key in asked, one.settings.start_wall_us + one.end_us))
        try:
            wanted.index.load(wanted.store.reader, _LOAD_VECTORS)
        except sqlite3.Error as error:
            self._keeper.unreadable(wanted, error)
            wanted.index.give_up()
        return True

    # ------------------------------------------------------------ messages

    def _handle(self, message: MemoryInput) -> None:
        match message:
            case Percept() | Unchanged() | Speech() | Gap() | StreamEnded():
                stream = self._streams.get(message.stream)
                if stream is not None:
                    self._keeper.keep(stream, stream.builder.take(message))
            case Barrier():
                self._barrier(message)
            case OpenMemory():
                self._open(message)
            case UpdateMemory():
                self._update(message)
            case DropMemory():
                self._drop(message)
            case Forget():
                self._forget(message)
            case ExportMemory() | ImportMemory():
                self._archives.take(message)
            case Recall() | ListEvents() | SearchPicture():
                self._waiting.append(message)
            case GetEvent() | GetFrame():
                self._answer(message)
            case WantCaption() | Captioned():
                self._describer.take(message, self._streams)

    def _barrier(self, message: Barrier) -> None:
        stream = self._streams.get(message.stream)
        if stream is None:
            self._outputs.append(BarrierReached(message.stream, message.barrier, NO_STREAM))
        else:
            self._keeper.barrier(stream, message.barrier)

    def _forget(self, message: Forget) -> None:
        stream = self._streams.get(message.stream)
        if stream is None:
            self._outputs.append(Refused(message.request, NO_STREAM))
        else:
            self._archives.forgets(message.stream)
            self._forgetter.forget(stream, message)

    # ------------------------------------------------------------ stores

    def _open(self, message: OpenMemory) -> None:
        if message.stream in self._dropping:
            self._dropping[message.stream].append(message)
            return
        settings = Settings(message.declaration, message.start_wall_us, message.options, message.time_zone)
        stream = self._streams.get(message.stream)
        if stream is not None:
            # Media time of what is stored counts from where it always did.
            known = stream.settings
            self._keeper.settings(
                stream, settings._replace(declaration=known.declaration, start_wall_us=known.start_wall_us)
            )
            self._outputs.append(MemoryOpened(message.stream, stream.end_us, None))
            return
        fault = self._create(message.stream, settings)
        self._outputs.append(MemoryOpened(message.stream, 0, fault))

    def _create(self, key: str, settings: Settings) -> Fault | None:
        folder = self._folders.of(key)
        if folder is None:
            return NO_STREAM
        try:
            if (folder / "memory.sqlite").exists() and (folder / "memory.sqlite").stat().st_size > 0:
                # It was found damaged at start: what may still be saved of it is not to be overwritten.
                return UNREADABLE
            if folder.exists():
                remove_folder(folder, self._folders.trash)
                empty_trash(self._folders.trash)
            store = Store.create(folder, key, settings)
            self._streams[key] = Stream.open(key, store, self._config, self._text.dim)
        except (sqlite3.Error, OSError) as error:
            log.error("a store cannot be made: %s", type(error).__name__, extra={"stream": key})
            return FULL if _is_full(error) else BROKEN
        return None

    def _update(self, message: UpdateMemory) -> None:
        stream = self._streams.get(message.stream)
        if stream is None:
            self._outputs.append(Refused(message.request, NO_STREAM))
            return
        start = stream.settings.start_wall_us
        settings = Settings(message.declaration, start, message.options, message.time_zone)
        self._keeper.settings(stream, settings)

        def refused(fault: Fault) -> None:
            self._outputs.append(Refused(message.request, fault))

        def done(_: object) -> None:
            # What failed before this one waits to be written again.
            if stream.again:
                refused(stream.fault or BROKEN)
            else:
                self._outputs.append(Updated(message.request))

        self._writer.put(Job(stream.store, lambda _: None, done, refused))

    def _drop(self, message: DropMemory) -> None:
        """Out of sight first; told when it is; its bytes go after that."""
        self._archives.forgets(message.stream)
        stream = self._streams.pop(message.stream, None)
        self._describer.looked.pop(message.stream, None)
        folder = self._folders.of(message.stream)
        if stream is None:
            if folder is not None and message.stream not in self._dropping:
                remove_folder(folder, self._folders.trash)
                empty_trash(self._folders.trash)
            self._outputs.append(Dropped(message.stream, message.request))
            return
        store = stream.store
        self._dropping[message.stream] = []

        def remove(_: sqlite3.Connection) -> None:
            store.close()
            remove_folder(store.folder, self._folders.trash)

        def ended(outcome: MemoryOutput) -> None:
            self._outputs.append(outcome)
            self._inbox.extendleft(reversed(self._dropping.pop(message.stream)))

        def removed(_: object) -> None:
            ended(Dropped(message.stream, message.request))
            clean = Job(store, lambda _: empty_trash(self._folders.trash), lambda _: None, lambda _: None, alone=True)
            self._writer.put(clean)

        job = Job(store, remove, removed, lambda fault: ended(Refused(message.request, fault)), alone=True)
        self._writer.put(job)

    # ------------------------------------------------------------ requests

    def _answer_waiting(self) -> None:
        """Requests whose indexes are there, in order."""
        for _ in range(len(self._waiting)):
            message = self._waiting.popleft()
            streams = [self._streams[key] for key in _streams_of(message) if key in self._streams]
            if all(stream.index.ready for stream in streams):
                self._answer(message)
            else:
                self._waiting.append(message)

    def _answer(self, message: Request) -> None:
        """Exactly one answer, whatever the disk says."""
        try:
            self._outputs.append(self._reply(message))
        except listing.CursorInvalid:
            self._outputs.append(Refused(message.request, BAD_CURSOR))
        except search.PictureInvalid:
            self._outputs.append(Refused(message.request, BAD_PICTURE))
        except Exception as error:  # noqa: BLE001 - of one request: the streams and the other requests go on
            log.error("a store cannot be read: %s", getattr(error, "sqlite_errorname", type(error).__name__))
            self._outputs.append(_without(message))

    def _reply(self, message: Request) -> MemoryOutput:
        if isinstance(message, Recall):
            return self._recaller.recall(message, self._streams)
        stream = self._streams.get(message.stream)
        if stream is None:
            return Refused(message.request, NO_STREAM)
        match message:
            case ListEvents():
                return listing.list_events(stream, message, self._text)
            case SearchPicture():
                return listing.search_picture(stream, message, self._image)
            case GetEvent():
                row = stream.store.reader.by_id(message.event)
                return (
                    Refused(message.request, NO_EVENT)
                    if row is None
                    else EventFound(message.request, stream.record(row))
                )
            case GetFrame():
                return _frame(stream, message)


def _without(message: Request) -> MemoryOutput:
    """The answer that the asker waits for where memory has none: reasoning's numbers are not the server's."""
    if not isinstance(message, Recall):
        return Refused(message.request, UNREADABLE)
    covered = [StreamCoverage(stream, EMPTY) for stream in message.streams]
    return Context(message.request, [], [], covered, None, None, False, '{"memory": "unreadable"}')


def _frame(stream: Stream, message: GetFrame) -> MemoryOutput:
    jpeg = stream.live_frame(message.event, message.n)
    if jpeg is None:
        jpeg = stream.store.reader.jpeg(message.event, message.n)
    if jpeg is not None:
        return FrameFound(message.request, jpeg)
    known = stream.store.reader.by_id(message.event) is not None
    return Refused(message.request, NO_FRAME if known else NO_EVENT)


def _streams_of(message: Recall | ListEvents | SearchPicture) -> Iterable[str]:
    return message.streams if isinstance(message, Recall) else (message.stream,)


def _is_full(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == 28
