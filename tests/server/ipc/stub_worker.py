"""Stages without models behind the product's own child runtime: `python stub_worker.py STAGE`, started by StageHost.

What they shall do they are told by ordinary messages: `GetEvent.event` (memory) and `Ask.question` (reasoning) are
commands, and a model folder's name decides how a stage starts.
"""

import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from memory.config import MemoryConfig
from memory.messages import (
    BarrierReached,
    Context,
    EventFound,
    EventRecord,
    FrameFound,
    GetEvent,
    GetFrame,
    Recall,
)
from perception.config import PerceptionConfig
from perception.errors import StartRefused
from perception.messages import (
    Barrier,
    CloseStream,
    Fault,
    Gap,
    OpenStream,
    Packet,
    Percept,
    PerceptRecord,
    SessionEnded,
    SessionStarted,
    StreamClosed,
    StreamEnded,
)
from perception.window import WindowFrame
from reasoning.messages import (
    AnswerDone,
    AnswerFailed,
    Ask,
    CachesForgotten,
    ForgetCaches,
    MemoryLost,
    MemoryReady,
    Timing,
)
from server.ipc.channel import Channel
from server.ipc.inlets import PeerLink, RingInlet, RingOutlet
from server.ipc.links import PERCEPT_READERS, Inherited
from server.ipc.messages import StageName, Throttle
from server.ipc.ring import RingReader, RingWriter
from server.ipc.runtime import StageLoop
from server.ipc.slab import SlabReader, SlabWriter
from server.worker import leave, main

FRAMES, SLOT = 4, 100_000


class Stub:
    """The four verbs around one method."""

    def __init__(self) -> None:
        self._inbox: deque[Any] = deque()
        self.outputs: list[Any] = []

    def submit(self, message: Any) -> None:
        self._inbox.append(message)

    def has_work(self) -> bool:
        return bool(self._inbox or self.outputs)

    def step(self) -> list[Any]:
        if self._inbox:
            self.handle(self._inbox.popleft())
        outputs, self.outputs = self.outputs, []
        return outputs

    def close(self) -> list[Any]:
        outputs: list[Any] = []
        while self.has_work():
            outputs += self.step()
        return outputs + self.last_words()

    def handle(self, message: Any) -> None:
        raise NotImplementedError

    def last_words(self) -> list[Any]:
        return []


class StubPerception(Stub):
    """Each packet is a percept and a window entry."""

    def __init__(self, window: SlabWriter) -> None:
        super().__init__()
        self._window = window
        self._streams: set[str] = set()

    def handle(self, message: Any) -> None:
        match message:
            case OpenStream():
                self._streams.add(message.stream)
            case CloseStream(stream):
                self.outputs += [Throttle(stream, full=False), StreamClosed(stream)]
            case Packet(codec="throttle"):
                self.outputs.append(Throttle(message.stream, full=True))
            case Packet():
                self._streams.add(message.stream)
                media_us = message.pts_us or 0
                self._window.push(0, WindowFrame(message.stream, media_us, 0, message.data[:1000], None))
                self.outputs.append(
                    Percept(message.stream, media_us, message.arrival_us, message.data, b"", cut=False, cut_us=0)
                )
            case Barrier():
                self.outputs.append(message)

    def last_words(self) -> list[Any]:
        return [StreamEnded(stream, 0, final=False) for stream in sorted(self._streams)]


class StubMemory(Stub):
    """Writes down what it reads, and does as it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._diary = (folder / "diary").open("a", buffering=1)
        self._patience = 0.0
        self._write(f"born {os.getpid()}")

    def handle(self, message: Any) -> None:
        match message:
            case Percept():
                self._write(f"percept {message.media_us}")
            case StreamEnded():
                self._write(f"ended {message.stream}")
            case Gap():
                self._write(f"gap {message.reason}")
            case Barrier(stream, number):
                self.outputs.append(BarrierReached(stream, number))
            case Recall():
                self.outputs.append(Context(message.request, [], [], [], None, None, False, message.question.upper()))
            case GetFrame():
                self.outputs.append(FrameFound(message.request, bytes(message.n)))
            case GetEvent():
                self._obey(message)

    def next_step_s(self) -> float:
        return self._patience

    def last_words(self) -> list[Any]:
        self._write("closed")
        return []

    def _obey(self, message: GetEvent) -> None:
        verb, _, value = message.event.partition(" ")
        match verb:
            case "sleep":
                time.sleep(float(value))
            case "exit":
                os._exit(int(value))
            case "raise":
                raise RuntimeError("told to")
            case "patience":
                self._patience = float(value)
        event = EventRecord(message.event, message.stream, 0, 0, None, None, [], 1, [], False)
        self.outputs.append(EventFound(message.request, event))

    def _write(self, line: str) -> None:
        self._diary.write(line + "\n")


class StubReasoning(Stub):
    """Answers with memory's context and the number of window frames."""

    def __init__(self, window: SlabReader) -> None:
        super().__init__()
        self._window = window
        self._asked: dict[int, Ask] = {}
        self._heard: list[str] = []

    def handle(self, message: Any) -> None:
        match message:
            case Ask():
                self._asked[message.arrival_us] = message
                self.outputs.append(Recall(message.arrival_us, ["t/a"], message.question, None, None, [0], 4))
            case Context():
                self._answer(self._asked.pop(message.request), message)
            case MemoryLost():
                self._heard.append("lost")
                self.outputs += [
                    AnswerFailed(ask.question_id, Fault("process_lost", "ask again")) for ask in self._asked.values()
                ]
                self._asked.clear()
            case MemoryReady():
                self._heard.append("ready")
            case ForgetCaches(_, request):
                self.outputs.append(CachesForgotten(" ".join(self._heard), request))

    def _answer(self, ask: Ask, context: Context) -> None:
        text = f"{context.explain} {len(self._window.snapshot(0, 't/a'))}"
        self.outputs.append(
            AnswerDone(ask.question_id, text, "stop", [], [], -1, Timing(0, 0, 0, 0, 0), 0, 0, explain="")
        )


def build(stage: StageName, config: Any, inherited: Inherited, control: Channel) -> StageLoop:
    match stage:
        case "perception":
            return build_perception(config, inherited, control)
        case "memory":
            return build_memory(config, inherited, control)
        case "reasoning":
            window = SlabReader(inherited.fd("slab"))
            peer = PeerLink(inherited.peer(Context), kinds=(Recall,))
            return StageLoop(StubReasoning(window), control, inlets=[peer], outlets=[peer])


def build_perception(config: PerceptionConfig, inherited: Inherited, control: Channel) -> StageLoop:
    obey_folder(config.encoder.folder)
    stage = StubPerception(SlabWriter(inherited.fd("slab"), 2, FRAMES, SLOT))
    media = RingInlet(
        RingReader(inherited.ring("media"), 0), Packet | SessionStarted | SessionEnded | Barrier, lambda missed: None
    )
    records = (Percept, Gap, StreamEnded, Barrier)
    percepts = RingOutlet(RingWriter(inherited.ring("percepts")), records, 64, lambda waiting: None)
    return StageLoop(stage, control, inlets=[media], outlets=[percepts])


def build_memory(config: MemoryConfig, inherited: Inherited, control: Channel) -> StageLoop:
    obey_folder(config.encoder.folder)
    stage = StubMemory(Path(config.streams_folder))
    reader = RingReader(inherited.ring("percepts"), PERCEPT_READERS.index("memory"))
    percepts = RingInlet(reader, PerceptRecord, lambda missed: None, room=lambda: 0 if stage.has_work() else 64)
    peer = PeerLink(inherited.peer(Recall), kinds=(Context,))
    return StageLoop(stage, control, inlets=[percepts, peer], outlets=[peer])


def obey_folder(folder: str) -> None:
    """How the stage starts is in the name of its encoder's folder."""
    verb, _, value = folder.partition(" ")
    match verb:
        case "refuse":
            raise StartRefused(value, "name another model")
        case "sleep":
            time.sleep(float(value))
        case "exit":
            os._exit(int(value))


if __name__ == "__main__":
    leave(main(build))
