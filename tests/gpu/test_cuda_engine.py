"""The engine on the GPU: what it says is what `generate` says on the processor, and a full device is no end."""

import random
from pathlib import Path

import pytest
import torch

from evaluation.micro.equal import random_jpeg
from evaluation.micro.equal_families import HELD, compare_family
from memory.messages import Evidence
from perception.config import ModelConfig
from reasoning.engine import Failed, Finished, Request
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt
from reasoning.random_checkpoints import FAMILIES

pytestmark = pytest.mark.gpu

DEVICE = "cuda"


@pytest.mark.parametrize("name", HELD)
def test_scores_are_those_of_generate_on_the_processor(tmp_path: Path, name: str) -> None:
    judged = compare_family(FAMILIES[name](tmp_path, 0), rounds=1, seed=0, device=DEVICE)
    assert [one for one in judged if not one.equal] == []


def ends(engine: LocalEngine) -> dict[str, str]:
    found = {}
    while engine.has_work():
        for output in engine.step():
            if isinstance(output, Finished | Failed):
                found[output.id] = output.fault.code if isinstance(output, Failed) else "done"
    return found


def test_a_prompt_that_does_not_fit_the_device_ends_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(str(FAMILIES["qwen3_vl"](tmp_path, 0)), device=DEVICE, dtype="float32")
    engine = load_engine(config, 2**20, chunk=64, slots=4)
    stream = AskedStream("default/cam", 0, 0, 100_000_000, "", "UTC")
    seen = Evidence(stream.stream, "e_1", 0, 1, 0, 2, 0.5, random_jpeg(random.Random(0)))
    prompts = [Prompt("Watch.", [stream], [], [seen], [], [], "Who? " * n) for n in (1, 2, 200)]
    forward = engine.family.model.forward

    def greedy(**named: object) -> object:
        ids = named["input_ids"]
        assert isinstance(ids, torch.Tensor)
        if ids.shape[1] > 1 and engine.family.tokenizer.decode(ids[0].tolist()).count("Who?") > 5:
            # More than any device has.
            torch.empty(2**46, dtype=torch.uint8, device=DEVICE)
        return forward(**named)

    monkeypatch.setattr(engine.family.model, "forward", greedy)
    for n, prompt in enumerate(prompts):
        engine.begin(Request(str(n), prompt, 16))
    assert ends(engine) == {"0": "done", "1": "done", "2": "model_unavailable"}
    engine.begin(Request("3", prompts[0], 16))
    assert ends(engine) == {"3": "done"}
