"""What goes wrong while a request is worked on: the end of that request, unless the device itself is lost."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from jinja2 import TemplateError
from PIL import Image

from reasoning.costs import CostMeter
from reasoning.engine import Failed, Finished, Request
from reasoning.local import LocalEngine
from reasoning.prompt import Prompt

EngineOf = Callable[[str], LocalEngine]


@pytest.fixture
def engine(engine_of: EngineOf) -> Iterator[LocalEngine]:
    engine = engine_of("idefics3")
    engine.chunk = 64
    engine.cache.clear()
    yield engine
    engine._running.clear()
    engine._exhausted_at.clear()


@pytest.fixture
def prompt(tools: Any) -> Prompt:
    return Prompt("Watch.", [tools.asked()], [], [tools.evidence(20)], [], [], "Who?")


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_given: Any, **_named: Any) -> Any:
        raise error

    return fail


def ended(engine: LocalEngine) -> list[Finished | Failed]:
    outputs = []
    while engine.has_work():
        outputs += [one for one in engine.step() if isinstance(one, Finished | Failed)]
    return outputs


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("'list' object has no attribute 'to'"),
        TemplateError("roles must alternate"),
        Image.DecompressionBombError("too many pixels"),
        NotImplementedError(),
        AssertionError(),
        RuntimeError("shapes"),
    ],
)
def test_any_error_ends_one_request_and_the_next_is_answered(
    engine: LocalEngine, prompt: Prompt, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("q_1", "q_2"):
        engine.begin(Request(name, prompt, 4))
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_open", raising(error))
        while "q_1" in engine._running:
            outputs = engine.step()
    assert [type(one) for one in outputs] == [Failed]
    assert outputs[0].id == "q_1"
    assert [(one.id, type(one)) for one in ended(engine)] == [("q_2", Finished)]


def test_a_lost_device_is_the_end_of_the_process(
    engine: LocalEngine, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.begin(Request("q_1", prompt, 4))
    monkeypatch.setattr(engine, "_advance", raising(torch.AcceleratorError("an illegal memory access", 700)))
    with pytest.raises(torch.AcceleratorError):
        engine.step()


@pytest.mark.parametrize(
    ("seconds", "room", "survives"),
    [((0.0, 20.0, 59.9), False, False), ((0.0, 20.0, 59.9), True, True), ((0.0, 20.0, 60.1), False, True)],
)
def test_a_full_device_ends_requests_until_there_is_room_for_nothing(
    engine: LocalEngine,
    prompt: Prompt,
    monkeypatch: pytest.MonkeyPatch,
    seconds: tuple[float, ...],
    room: bool,
    survives: bool,
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    full = raising(torch.OutOfMemoryError("out of memory"))
    monkeypatch.setattr(engine, "_advance", full)
    if not room:
        monkeypatch.setattr(engine.family.model, "forward", full)
    clock = iter(seconds)
    monkeypatch.setattr("reasoning.local.time.monotonic", lambda: next(clock))
    for name in ("q_1", "q_2"):
        engine.begin(Request(name, prompt, 4))
        [failed] = engine.step()
        assert isinstance(failed, Failed)
        assert failed.fault.code == "model_unavailable"
    assert len(emptied) == 2
    engine.begin(Request("q_3", prompt, 4))
    if survives:
        assert isinstance(engine.step()[0], Failed)
    else:
        with pytest.raises(torch.OutOfMemoryError):
            engine.step()
    engine._exhausted_at.clear()


def test_what_a_failed_request_had_made_is_let_go(
    engine: LocalEngine, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []

    def fail(*_: Any) -> Any:
        made = torch.zeros(3)
        held.append(weakref.ref(made))
        raise torch.OutOfMemoryError("out of memory")

    still: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: still.append(held[0]() is not None))
    monkeypatch.setattr(engine, "_advance", fail)
    engine.begin(Request("q_1", prompt, 4))
    assert isinstance(engine.step()[0], Failed)
    assert still == [False]
    engine._exhausted_at.clear()


def test_slow_steps_make_the_engine_ask_for_patience(
    engine: LocalEngine, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.next_step_s() == 0.0
    now = [0.0]

    def tick() -> float:
        now[0] += 3.0
        return now[0]

    monkeypatch.setattr("reasoning.local.time.perf_counter", tick)
    engine.begin(Request("q_1", prompt, 2))
    engine.step()
    assert engine.next_step_s() == 12.0
    assert engine.chunk == 64
    engine.step()
    assert engine.chunk == 32
    ended(engine)


def test_the_first_slow_step_is_known_from_the_start(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_prefill_s", lambda _tokens: 12.0)
    pace = engine._measured_pace()
    assert pace.chunk == 32
    assert pace.next_step_s() == 48.0


@pytest.mark.parametrize(("rate", "chunk"), [(10.0, 32), (30.0, 32), (40.0, 64), (640.0, 1024), (1e6, 4096)])
def test_the_chunk_is_what_is_read_in_a_step(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, rate: float, chunk: int
) -> None:
    monkeypatch.setattr(engine, "_prefill_s", lambda tokens: tokens / rate)
    assert engine._measured_pace().chunk == chunk


# -------------------------------------------------------------------- many at once


def test_another_gets_a_token_with_each_piece_of_a_long_prompt(engine: LocalEngine, prompt: Prompt) -> None:
    engine.chunk = 16
    engine.begin(Request("q_1", prompt, 200))
    while not engine._running["q_1"].tokens:
        engine.step()
    engine.begin(Request("q_2", prompt, 2))
    pieces = 0
    while not engine._running["q_2"].tokens:
        before = len(engine._running["q_1"].tokens)
        engine.step()
        assert len(engine._running["q_1"].tokens) == before + 1
        pieces += 1
    assert pieces >= 4


def test_a_keyframe_that_two_ask_about_is_encoded_once(engine: LocalEngine, prompt: Prompt) -> None:
    encoded = engine.cache.misses
    for name in ("q_1", "q_2"):
        engine.begin(Request(name, prompt, 4))
    assert [one.tokens for one in ended(engine) if isinstance(one, Finished)].count(()) == 0
    assert engine.cache.misses == encoded + 1


def test_what_the_work_takes_is_measured(engine: LocalEngine, prompt: Prompt) -> None:
    engine.meter = CostMeter(engine.slots)
    for name in ("q_1", "q_2"):
        engine.begin(Request(name, prompt, 6))
    ended(engine)
    costs = engine.meter.costs()
    assert costs is not None
    assert costs.read_s > 0
    # The first one paid for the keyframe, the second one found it.
    assert costs.encode_s > 0
    assert min(costs.step_s) > 0
    assert len(costs.step_s) == engine.slots
    assert costs.elsewhere_s == 0
