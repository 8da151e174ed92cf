"""A stage beside its predecessor and its watchdog: whose answer a recall has, and how long a step may take."""

from collections.abc import Callable
from typing import Any

import pytest

from memory.messages import Context, Recall
from perception.window import LocalWindow
from reasoning.config import ReasoningConfig
from reasoning.stage import ReasoningStage

S = 1_000_000
Start = Callable[[int], ReasoningStage]


class IdleEngine:
    """Has room for one request and never begins it."""

    slots = 1

    def __init__(self) -> None:
        self.begun: list[Any] = []

    def begin(self, request: Any) -> None:
        self.begun.append(request)

    def has_work(self) -> bool:
        return False

    def next_step_s(self) -> float:
        return 12.0


@pytest.fixture
def engine() -> IdleEngine:
    return IdleEngine()


@pytest.fixture
def start(engine: IdleEngine, tools: Any) -> Start:
    """A stage whose clock stands at a time; there is one frame to answer from."""

    def stage(now_us: int) -> ReasoningStage:
        window = LocalWindow(4)
        window.push(0, tools.frame(99))
        config = ReasoningConfig(model=None)  # type: ignore[arg-type]
        return ReasoningStage(config, engine, window, lambda: now_us)  # type: ignore[arg-type]

    return stage


def recalled(stage: ReasoningStage, *messages: Any) -> list[Recall]:
    for message in messages:
        stage.submit(message)
    return [one for one in stage.step() if isinstance(one, Recall)]


def test_what_memory_says_to_a_predecessor_is_no_answer_to_its_successor(
    start: Start, engine: IdleEngine, tools: Any
) -> None:
    old, new = start(5 * S), start(6 * S)
    asked = [recalled(old, tools.ask(f"q_{n}"))[0].request for n in range(50)]
    [recall] = recalled(new, tools.ask("q_0"))
    assert recall.request > max(asked)
    recalled(new, *(Context(request, [], [], [], None, None, False, "{}") for request in asked))
    assert engine.begun == []
    recalled(new, Context(recall.request, [], [], [], None, None, False, "{}"))
    assert [request.id for request in engine.begun] == ["q_0"]


def test_the_watchdog_hears_what_the_engine_expects(start: Start) -> None:
    assert start(0).next_step_s() == 12.0
