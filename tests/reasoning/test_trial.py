"""Models that we would misread are refused at the start, in words; none answers wrongly in silence."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from perception.config import ModelConfig
from perception.errors import StartRefused
from perception.vision import CheckpointVision
from reasoning.decoding import Decoding
from reasoning.families.common import Family
from reasoning.families.mrope import MultiRope
from reasoning.families.registry import family_of
from reasoning.local import LocalEngine, load_engine
from reasoning.trial import try_engine

EngineOf = Callable[[str], LocalEngine]
Checkpoint = Callable[[str], Path]


def tried(engine: LocalEngine, family: Family | None = None, most: int = 4096) -> None:
    assert isinstance(engine.vision, CheckpointVision)
    try_engine(family or engine.family, engine.renderer, engine.vision, most)


def flat(engine: LocalEngine) -> Family:
    """The same model with positions in one dimension."""
    family = Family(engine.family.model, engine.family.tokenizer)
    family.marks, family.told, family.stacked = engine.family.marks, engine.family.told, engine.family.stacked
    family.__class__ = type("Flat", (Family,), {"pictures_whole": False})
    return family


@pytest.fixture
def changed(checkpoint: Checkpoint, tmp_path: Path) -> Callable[..., ModelConfig]:
    """A copy of a checkpoint with other settings in one of its files; None: without the file."""

    def make(name: str, file: str, settings: dict[str, Any] | None) -> ModelConfig:
        folder = tmp_path / name
        shutil.copytree(checkpoint(name), folder)
        path = folder / file
        if settings is None:
            path.unlink()
        else:
            path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        return ModelConfig(str(folder), device="cpu", dtype="float32")

    return make


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_positions_in_one_dimension_are_noticed(engine_of: EngineOf, name: str) -> None:
    engine = engine_of(name)
    assert isinstance(engine.family, MultiRope)
    tried(engine)
    with pytest.raises(StartRefused, match="not known") as refused:
        tried(engine, flat(engine))
    assert refused.value.code == "model_shape_mismatch"


def test_a_mask_without_pictures_is_noticed(engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("gemma3")
    tried(engine)
    monkeypatch.setattr(Family, "pictures_whole", False)
    with pytest.raises(StartRefused, match="not known"):
        tried(engine)


@pytest.mark.parametrize("name", ["internvl", "gemma3"])
def test_visual_tokens_in_the_wrong_nesting_are_noticed(
    engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    engine = engine_of(name)
    assert engine.family.stacked
    monkeypatch.setattr(engine.family, "stacked", False)
    with pytest.raises(StartRefused, match="cannot be shown a frame: AttributeError"):
        tried(engine)


def test_long_prompts_are_not_read_twice(engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("qwen2_5_vl")
    lone = flat(engine)
    tried(engine, lone, most=4)
    monkeypatch.setattr(Decoding, "prefill", lambda *_given: 1 / 0)
    with pytest.raises(StartRefused, match="ZeroDivisionError"):
        tried(engine, lone, most=4)


def test_what_a_model_wants_to_be_told_must_be_known(
    engine_of: EngineOf, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Gemma3Processor

    engine = engine_of("gemma3")
    assert isinstance(engine.vision, CheckpointVision)
    monkeypatch.setattr(Gemma3Processor, "return_mm_token_type_ids", False)
    with pytest.raises(StartRefused, match="wants to be told"):
        family_of(engine.family.model, engine.family.tokenizer).learn(
            ModelConfig(str(checkpoint("gemma3"))), engine.vision
        )


def test_a_model_without_a_token_for_pictures_is_refused() -> None:
    with pytest.raises(StartRefused, match="no token for pictures"):
        family_of(SimpleNamespace(config=SimpleNamespace(model_type="new")), SimpleNamespace(convert_ids_to_tokens=str))


def test_a_model_that_cannot_even_read_words_is_refused(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEngine, "_measured_pace", lambda _self: [].to)  # type: ignore[attr-defined]
    with pytest.raises(StartRefused, match="read in chunks: AttributeError"):
        load_engine(ModelConfig(str(checkpoint("idefics3")), device="cpu", dtype="float32"), 2**20)


def test_no_number_at_all_is_refused(engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("idefics3")
    monkeypatch.setattr(Decoding, "logits", property(lambda _self: torch.full((1,), float("nan"))))
    with pytest.raises(StartRefused, match="not known"):
        tried(engine)


@pytest.mark.parametrize("takes", ["input_ids, image_grid_thw", "input_ids, mm_token_type_ids, target_sizes"])
def test_positions_of_an_unknown_kind_are_refused(takes: str) -> None:
    rotated = eval(f"lambda {takes}: None")
    model = SimpleNamespace(
        config=SimpleNamespace(model_type="new"), model=SimpleNamespace(get_rope_index=rotated), forward=lambda: None
    )
    with pytest.raises(StartRefused, match="positions"):
        family_of(model, None)


def test_a_processor_that_says_nothing_is_refused(changed: Callable[..., ModelConfig]) -> None:
    config = changed("internvl", "processor_config.json", {"processor_class": "LlavaNextVideoNone"})
    with pytest.raises(StartRefused, match="how a picture is written") as refused:
        load_engine(config, 2**20, chunk=64)
    assert refused.value.code == "model_shape_mismatch"


def test_a_processor_is_found_by_the_type_of_the_model(changed: Callable[..., ModelConfig]) -> None:
    config = changed("qwen2_5_vl", "processor_config.json", None)
    preprocessor = Path(config.folder) / "preprocessor_config.json"
    settings = json.loads(preprocessor.read_text())
    del settings["processor_class"]
    preprocessor.write_text(json.dumps(settings))
    assert load_engine(config, 2**20, chunk=64).renderer._marks.placeholder == "<|image_pad|>"


@pytest.mark.parametrize(
    "written",
    [
        ["<row><IMG_CONTEXT><row><IMG_CONTEXT>"],
        ["nothing"],
        [""],
        ["<img><IMG_CONTEXT></img>", "<img><IMG_CONTEXT></img>", "<tall><IMG_CONTEXT></img>"],
        ["<IMG_CONTEXT>", "<IMG_CONTEXT>", "nothing"],
    ],
)
def test_a_picture_in_more_than_one_run_is_refused(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, written: list[str]
) -> None:
    from transformers import InternVLProcessor

    texts = itertools.cycle(written)
    monkeypatch.setattr(InternVLProcessor, "replace_image_token", lambda *_given, **_more: next(texts))
    config = ModelConfig(str(checkpoint("internvl")), device="cpu", dtype="float32")
    with pytest.raises(StartRefused, match="one run"):
        load_engine(config, 2**20, chunk=64)
