"""Families that have no recipe of their own here: read as their own forward reads them, or refused in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as tf
from ends import finished

from perception.config import ModelConfig
from perception.errors import StartRefused
from perception.vision import load_vision_half
from reasoning.engine import Request
from reasoning.local import load_engine
from reasoning.prompt import Prompt
from reasoning.random_families import CHAT, SIGLIP, Recipe
from reasoning.random_text import QWEN_SPECIAL, QWEN_TEMPLATE

PATCHES = {
    "size": {"shortest_edge": 1024, "longest_edge": 65536},
    "patch_size": 8,
    "temporal_patch_size": 2,
    "merge_size": 2,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
DEPTH = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 64, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}


def classes(name: str) -> tuple[Any, Any]:
    """Of the settings and of the model."""
    return getattr(tf, f"{name}Config"), getattr(tf, f"{name}ForConditionalGeneration")


def recipe(folder: Path, *special: str, image: str) -> Recipe:
    return Recipe(folder, ("<|im_start|>", "<|im_end|>", *special), "<|im_end|>", CHAT.replace("IMAGE", image), {})


def qwen(folder: Path, name: str, text: dict[str, Any], vision: dict[str, Any], processor: str) -> None:
    made = Recipe(folder, QWEN_SPECIAL, "<|im_end|>", QWEN_TEMPLATE, {})
    names = ("image", "<|image_pad|>"), ("video", "<|video_pad|>")
    more = ("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")
    ids = {f"{one}_token_id": made.id(token) for one, token in (*names, *more)}
    config, model = classes(name)
    settings = config(text_config=made.text | text, vision_config=vision, tie_word_embeddings=True, **ids)
    made.save(
        model, settings, 0, {"image_processor_type": "Qwen2VLImageProcessor", **PATCHES}, processor_class=processor
    )


def qwen2_vl(folder: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8}
    qwen(folder, "Qwen2VL", {"rope_parameters": rope}, vision, "Qwen2VLProcessor")


def qwen3_5(folder: Path) -> None:
    """Most of its layers keep a state instead of keys and values."""
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    heads = {"head_dim": 16, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_hidden_layers": 4}
    qwen(folder, "Qwen3_5", linear | heads, DEPTH | {"num_position_embeddings": 64}, "Qwen3VLProcessor")


def glm4v(folder: Path) -> None:
    ids = {
        "image_start": "<|begin_of_image|>",
        "image": "<|image|>",
        "image_end": "<|end_of_image|>",
        "video_start": "<|begin_of_video|>",
        "video": "<|video|>",
        "video_end": "<|end_of_video|>",
    }
    made = recipe(folder, *ids.values(), image="<|begin_of_image|><|image|><|end_of_image|>")
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
    config, model = classes("Glm4v")
    named = {f"{name}_token_id": made.id(token) for name, token in ids.items()}
    settings = config(
        text_config=made.text | {"rope_parameters": rope}, vision_config=DEPTH | {"image_size": 32}, **named
    )
    images = {"image_processor_type": "Glm4vImageProcessor", **PATCHES}
    made.save(model, settings, 0, images, processor_class="Glm4vProcessor")


def llava(folder: Path) -> None:
    made = recipe(folder, "<image>", image="<image>")
    config, model = classes("Llava")
    vision = {"model_type": "clip_vision_model", **VISION}
    text = {"model_type": "llama", **made.text}
    settings = config(vision_config=vision, text_config=text, image_token_index=made.id("<image>"), image_seq_length=16)
    images = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": SQUARE}
    processor = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    made.save(model, settings, 0, images, processor_class="LlavaProcessor", **processor)


def idefics2(folder: Path) -> None:
    made = recipe(folder, "<fake_token_around_image>", "<image>", image="<image>")
    config, model = classes("Idefics2")
    resampler = {"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 16}
    settings = config(
        vision_config=VISION,
        perceiver_config={**resampler, "num_key_value_heads": 2, "hidden_size": 64},
        text_config={"model_type": "mistral", "head_dim": 16, **made.text},
        image_token_id=made.id("<image>"),
    )
    images = {"image_processor_type": "Idefics2ImageProcessor", "size": {"longest_edge": 32, "shortest_edge": 16}}
    made.save(model, settings, 0, images | {"do_image_splitting": True}, processor_class="Idefics2Processor")


def aya_vision(folder: Path) -> None:
    tokens = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<image>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE")
    made = recipe(folder, *tokens, "TILE_GLOBAL", image="<image>")
    config, model = classes("AyaVision")
    text = {"model_type": "cohere2", "head_dim": 16, **made.text}
    token = made.id("<|IMG_PATCH|>")
    settings = config(vision_config=SIGLIP, text_config=text, image_token_index=token, downsample_factor=2)
    images = {"image_processor_type": "GotOcr2ImageProcessor", "size": SQUARE, "crop_to_patches": True}
    processor = {"img_size": 32, "patch_size": 8, "downsample_factor": 2}
    made.save(model, settings, 0, images, processor_class="AyaVisionProcessor", **processor)


def paligemma(folder: Path) -> None:
    made = recipe(folder, "<image>", image="<image>")
    config, model = classes("PaliGemma")
    settings = config(
        vision_config={**SIGLIP, "projection_dim": 64},
        text_config={"model_type": "gemma", "head_dim": 16, **made.text},
        image_token_index=made.id("<image>"),
        projection_dim=64,
    )
    images = {"image_processor_type": "SiglipImageProcessor", "size": SQUARE, "image_seq_length": 16}
    made.save(model, settings, 0, images, processor_class="PaliGemmaProcessor")


def mistral3(folder: Path) -> None:
    made = recipe(folder, "[IMG]", "[IMG_BREAK]", "[IMG_END]", image="[IMG]")
    config, model = classes("Mistral3")
    settings = config(
        vision_config={"model_type": "pixtral", "head_dim": 16, **VISION},
        text_config={"model_type": "mistral", "head_dim": 16, **made.text},
        image_token_index=made.id("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    images = {"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 64}, "patch_size": SQUARE}
    made.save(
        model, settings, 0, images | {"patch_size": {"height": 8, "width": 8}}, processor_class="PixtralProcessor"
    )


@pytest.mark.parametrize(
    ("make", "before", "after", "decoding"),
    [
        (qwen2_vl, "", "", "together"),
        (qwen3_5, "", "", "apart"),
        (glm4v, "", "", "together"),
        (llava, "", "", "together"),
        (idefics2, "<fake_token_around_image>", "<fake_token_around_image>", "together"),
        (aya_vision, "<|START_OF_IMG|>TILE_GLOBAL", "<|END_OF_IMG|>", "together"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_frames_are_read_as_the_model_itself_reads_them(
    tmp_path: Path, make: Callable[[Path], None], before: str, after: str, decoding: str
) -> None:
    make(tmp_path)
    config = ModelConfig(str(tmp_path), device="cpu", dtype="float32")
    engine = load_engine(config, 2**20, chunk=512)
    assert (engine.family.marks.before, engine.family.marks.after) == (before, after)
    assert engine.decoding == decoding
    half = load_vision_half(config)
    for seed, shape in enumerate(((64, 48), (540, 960))):
        picture = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
        assert half.encode([picture]) == engine.vision.encode([picture])


@pytest.mark.parametrize(
    ("make", "why"), [(paligemma, "wants to be told"), (mistral3, "how a picture is written|one run of tokens")]
)
def test_what_is_not_known_to_work_is_refused(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    make(tmp_path)
    with pytest.raises(StartRefused, match=why) as refused:
        load_engine(ModelConfig(str(tmp_path), device="cpu", dtype="float32"), 2**20, chunk=512)
    assert refused.value.code == "model_shape_mismatch"


def test_who_cannot_share_a_cache_is_answered_in_turn_as_if_alone(tmp_path: Path, tools: Any) -> None:
    qwen3_5(tmp_path)
    engine = load_engine(ModelConfig(str(tmp_path), device="cpu", dtype="float32"), 2**20, chunk=64, slots=3)
    prompts = [Prompt("Watch.", [tools.asked()], [], [tools.evidence(9, n=n)], [], [], "Who? " * n) for n in (1, 4, 9)]
    ends: list[dict[str, tuple[int, ...]]] = [{}, {}]
    for n, prompt in enumerate(prompts):
        engine.begin(Request(str(n), prompt, 12))
        ends[0] |= finished(engine)
    for n, prompt in enumerate(prompts):
        engine.begin(Request(str(n), prompt, 12))
        engine.step()
    ends[1] = finished(engine)
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3
