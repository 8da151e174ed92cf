"""The three stages in one process, on file time: messages in, what the server would get out."""

from collections import deque
from typing import Any, Protocol

from memory.messages import (
    Context,
    DropMemory,
    Forget,
    GetEvent,
    GetFrame,
    ListEvents,
    MemoryInput,
    MemoryOutput,
    OpenMemory,
    Recall,
    SearchPicture,
    UpdateMemory,
)
from perception.messages import (
    Barrier,
    CloseStream,
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
from reasoning.messages import ReasoningInput, ReasoningOutput

Input = PerceptionInput | MemoryInput | ReasoningInput
Output = PerceptionOutput | MemoryOutput | ReasoningOutput

_TO_PERCEPTION = (OpenStream, CloseStream, SetSampling, WipeWindow, Packet, SessionStarted, SessionEnded, Barrier)
_TO_MEMORY = (OpenMemory, UpdateMemory, DropMemory, ListEvents, SearchPicture, GetEvent, GetFrame, Forget)
_RECORDS = (Percept, Unchanged, Speech, Gap, StreamEnded, Barrier)


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


class LocalPipeline:
    """Routes messages between three stages as the processes' links do, one step of each at a time.

    Perception goes on only when memory has taken what it gave: nothing is dropped, and the order is always the same.
    """

    def __init__(self, perception: Stage, memory: Stage, reasoning: Stage | None = None) -> None:
        self._perception = perception
        self._memory = memory
        self._reasoning = reasoning
        self._outputs: deque[Output] = deque()

    def submit(self, message: Input) -> None:
        """Hand a message of the server, a source or a test to the stage that takes it."""
        if isinstance(message, _TO_PERCEPTION):
            self._perception.submit(message)
        elif isinstance(message, _TO_MEMORY):
            self._memory.submit(message)
        elif self._reasoning is not None:
            self._reasoning.submit(message)
        else:
            raise ValueError(f"this pipeline has no reasoning stage for {type(message).__name__}")

    def run_until_idle(self) -> list[Output]:
        """Step until no stage has work; what the server would have been sent, in order."""
        self._run()
        return self._take()

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

    def _run(self) -> None:
        while self._step_once():
            pass

    def _step_once(self) -> bool:
        """One step of the stage that is furthest along the data's way and has work."""
        for stage in (self._reasoning, self._memory, self._perception):
            if stage is not None and stage.has_work():
                for message in stage.step():
                    self._route(message)
                return True
        return False

    def _route(self, message: Any) -> None:
        if isinstance(message, (*_RECORDS, Recall)):
            self._memory.submit(message)
        elif isinstance(message, Context) and self._reasoning is not None:
            self._reasoning.submit(message)
        else:
            self._outputs.append(message)
