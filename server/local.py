"""The three stages in one process, on file time: messages in, what the server would get out."""

import threading
import time
from collections import deque
from typing import Any, Final, Protocol

import msgspec

from memory.caption_messages import Captioned, ToCaption, WantCaption
from memory.messages import (
    BarrierReached,
    Context,
    DropMemory,
    Dropped,
    EventFound,
    EventPage,
    Forget,
    Forgotten,
    FrameFound,
    GetEvent,
    GetFrame,
    ListEvents,
    MemoryInput,
    MemoryOpened,
    MemoryOutput,
    OpenMemory,
    Recall,
    Refused,
    SearchPicture,
    Updated,
    UpdateMemory,
)
from perception.messages import (
    Barrier,
    CloseStream,
    FileSource,
    Gap,
    OpenStream,
    Packet,
    Percept,
    PerceptionInput,
    PerceptionOutput,
    SessionEnded,
    SessionStarted,
    SetSampling,
    Speech,
    StreamEnded,
    Unchanged,
    WipeWindow,
)
from perception.sources.base import Media, Reader
from perception.sources.open import open_reader
from reasoning.messages import MemoryReady, ReasoningInput, ReasoningOutput

Input = PerceptionInput | MemoryInput | ReasoningInput
Output = PerceptionOutput | MemoryOutput | ReasoningOutput

_TO_PERCEPTION = (OpenStream, CloseStream, SetSampling, WipeWindow, Packet, SessionStarted, SessionEnded, Barrier)
_TO_MEMORY = (OpenMemory, UpdateMemory, DropMemory, ListEvents, SearchPicture, GetEvent, GetFrame, Forget)
_RECORDS = (Percept, Unchanged, Speech, Gap, StreamEnded, Barrier)
_PATIENCE_S: Final = 60.0
"""How long memory's writer may take for what it owes."""
_PAUSE_S: Final = 0.001


class Stage(Protocol):
    """The four verbs that perception, memory and reasoning share."""

    def submit(self, message: Any) -> None:
        """Take a message; never blocks."""

    def step(self) -> list[Any]:
        """Do a bounded piece of work and hand out what came of it."""

    def has_work(self) -> bool:
        """Whether `step` has something to do."""

    def close(self) -> list[Any]:
        """Finish what is open."""


class Perceiving(Stage, Protocol):
    """What perception offers besides."""

    def room(self, stream: str) -> bool:
        """Whether a source that can wait should send more packets of this stream now."""


class LocalPipeline:
    """Routes messages between three stages as the processes' links do, one step of each at a time.

    Perception goes on only when memory has taken what it gave: nothing is dropped, and the order is always the same.
    Files are read as fast as they are taken, whatever their pace.
    """

    def __init__(self, perception: Perceiving, memory: Stage, reasoning: Stage | None = None) -> None:
        self._perception = perception
        self._memory = memory
        self._reasoning = reasoning
        self._outputs: deque[Output] = deque()
        self._readers: deque[Reader] = deque()
        self._owed: set[tuple[Any, ...]] = set()
        if reasoning is not None:
            reasoning.submit(MemoryReady())

    def submit(self, message: Input) -> None:
        """Hand a message of the server, a source or a test to the stage that takes it."""
        if isinstance(message, _TO_PERCEPTION):
            self._perception.submit(message)
            if isinstance(message, OpenStream) and isinstance(message.source, FileSource):
                self._add_reader(message, message.source)
        elif isinstance(message, _TO_MEMORY):
            self._to_memory(message)
        elif self._reasoning is not None:
            self._reasoning.submit(message)
        else:
            raise ValueError(f"this pipeline has no reasoning stage for {type(message).__name__}")

    def run_until_idle(self) -> list[Output]:
        """Read every file to its end and step until no stage has work and memory owes no answer.

        What the server would have been sent, in order. Raises TimeoutError where memory owes an answer for too long.
        """
        while self._readers:
            self._readers.popleft().run(_Inbox(self), threading.Event())
        self._run()
        return self._take()

    def put(self, record: Media) -> None:
        """Take a record of a file that is being read; its turn comes with the next step."""
        self._perception.submit(record)

    def make_room(self, stream: str) -> None:
        """Step until perception takes more of this stream."""
        while not self._perception.room(stream) and self._step_once():
            pass

    def close(self) -> list[Output]:
        """Finish: perception's last records reach memory before memory closes."""
        for message in self._perception.close():
            self._route(message)
        self._run()
        for stage in (self._reasoning, self._memory):
            for message in stage.close() if stage is not None else ():
                self._route(message)
        return self._take()

    def _take(self) -> list[Output]:
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    def _add_reader(self, opened: OpenStream, source: FileSource) -> None:
        reader = open_reader(msgspec.structs.replace(opened, source=FileSource(source.path, "fast")))
        if reader is not None:
            self._readers.append(reader)

    def _run(self) -> None:
        worked_at = time.monotonic()
        while (worked := self._step_once()) or self._owed:
            if worked:
                worked_at = time.monotonic()
            elif time.monotonic() - worked_at > _PATIENCE_S:
                raise TimeoutError(f"memory owes {sorted(map(str, self._owed))}")
            else:
                # Memory's writer thread is at it.
                time.sleep(_PAUSE_S)

    def _stages(self) -> list[Stage]:
        """Whoever is furthest along the data's way first."""
        return [stage for stage in (self._reasoning, self._memory, self._perception) if stage is not None]

    def _step_once(self) -> bool:
        """One step of the stage that is furthest along the data's way and has work."""
        for stage in self._stages():
            if stage.has_work():
                for message in stage.step():
                    self._route(message)
                return True
        return False

    def _route(self, message: Any) -> None:
        self._owed.discard(_answers(message))
        if isinstance(message, (*_RECORDS, Recall, WantCaption, Captioned)):
            self._to_memory(message)
        elif isinstance(message, Context | ToCaption) and self._reasoning is not None:
            self._reasoning.submit(message)
        else:
            self._outputs.append(message)

    def _to_memory(self, message: Any) -> None:
        owed = _asks(message)
        if owed:
            self._owed.add(owed)
        self._memory.submit(message)


class _Inbox:
    """A file's way into the pipeline; implements `perception.sources.base.Inbox`."""

    def __init__(self, pipeline: LocalPipeline) -> None:
        self._pipeline = pipeline

    def put(self, record: Media) -> None:
        self._pipeline.put(record)

    def wait_for_room(self, stream: str, stop: threading.Event) -> None:
        self._pipeline.make_room(stream)


def _asks(message: Any) -> tuple[Any, ...]:
    """What memory owes for a message; empty: nothing."""
    match message:
        case OpenMemory(stream):
            return ("opened", stream)
        case Barrier(stream, number):
            return ("barrier", stream, number)
        case Recall(request):
            return ("recall", request)
        case UpdateMemory() | DropMemory() | Forget() | ListEvents() | SearchPicture() | GetEvent() | GetFrame():
            return ("request", message.request)
    return ()


def _answers(message: Any) -> tuple[Any, ...]:
    """What a message settles."""
    match message:
        case MemoryOpened(stream):
            return ("opened", stream)
        case BarrierReached(stream, number):
            return ("barrier", stream, number)
        case Context(request):
            return ("recall", request)
        case Updated() | Dropped() | Forgotten() | EventPage() | EventFound() | FrameFound() | Refused():
            return ("request", message.request)
    return ()
