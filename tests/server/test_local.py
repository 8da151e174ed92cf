"""Three stages in one process: routing, files, and answers that memory's writer owes."""

import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from memory.messages import BarrierReached, Context, GetEvent, Recall, Refused
from perception.messages import (
    Barrier,
    Fault,
    FileSource,
    OpenStream,
    Packet,
    Percept,
    SessionEnded,
    SessionStarted,
    StreamEnded,
)
from reasoning.messages import AnswerDelta, Ask, MemoryReady
from server import local
from server.local import LocalPipeline


class Scripted:
    """A stage that answers each message by a function, one message a step."""

    def __init__(self) -> None:
        self.inbox: deque[Any] = deque()
        self.taken: list[Any] = []
        self.limit = 3

    def submit(self, message: Any) -> None:
        self.inbox.append(message)

    def has_work(self) -> bool:
        return bool(self.inbox)

    def room(self, stream: str) -> bool:
        return len(self.inbox) < self.limit

    def step(self) -> list[Any]:
        message = self.inbox.popleft()
        self.taken.append(message)
        return self.answer(message)

    def answer(self, message: Any) -> list[Any]:
        return []

    def close(self) -> list[Any]:
        return []


class Perception(Scripted):
    most = 0

    def answer(self, message: Any) -> list[Any]:
        match message:
            case Packet():
                return [Percept(message.stream, message.pts_us or 0, 0, b"", b"", cut=False, cut_us=0)]
            case Barrier():
                return [message]
        return []

    def submit(self, message: Any) -> None:
        super().submit(message)
        self.most = max(self.most, len(self.inbox))

    def close(self) -> list[Any]:
        return [StreamEnded("t/a", 9, final=False)]


class Memory(Scripted):
    def answer(self, message: Any) -> list[Any]:
        match message:
            case Barrier(stream, number):
                # As a commit does, the answer comes from another thread, later.
                threading.Timer(0.05, lambda: self.inbox.append(BarrierReached(stream, number))).start()
            case BarrierReached():
                return [message]
            case Recall(request):
                return [Context(request, [], [], [], None, None, False, "{}")]
            case GetEvent():
                return [Refused(message.request, Fault("event_not_found", "list the events"))]
        return []


class Reasoning(Scripted):
    def answer(self, message: Any) -> list[Any]:
        match message:
            case Ask():
                return [Recall(5, ["t/a"], message.question, None, None, [0], 4)]
            case Context(request):
                return [AnswerDelta("q_1", f"context {request}")]
        return []


def packet(number: int) -> Packet:
    return Packet("t/a", 0, 0, "jpeg", b"", number, 0, 0)


def test_each_message_goes_to_its_stage_and_answers_come_out() -> None:
    perception, memory, reasoning = Perception(), Memory(), Reasoning()
    pipeline = LocalPipeline(perception, memory, reasoning)
    ask = Ask("q_1", [], "what?", None, None, 1, 0, 0, 0.0, 0, [])
    for message in (packet(1), packet(2), GetEvent("t/a", 8, "e_1"), ask):
        pipeline.submit(message)
    outputs = pipeline.run_until_idle()
    assert AnswerDelta("q_1", "context 5") in outputs
    assert any(isinstance(one, Refused) and one.request == 8 for one in outputs)
    assert [one.media_us for one in memory.taken if isinstance(one, Percept)] == [1, 2]
    assert reasoning.taken[:2] == [MemoryReady(), ask]
    assert not any(isinstance(one, Percept | Recall | Context) for one in outputs)


def test_being_idle_means_that_memory_owes_nothing() -> None:
    pipeline = LocalPipeline(Perception(), Memory())
    pipeline.submit(packet(1))
    pipeline.submit(Barrier("t/a", 4))
    assert pipeline.run_until_idle() == [BarrierReached("t/a", 4)]
    assert pipeline.run_until_idle() == []


def test_a_memory_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PATIENCE_S", 0.02)
    pipeline = LocalPipeline(Perception(), Scripted())
    pipeline.submit(GetEvent("t/a", 8, "e_1"))
    with pytest.raises(TimeoutError, match="request"):
        pipeline.run_until_idle()


def test_a_question_without_a_reasoning_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="no reasoning stage for MemoryReady"):
        LocalPipeline(Perception(), Memory()).submit(MemoryReady())


def test_closing_brings_perceptions_last_records_to_memory() -> None:
    memory = Memory()
    LocalPipeline(Perception(), memory).close()
    assert memory.taken == [StreamEnded("t/a", 9, final=False)]


def test_a_file_is_read_to_its_end_as_fast_as_it_is_taken(make_clip: Any) -> None:
    perception, memory = Perception(), Memory()
    pipeline = LocalPipeline(perception, memory)
    pipeline.submit(OpenStream("t/a", FileSource(str(make_clip()), "real"), 0, 0, 0, 2.0))
    pipeline.run_until_idle()
    kinds = [type(one) for one in perception.taken]
    assert kinds[:2] == [OpenStream, SessionStarted]
    assert kinds[-1] is SessionEnded
    packets = kinds.count(Packet)
    assert packets > 10
    assert perception.most <= perception.limit + 2
    assert sum(isinstance(one, Percept) for one in memory.taken) == packets


def test_a_file_that_is_not_there_ends_with_its_fault(tmp_path: Path) -> None:
    perception = Perception()
    pipeline = LocalPipeline(perception, Memory())
    pipeline.submit(OpenStream("t/a", FileSource(str(tmp_path / "none.mp4"), "fast"), 0, 0, 0, 2.0))
    pipeline.run_until_idle()
    ended = perception.taken[-1]
    assert isinstance(ended, SessionEnded)
    assert ended.fault is not None
    assert ended.fault.code == "source_not_found"


def test_every_answer_of_memory_settles_what_it_answers() -> None:
    assert local._answers(Refused(3, Fault("x", "y"))) == local._asks(GetEvent("t/a", 3, "e"))
    assert local._answers(BarrierReached("t/a", 1)) == local._asks(Barrier("t/a", 1))
    assert local._asks(packet(1)) == () == local._answers(packet(1))
