"""Captions: made while nobody asks, one frame after the other, and never in a question's way."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from memory.caption_messages import Captioned, CaptionFrame, CaptionPutOff, ToCaption, WantCaption
from memory.messages import Context, Coverage, Recall, StreamCoverage
from perception.window import LocalWindow
from reasoning.captioning import DESCRIBE, QUIET_US
from reasoning.config import ReasoningConfig
from reasoning.engine import Delta, EngineOutput, Finished, Request
from reasoning.local import LocalEngine
from reasoning.messages import AnswerDelta, AnswerDone, Costs, ForgetCaches, MemoryLost, MemoryReady, ReasoningOutput
from reasoning.stage import ReasoningStage

CAM = "default/cam"


class Watched:
    """An engine that notes what is begun, cancelled and stepped, and for whom."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self.log: list[str] = []
        self.requests: list[Request] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def begin(self, request: Request) -> None:
        self.log.append(f"begin {request.id}")
        self.requests.append(request)
        self._engine.begin(request)

    def cancel(self, request_id: str) -> None:
        self.log.append(f"cancel {request_id}")
        self._engine.cancel(request_id)

    def step(self) -> list[EngineOutput]:
        outputs = self._engine.step()
        self.log.append("step")
        return outputs


class Desk:
    """A stage with a real engine, a clock by hand, and memory's part played."""

    def __init__(self, tools: Any, engine: LocalEngine, captions: bool = True) -> None:
        self.tools, self.now_us = tools, 10_000_000
        self.engine = Watched(engine)
        self.window = LocalWindow(8)
        self.window.push(0, msgspec.structs.replace(tools.frame(100.0), tokens=None))
        config = ReasoningConfig(model=None, captions=captions)
        self.stage = ReasoningStage(config, self.engine, self.window, lambda: self.now_us)
        self.told: list[ReasoningOutput] = []

    def step(self, *messages: Any) -> list[ReasoningOutput]:
        for message in messages:
            self.stage.submit(message)
        outputs = [one for one in self.stage.step() if not isinstance(one, Costs)]
        self.told += outputs
        return outputs

    def run(self, *messages: Any) -> list[ReasoningOutput]:
        outputs = self.step(*messages)
        for _ in range(500):
            if not self.stage.has_work():
                return outputs
            outputs += self.step()
        raise AssertionError("the stage never rests")

    def wanted(self) -> None:
        """Until memory is asked for an event."""
        assert [WantCaption()] == self.run()

    def event(self, name: str = "e_1", frames: int = 2) -> ToCaption:
        shown = [CaptionFrame(second * 1_000_000, self.tools.jpeg(second)) for second in range(frames)]
        return ToCaption(CAM, name, shown)

    def answer(self) -> int:
        """Ask, and step until the first word is there: after how many steps of the engine."""
        before = len(self.engine.log)
        [recall] = [one for one in self.step(self.tools.ask()) if isinstance(one, Recall)]
        coverage = [StreamCoverage(CAM, Coverage("full", 0, 1, [], 0))]
        self.step(Context(recall.request, [], [], coverage, None, None, False, "{}"))
        while not any(isinstance(one, AnswerDelta | AnswerDone) for one in self.told):
            self.step()
        return self.engine.log[before:].count("step")


@pytest.fixture
def engine(engine_of: Callable[[str], LocalEngine]) -> Any:
    engine = engine_of("idefics3")
    yield engine
    for name in [*engine._running]:
        engine.cancel(name)


@pytest.fixture
def desk(tools: Any, engine: LocalEngine) -> Desk:
    return Desk(tools, engine)


def test_an_event_is_described_frame_by_frame(desk: Desk) -> None:
    desk.wanted()
    outputs = desk.run(desk.event())
    [captioned] = [one for one in outputs if isinstance(one, Captioned)]
    assert (captioned.stream, captioned.event) == (CAM, "e_1")
    assert outputs[-1] == WantCaption(), "the next one is asked for"
    assert [one.prompt.question for one in desk.engine.requests] == [DESCRIBE] * 2
    shown = [one.prompt.pictures() for one in desk.engine.requests]
    assert [[picture.media_us for picture in pictures] for pictures in shown] == [[0], [1_000_000]]


def test_a_question_waits_for_no_caption(tools: Any, engine: LocalEngine) -> None:
    """However far a caption is, the engine does for a question what it does without captions, and nothing before it."""
    alone = Desk(tools, engine, captions=False).answer()
    engine.cancel("q_1")
    for steps in range(1, 12):
        desk = Desk(tools, engine)
        desk.wanted()
        desk.step(desk.event(frames=3))
        for _ in range(steps):
            desk.step()
        assert desk.engine.log[0] == "begin caption 1"
        assert desk.answer() == alone, steps
        asked = desk.engine.log.index("begin q_1")
        cancelled = [n for n, one in enumerate(desk.engine.log) if one.startswith("cancel caption")]
        assert cancelled, steps
        assert cancelled[0] < asked, steps
        assert "step" not in desk.engine.log[cancelled[0] : asked], steps
        assert desk.told.count(CaptionPutOff()) == 1, steps
        engine.cancel("q_1")


def test_a_caption_that_was_put_off_is_made_when_it_is_quiet(desk: Desk) -> None:
    desk.wanted()
    desk.step(desk.event())
    desk.step()
    desk.answer()
    desk.run()
    assert not any(isinstance(one, Captioned) for one in desk.told)
    desk.now_us += QUIET_US - 1
    assert not desk.stage.has_work()
    desk.now_us += 1
    assert any(isinstance(one, Captioned) for one in desk.run())


def test_a_caption_is_read_in_small_pieces_and_costs_nothing_that_is_foretold(desk: Desk, engine: LocalEngine) -> None:
    before = engine.meter.costs()
    desk.wanted()
    desk.run(desk.event())
    assert all(one.idle for one in desk.engine.requests)
    assert engine.meter.costs() == before


def test_without_the_setting_none_is_made(tools: Any, engine: LocalEngine) -> None:
    desk = Desk(tools, engine, captions=False)
    assert not desk.stage.has_work()
    assert desk.run(desk.event()) == []
    assert desk.engine.requests == []


@pytest.mark.parametrize(("events", "goes_on"), [(["e_1"], False), ([], False), (["e_2"], True)])
def test_what_is_forgotten_meanwhile_is_not_described(desk: Desk, events: list[str], goes_on: bool) -> None:
    desk.wanted()
    desk.step(desk.event())
    desk.step()
    outputs = desk.run(ForgetCaches(CAM, 1, events))
    assert any(isinstance(one, Captioned) for one in outputs) == goes_on


def test_memory_is_asked_again_once_it_is_back(desk: Desk) -> None:
    desk.wanted()
    desk.step(desk.event())
    assert not any(isinstance(one, Captioned | WantCaption) for one in desk.run(MemoryLost()))
    assert desk.run(MemoryReady()) == [WantCaption()]


def test_what_was_asked_before_memory_was_there_is_asked_again(desk: Desk) -> None:
    desk.wanted()
    assert desk.run(MemoryReady()) == [WantCaption()]


def test_an_event_on_which_the_model_fails_is_passed_over(
    desk: Desk, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the model fails")

    monkeypatch.setattr(engine, "_advance", fail)
    desk.wanted()
    assert desk.run(desk.event()) == [Captioned(CAM, "e_1", ""), WantCaption()]


def test_before_the_end_nothing_more_is_begun(desk: Desk) -> None:
    desk.wanted()
    desk.step(desk.event())
    desk.stage.end_leisure()
    assert not desk.stage.has_work()
    assert desk.run(desk.event("e_2")) == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (["I cannot tell.", "a ring."], "a ring."),
        (["a ring.", "a ring."], "a ring."),
        (["I don't know", ""], ""),
        (["a can. I cannot tell what is in it."], "a can. I cannot tell what is in it."),
    ],
)
def test_a_caption_says_each_thing_once_and_no_denial(desk: Desk, said: list[str], kept: str) -> None:
    captions = desk.stage._captions
    captions.take(desk.event(frames=len(said)))
    outputs: list[Any] = []
    for text in said:
        captions.go_on()
        name = desk.engine.requests[-1].id
        for told in (Delta(name, text), Finished(name, "stop", 1)):
            outputs += captions.relay(told) or []
    assert outputs == [Captioned(CAM, "e_1", kept)]
