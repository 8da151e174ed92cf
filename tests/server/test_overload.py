"""Three times as many questions as can be answered, in the time of a played engine: no machine's pace is in it."""

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from memory.messages import Context, Coverage, Recall, StreamCoverage
from perception.window import LocalWindow, VisualTokens, WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.costs import CostMeter
from reasoning.engine import Delta, EngineOutput, Finished, Request, Started
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, Ask, AskedStream, Costs
from reasoning.stage import ReasoningStage
from server.admission import Admission, Asked

CAM = "default/cam"
TOKENS = 48
PATIENCE_S = 4.0
SLOTS = 8


class PlayedEngine:
    """Reads a prompt and gives a token to each that was read, a step; its clock goes on by what that costs."""

    def __init__(self, slots: int, read_s: float, step_s: float, pace: Callable[[], float]) -> None:
        self.slots, self.meter = slots, CostMeter(slots)
        self.now_s = 0.0
        self._read_s, self._step_s, self._pace = read_s, step_s, pace
        self._said: OrderedDict[str, tuple[Request, int]] = OrderedDict()

    def begin(self, request: Request) -> None:
        self._said[request.id] = request, 0

    def step(self) -> list[EngineOutput]:
        outputs: list[EngineOutput] = []
        saying = [name for name, (_, said) in self._said.items() if said]
        if saying:
            # A row more costs a tenth of a step.
            self.meter.note_step(len(saying), self._spend(self._step_s * (1 + 0.1 * len(saying))))
        reading = next((name for name, (_, said) in self._said.items() if not said), None)
        if reading is not None:
            self.meter.note_read(300, self._spend(self._read_s))
            outputs.append(Started(reading, self._said[reading][0].prompt, 300))
            saying.append(reading)
        for name in saying:
            outputs += self._say(name)
        return outputs

    def _spend(self, seconds: float) -> float:
        seconds *= self._pace()
        self.now_s += seconds
        return seconds

    def _say(self, name: str) -> list[EngineOutput]:
        request, said = self._said[name]
        self._said[name] = request, said + 1
        if said + 1 < request.max_tokens:
            return [Delta(name, "x")]
        del self._said[name]
        return [Delta(name, "x"), Finished(name, "length", said + 1)]

    def has_work(self) -> bool:
        return bool(self._said)

    def next_step_s(self) -> float:
        return 0.0

    def cancel(self, request_id: str) -> None:
        self._said.pop(request_id, None)

    def forget(self, stream: str, events: Sequence[str]) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class House:
    """A stage behind a door with admission; memory answers at once."""

    engine: PlayedEngine
    admission: Admission = field(default_factory=Admission)
    open: OrderedDict[str, Asked] = field(default_factory=OrderedDict)
    asked: int = 0
    answered: int = 0
    failed: int = 0
    told_to_wait: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        window = LocalWindow(1)
        window.push(0, WindowFrame(CAM, 0, 0, b"", VisualTokens(None, [], None)))  # type: ignore[arg-type]
        config = ReasoningConfig(model=None)
        self.stage = ReasoningStage(config, self.engine, window, lambda: round(self.engine.now_s * 1e6))

    def ask(self, patience_s: float = PATIENCE_S) -> None:
        now_s = self.engine.now_s
        line, new = list(self.open.values()), Asked(CAM, 1.0, TOKENS, now_s)
        self.asked += 1
        late = self.admission.judge(line, new, patience_s)
        if late is not None:
            assert late.after_s is not None
            self.told_to_wait.append(late.after_s)
            return
        foretold = self.admission.foretell(line, new)
        name, now_us = f"q_{self.asked}", round(now_s * 1e6)
        new.foretold_s = foretold.end_s if foretold is not None else 0.0
        self.open[name] = new
        stream, deadline_us = AskedStream(CAM, 0, 0, now_us, "", "UTC"), now_us + round(patience_s * 1e6)
        self.stage.submit(Ask(name, [stream], "?", None, None, TOKENS, deadline_us, now_us, 0.0, 0, []))

    def turn(self, idle_until_s: float) -> None:
        if not self.stage.has_work():
            self.engine.now_s = idle_until_s
        for output in self.stage.step():
            self._hear(output)

    def _hear(self, output: Any) -> None:
        match output:
            case Recall():
                covered = [StreamCoverage(name, Coverage("full", 0, 1, [], 1)) for name in output.streams]
                self.stage.submit(Context(output.request, [], [], covered, None, None, False, "{}"))
            case Costs():
                self.admission.costs = output
            case AnswerDelta(name):
                self.open[name].said += 1
            case AnswerDone() | AnswerFailed():
                one = self.open.pop(output.question_id)
                self.answered += isinstance(output, AnswerDone)
                self.failed += isinstance(output, AnswerFailed)
                if one.foretold_s:
                    self.admission.learn(one.foretold_s, self.engine.now_s - one.at_s)

    def best(self, seconds: float) -> float:
        """Answers a second where twice as many as there are slots ask again at once."""
        began_s, before = self.engine.now_s, self.answered
        while self.engine.now_s < began_s + seconds:
            while len(self.open) < 2 * self.engine.slots:
                self.ask(patience_s=600)
            self.turn(began_s + seconds)
        return (self.answered - before) / (self.engine.now_s - began_s)

    def crowd(self, per_s: float, seconds: float) -> float:
        """Answers a second where so many ask a second."""
        began_s, before, due = self.engine.now_s, self.answered, 0
        while self.engine.now_s < began_s + seconds:
            while began_s + due / per_s <= self.engine.now_s:
                due += 1
                self.ask()
            self.turn(began_s + due / per_s)
        return (self.answered - before) / (self.engine.now_s - began_s)


def uneven(seed: int) -> Callable[[], float]:
    """A machine that others use too: a step takes half of its time or three times as long."""
    dice = random.Random(seed)
    return lambda: dice.choice([0.5, 0.8, 1.0, 1.0, 1.5, 3.0])


@pytest.mark.parametrize(
    ("slots", "read_s", "step_s"),
    [(SLOTS, 0.02, 0.01), (SLOTS, 0.2, 0.01), (SLOTS, 0.02, 0.025), (1, 0.02, 0.01)],
)
def test_what_is_let_in_keeps_the_best_pace_and_is_answered(slots: int, read_s: float, step_s: float) -> None:
    house = House(PlayedEngine(slots, read_s, step_s, lambda: 1.0))
    best = house.best(30.0)
    goodput = house.crowd(3 * best, 60.0) / best
    assert goodput >= 0.95
    assert house.failed <= 0.02 * house.answered
    assert len(house.told_to_wait) >= 100 * best
    # Nobody is sent away for longer than the whole line lasts.
    assert max(house.told_to_wait[-100:]) <= 2 * PATIENCE_S


def test_an_uneven_machine_costs_few_of_those_that_were_let_in() -> None:
    house = House(PlayedEngine(SLOTS, 0.02, 0.01, uneven(1)))
    best = house.best(30.0)
    assert house.crowd(3 * best, 60.0) / best >= 0.9
    assert house.failed <= 0.02 * house.answered


def test_at_half_of_what_can_be_answered_nobody_is_refused() -> None:
    house = House(PlayedEngine(SLOTS, 0.02, 0.01, lambda: 1.0))
    best = house.best(30.0)
    house.crowd(best / 2, 60.0)
    assert (house.told_to_wait, house.failed) == ([], 0)
