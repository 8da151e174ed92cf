"""Requests that are decoded together get what each would have got alone, whoever joins and leaves meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ends import finished

from reasoning.batch import Batch
from reasoning.cache import GrowingLayer, joinable, new_cache
from reasoning.decoding import Decoding
from reasoning.engine import Failed, Finished, Request, Started
from reasoning.local import LocalEngine
from reasoning.prompt import Prompt

EngineOf = Callable[[str], LocalEngine]
FAMILIES = ("idefics3", "smolvlm", "qwen3_vl", "qwen2_5_vl", "internvl", "llava_onevision", "llava_next", "gemma3")
NEAR = 1e-4


@pytest.fixture
def prompts(tools: Any) -> list[Prompt]:
    """Four of different length, with and without pictures."""
    return [
        Prompt("Watch.", [tools.asked()], [], [tools.evidence(n, n=n) for n in range(pictures)], [], [], text)
        for pictures, text in (
            (1, "Who?"),
            (0, "What is it that came in first, and when was that?"),
            (3, "Why?"),
            (2, "So?"),
        )
    ]


def opened(engine: LocalEngine, prompt: Prompt) -> Decoding:
    """Its prompt read."""
    frames = [engine._tokens(picture) for picture in prompt.pictures()]
    decoding = Decoding(engine.family, engine.prompt_ids(prompt, frames), frames)
    while not decoding.prefill(64):
        pass
    return decoding


def alone(engine: LocalEngine, prompt: Prompt, count: int) -> list[torch.Tensor]:
    """Scores step by step, greedily."""
    decoding = opened(engine, prompt)
    scores = [decoding.logits.clone()]
    for _ in range(count):
        decoding.extend(decoding.token())
        scores.append(decoding.logits.clone())
    return scores


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_those_of_a_request_by_itself(name: str, engine_of: EngineOf, prompts: list[Prompt]) -> None:
    engine = engine_of(name)
    wanted = [alone(engine, prompt, 12) for prompt in prompts]
    rows = [opened(engine, prompt) for prompt in prompts]
    batch, told = Batch(engine.family), [0] * len(rows)
    # One by itself, others that join, all of them, another order, the longest leaves, and one by itself again.
    for now in ([0], [0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [3, 1, 2, 0], [3, 1, 0], [3, 1, 0], [1, 0], [1], [1]):
        batch.extend([(rows[n], int(wanted[n][told[n]].argmax())) for n in now])
        for n in now:
            told[n] += 1
            assert (rows[n].logits - wanted[n][told[n]]).abs().max() < NEAR
    assert told == [9, 10, 3, 5]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_engine_with_slots_says_what_one_without_says(name: str, engine_of: EngineOf, prompts: list[Prompt]) -> None:
    engine = engine_of(name)
    requests = [Request(f"q_{n}", prompt, 6 + 5 * n) for n, prompt in enumerate(prompts)]
    singly = {}
    for request in requests:
        engine.begin(request)
        singly.update(finished(engine))
    for request in requests:
        engine.begin(request)
        engine.step()
    assert finished(engine) == singly


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_all_that_have_been_read_get_a_token_each_step(
    engine_of: EngineOf, prompts: list[Prompt], temperature: float
) -> None:
    engine = engine_of("idefics3")
    for n, prompt in enumerate(prompts):
        engine.begin(Request(f"q_{n}", prompt, 40, temperature, n))
    started = 0
    while started < len(prompts):
        started += sum(isinstance(output, Started) for output in engine.step())
    before = {name: len(one.tokens) for name, one in engine._running.items()}
    engine.step()
    assert {name: len(one.tokens) - before[name] for name, one in engine._running.items()} == dict.fromkeys(before, 1)
    finished(engine)


def test_who_is_cancelled_leaves_at_once_and_the_others_go_on(engine_of: EngineOf, prompts: list[Prompt]) -> None:
    engine = engine_of("smolvlm")
    engine.begin(Request("q_1", prompts[0], 20))
    wanted = finished(engine)
    for n in (1, 2):
        engine.begin(Request(f"q_{n}", prompts[n - 1], 20))
    for _ in range(8):
        engine.step()
    engine.cancel("q_2")
    assert finished(engine) == wanted


def test_a_failing_step_ends_the_last_to_come_and_nothing_is_read_twice(
    engine_of: EngineOf, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("gemma3")
    engine.begin(Request("q_1", prompts[0], 20))
    wanted = finished(engine)
    for n in (1, 2, 3):
        engine.begin(Request(f"q_{n}", prompts[n - 1], 20))
    while not all(one.tokens for one in engine._running.values()):
        engine.step()
    engine.step()
    forward = engine.family.model.forward

    def failing(*given: Any, **named: Any) -> Any:
        # The layers have read the tokens when the memory runs out.
        forward(*given, **named)
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(engine.family.model, "forward", failing)
        outputs = engine.step()
    assert [(type(one), one.id) for one in outputs] == [(Failed, "q_3")]
    assert finished(engine)["q_1"] == wanted["q_1"]
    engine._exhausted_at.clear()


def test_a_prompt_that_is_too_much_for_the_device_ends_its_own_request_alone(
    engine_of: EngineOf, prompts: list[Prompt], tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("idefics3")
    wanted: dict[str, tuple[int, ...]] = {}
    for n in (1, 2):
        engine.begin(Request(f"q_{n}", prompts[n - 1], 20))
        wanted |= finished(engine)
    for n in (1, 2):
        engine.begin(Request(f"q_{n}", prompts[n - 1], 20))
    while not all(one.tokens for one in engine._running.values()):
        engine.step()
    forward = engine.family.model.forward

    def small(*given: Any, **named: Any) -> Any:
        if named["input_ids"].shape[1] > 20:
            raise torch.OutOfMemoryError("out of memory")
        return forward(*given, **named)

    monkeypatch.setattr(engine.family.model, "forward", small)
    failed: list[str] = []
    ends: dict[str, tuple[int, ...]] = {}
    for n in range(3, 8):
        engine.begin(Request(f"q_{n}", prompts[2], 20))
    while engine.has_work():
        for output in engine.step():
            if isinstance(output, Failed):
                assert output.fault.code == "model_unavailable"
                failed.append(output.id)
            elif isinstance(output, Finished):
                ends[output.id] = output.tokens
    assert failed == [f"q_{n}" for n in range(3, 8)]
    assert ends == wanted
    engine._exhausted_at.clear()


def test_a_growing_layer_holds_what_transformers_own_holds() -> None:
    dice = torch.Generator().manual_seed(0)
    layer, held = GrowingLayer(), torch.zeros(2, 3, 0, 4)
    for tokens in (5, 1, 1, 100, 1):
        fresh = torch.randn(2, 3, tokens, 4, generator=dice)
        held = torch.cat([held, fresh], dim=2)
        keys, values = layer.update(fresh, 2 * fresh)
        assert torch.equal(keys, held)
        assert torch.equal(values, 2 * held)
        assert layer.get_seq_length() == held.shape[2]


def test_what_is_not_keys_and_values_runs_alone(engine_of: EngineOf) -> None:
    text = engine_of("qwen3_vl").family.model.config.get_text_config(decoder=True)
    cache = new_cache(text)
    assert joinable(cache)
    cache.layers[0] = object()
    assert not joinable(cache)
