"""Families of models: the engine's greedy tokens are those of bare `generate` on what the real processor makes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from memory.messages import Evidence, SpeechLine
from perception.config import ModelConfig
from perception.vision import decode_picture, load_vision_half
from perception.window import WindowFrame
from reasoning.engine import Failed, Finished, Request
from reasoning.families.marks import processor_of
from reasoning.local import LocalEngine
from reasoning.messages import Turn
from reasoning.prompt import Prompt

EngineOf = Callable[[str], LocalEngine]
Checkpoint = Callable[[str], Path]
LEARNT = ("qwen3_vl", "qwen2_5_vl", "internvl", "llava_onevision", "llava_next", "gemma3")
SHAPES = ((64, 48), (96, 40), (40, 96), (64, 48))


@pytest.fixture(scope="module")
def shown(checkpoint: Checkpoint, tools: Any) -> Callable[[str], Prompt]:
    """A prompt with frames of several shapes, which perception's half of the model has encoded."""

    def prompt(name: str) -> Prompt:
        half = load_vision_half(ModelConfig(str(checkpoint(name)), device="cpu", dtype="float32"))
        window = []
        for n, size in enumerate(SHAPES[1:]):
            jpeg = tools.jpeg(n, size)
            [tokens] = half.encode([decode_picture(jpeg)])
            window.append(WindowFrame("default/cam", (97 + n) * tools.second, n, jpeg, tokens))
        evidence = tools.evidence(20, n=9)
        speech = [SpeechLine("default/cam", 21 * tools.second, 22 * tools.second, "good morning")]
        turns = [Turn("Is it open?", "Yes.")]
        return Prompt("Watch.", [tools.asked()], turns, [evidence], speech, window, "Who came in?")

    return prompt


def bare(engine: LocalEngine, folder: Path, prompt: Prompt) -> tuple[list[int], list[int]]:
    """Ids as the processor writes them, and what bare `generate` answers to its inputs."""
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    pictures: Any = engine.vision.pictures.processor  # type: ignore[attr-defined]
    processor = processor_of(folder, model, engine.family.tokenizer, pictures)
    if hasattr(pictures, "image_grid_pinpoints"):
        model.config.image_grid_pinpoints = pictures.image_grid_pinpoints
    renderer = engine.renderer
    text = renderer._render(prompt.messages()).replace(renderer._placeholder, processor.image_token)
    images = [Image.fromarray(decode_picture(picture.jpeg)) for picture in prompt.pictures()]
    one_each = {"crop_to_patches": False} if hasattr(pictures, "crop_to_patches") else {}
    found = processor(text=[text], images=[images], return_tensors="pt", **one_each)
    with torch.inference_mode():
        out = model.generate(**found, max_new_tokens=24, do_sample=False)
    ids: list[int] = found["input_ids"][0].tolist()
    return ids, out[0, len(ids) :].tolist()


def answered(engine: LocalEngine, prompt: Prompt) -> list[int]:
    engine.begin(Request("q", prompt, 24))
    while engine.has_work():
        for output in engine.step():
            assert not isinstance(output, Failed)
            if isinstance(output, Finished):
                return list(output.tokens)
    raise AssertionError("no end")


@pytest.mark.parametrize("name", LEARNT)
def test_answers_are_those_of_bare_generate(
    engine_of: EngineOf, checkpoint: Checkpoint, shown: Callable[[str], Prompt], name: str
) -> None:
    engine, prompt = engine_of(name), shown(name)
    ids, tokens = bare(engine, checkpoint(name), prompt)
    frames = [engine.cache.tokens(one) if isinstance(one, Evidence) else one.tokens for one in prompt.pictures()]
    assert engine.prompt_ids(prompt, [frame for frame in frames if frame is not None]) == ids
    assert len(set(tokens)) > 3
    for chunk in (7, 64, 4096):
        engine.chunk = chunk
        assert answered(engine, prompt) == tokens
