"""Requests that never cease keep neither percepts nor an index that somebody waits for out."""

from typing import Any

from memory.messages import FOREVER_US, BarrierReached, Context, EventPage, ListEvents, Recall
from memory.stage import MemoryStage
from perception.messages import Barrier

S = 1_000_000


def listing(stream: str, q: str | None = None) -> ListEvents:
    return ListEvents(stream, 1, q, 0, FOREVER_US, 5, None)


def test_there_is_room_for_records_whatever_requests_wait(stage: MemoryStage, tools: Any) -> None:
    assert stage.room() == 64
    for _ in range(100):
        stage.submit(listing(tools.stream, "red"))
    assert stage.room() == 64
    for n in range(64):
        stage.submit(tools.percept(n * S))
    assert stage.room() == 0
    stage.submit(Barrier(tools.stream, 1))
    assert stage.room() == 0


def test_records_are_taken_while_two_clients_ask_without_end(stage: MemoryStage, tools: Any) -> None:
    sent, outputs = 0, []
    stage.submit(listing(tools.stream, "red"))
    stage.submit(listing(tools.stream, "red"))
    while not any(isinstance(one, BarrierReached) for one in outputs):
        for _ in range(stage.room()):
            stage.submit(tools.percept(sent * S) if sent < 200 else Barrier(tools.stream, sent))
            sent += 1
        given = stage.step()
        for _ in range(sum(isinstance(one, EventPage) for one in given)):
            stage.submit(listing(tools.stream, "red"))
        outputs += given
    pages = sum(isinstance(one, EventPage) for one in outputs)
    assert pages > 2
    assert sent < 64 * (pages + 2)


def test_an_index_that_is_waited_for_is_loaded_while_others_are_asked(make_stage: Any, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), tools.opening("default/b"), tools.percept(0), Barrier(tools.stream, 1))
    first.close()
    second = make_stage()
    second.submit(Recall(3, ["default/b"], "what was there before?", None, None, [S], 4))
    outputs: list[Any] = []
    for _ in range(5):
        second.submit(listing(tools.stream))
        second.submit(listing(tools.stream))
        outputs += second.step()
    assert tools.only(outputs, Context).request == 3
