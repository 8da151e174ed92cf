"""Requests that trip over the disk or over a fault of ours: one answer each, to whoever asked, and memory goes on."""

import logging
import sqlite3
from collections import deque
from typing import Any

import pytest

from memory.messages import (
    FOREVER_US,
    BarrierReached,
    Context,
    GetEvent,
    GetFrame,
    ListEvents,
    Recall,
    Refused,
    SearchPicture,
)
from memory.stage import MemoryStage
from perception.messages import Barrier
from reasoning.messages import AnswerDelta, Ask
from server.local import LocalPipeline

FAILURES = [sqlite3.OperationalError("disk I/O error"), ValueError("what was seen")]


@pytest.fixture(params=FAILURES, ids=lambda failure: type(failure).__name__)
def failing(request: Any, stage: MemoryStage, tools: Any, monkeypatch: pytest.MonkeyPatch) -> MemoryStage:
    """A stage that has an event and can read nothing any more."""
    tools.drive(stage, tools.percept(0, "red"), Barrier(tools.stream, 1))

    def fail(*_: Any) -> Any:
        raise request.param

    monkeypatch.setattr(stage, "_reply", fail)
    return stage


def test_a_recall_that_fails_is_a_context_for_reasoning(failing: MemoryStage, tools: Any, caplog: Any) -> None:
    with caplog.at_level(logging.ERROR):
        outputs = tools.drive(failing, Recall(7, [tools.stream, "default/b"], "what was there?", None, None, [0, 0], 4))
    assert not [one for one in outputs if isinstance(one, Refused)]
    context = tools.only(outputs, Context)
    assert (context.request, context.evidence, context.speech, context.needs_past) == (7, [], [], False)
    told = [(one.stream, one.coverage.covered, one.coverage.start_us) for one in context.coverage]
    assert told == [(tools.stream, "none", -1), ("default/b", "none", -1)]
    assert context.explain == '{"memory": "unreadable"}'
    assert "what was seen" not in caplog.text
    assert "cannot be read" in caplog.text


def test_a_request_that_fails_is_refused_and_the_next_record_is_taken(failing: MemoryStage, tools: Any) -> None:
    requests = [
        ListEvents(tools.stream, 1, None, 0, FOREVER_US, 5, None),
        SearchPicture(tools.stream, 2, b"", 0, FOREVER_US, 5),
        GetEvent(tools.stream, 3, "e_1"),
        GetFrame(tools.stream, 4, "e_1", 0),
    ]
    outputs = tools.drive(failing, *requests, tools.percept(1, "green"), Barrier(tools.stream, 2))
    refused = sorted((one.request, one.fault.code) for one in outputs if isinstance(one, Refused))
    assert refused == [(number, "internal_error") for number in (1, 2, 3, 4)]
    assert tools.only(outputs, BarrierReached) == BarrierReached(tools.stream, 2)


class Asking:
    """Reasoning's verbs: recalls once for a question, and says what came of it."""

    def __init__(self) -> None:
        self.inbox: deque[Any] = deque()

    def submit(self, message: Any) -> None:
        self.inbox.append(message)

    def room(self, stream: str) -> bool:
        return True

    def has_work(self) -> bool:
        return bool(self.inbox)

    def step(self) -> list[Any]:
        match self.inbox.popleft():
            case Ask():
                return [Recall(1, ["default/cam"], "what was there?", None, None, [0], 4)]
            case Context(explain=explain):
                return [AnswerDelta("q_1", explain)]
        return []

    def close(self) -> list[Any]:
        return []


def test_an_unreadable_memory_settles_the_question_in_one_process(failing: MemoryStage) -> None:
    pipeline = LocalPipeline(Asking(), failing, Asking())
    pipeline.submit(Ask("q_1", [], "what?", None, None, 1, 0, 0, 0.0, 0, []))
    assert pipeline.run_until_idle() == [AnswerDelta("q_1", '{"memory": "unreadable"}')]
