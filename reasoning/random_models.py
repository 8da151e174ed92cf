"""Recipes of random checkpoints in ordinary format: a folder and a size in, weights and all their files out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedModel,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from reasoning.random_text import (
    IDEFICS3_SPECIAL,
    IDEFICS3_TEMPLATE,
    QWEN_SPECIAL,
    QWEN_TEMPLATE,
    fill_vocabulary,
    save_tokenizer,
    train_tokenizer,
    write_json,
)

_HALF: Final = [0.5, 0.5, 0.5]


@dataclass(frozen=True)
class Size:
    """Shape of an Idefics3-like checkpoint. vocab 0: as many as the tokenizer has."""

    image: int
    patch: int
    scale: int
    vision: Mapping[str, int]
    text: Mapping[str, int]
    vocab: int = 0
    words: int = 768
    model_type: str = "idefics3"
    gain: float = 1.6
    dtype: torch.dtype = torch.float32


def _vision(hidden: int, layers: int, heads: int, inner: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


def _text(hidden: int, layers: int, heads: int, kv: int, inner: int) -> dict[str, int]:
    return _vision(hidden, layers, heads, inner) | {"num_key_value_heads": kv}


SIZES: Final[dict[str, Size]] = {
    "small": Size(96, 12, 2, _vision(64, 2, 2, 128), _text(96, 3, 4, 2, 256)),
    "tiny": Size(32, 8, 2, _vision(16, 1, 2, 32), _text(32, 2, 4, 2, 64), words=320),
    "tiny-smolvlm": Size(32, 8, 2, _vision(16, 1, 2, 32), _text(32, 2, 4, 2, 64), words=320, model_type="smolvlm"),
    "smolvlm-256m": Size(
        512,
        16,
        4,
        _vision(768, 12, 12, 3072),
        _text(576, 30, 9, 3, 1536),
        vocab=49280,
        model_type="smolvlm",
        dtype=torch.bfloat16,
    ),
}
"""`smolvlm-256m` has the shape of SmolVLM-256M; the others are small enough to be made in a second."""

_QWEN: Final[Any] = Qwen3VLConfig
_CLASSES: Final[dict[str, tuple[type[Any], type[Any], str]]] = {
    "idefics3": (Idefics3Config, Idefics3ForConditionalGeneration, "Idefics3"),
    "smolvlm": (SmolVLMConfig, SmolVLMForConditionalGeneration, "SmolVLM"),
}


def make_idefics3(folder: Path, size: str = "tiny", seed: int = 0) -> Path:
    """A random Idefics3 or SmolVLM checkpoint of one of `SIZES`; returns the folder."""
    shape = SIZES[size]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = fill_vocabulary(train_tokenizer(IDEFICS3_SPECIAL, shape.words), shape.vocab)
    end = tokenizer.token_to_id("<end_of_utterance>")
    config_class, model_class, prefix = _CLASSES[shape.model_type]
    text = {
        "model_type": "llama",
        "vocab_size": shape.vocab or tokenizer.get_vocab_size(),
        "max_position_embeddings": 16384,
        "pad_token_id": end,
        "bos_token_id": tokenizer.token_to_id("<|im_start|>"),
        "eos_token_id": end,
        "tie_word_embeddings": True,
        **shape.text,
    }
    config = config_class(
        text_config=text,
        vision_config={"image_size": shape.image, "patch_size": shape.patch, **shape.vision},
        scale_factor=shape.scale,
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=end,
        tie_word_embeddings=True,
    )
    save_random(model_class, config, folder, end, seed, shape.gain, shape.dtype)
    save_tokenizer(folder, tokenizer, "<end_of_utterance>", IDEFICS3_TEMPLATE, 16384)
    edge = {"longest_edge": shape.image}
    picture = {"do_image_splitting": True, "size": {"longest_edge": 4 * shape.image}, "max_image_size": edge}
    flags = {"do_convert_rgb": True, "do_resize": True, "do_rescale": True, "do_normalize": True, "do_pad": True}
    normal = {"image_mean": _HALF, "image_std": _HALF, "rescale_factor": 1 / 255, "resample": 1}
    kind = {"image_processor_type": f"{prefix}ImageProcessor", "processor_class": f"{prefix}Processor"}
    write_json(folder, "preprocessor_config.json", {**kind, **picture, **flags, **normal})
    tokens = (shape.image // shape.patch // shape.scale) ** 2
    write_json(folder, "processor_config.json", {"processor_class": f"{prefix}Processor", "image_seq_len": tokens})
    return folder


def make_qwen3_vl(folder: Path, seed: int = 0, gain: float = 1.6) -> Path:
    """A tiny random Qwen3-VL with DeepStack; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(QWEN_SPECIAL, 320)
    names = ("image", "<|image_pad|>"), ("video", "<|video_pad|>")
    more = ("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")
    ids = {f"{name}_token_id": tokenizer.token_to_id(token) for name, token in (*names, *more)}
    end = tokenizer.token_to_id("<|im_end|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "head_dim": 16,
        "max_position_embeddings": 16384,
        "rope_parameters": rope,
        "tie_word_embeddings": True,
        **_text(64, 3, 4, 2, 128),
    }
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 64}
    grid = {"patch_size": 8, "spatial_merge_size": 2, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    config: Any = _QWEN(text_config=text, vision_config=vision | grid, tie_word_embeddings=True, **ids)
    save_random(Qwen3VLForConditionalGeneration, config, folder, end, seed, gain)
    save_tokenizer(folder, tokenizer, "<|im_end|>", QWEN_TEMPLATE, 16384)
    size = {"shortest_edge": 32 * 32, "longest_edge": 256 * 256}
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    kind = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen3VLProcessor"}
    normal = {"image_mean": _HALF, "image_std": _HALF}
    write_json(folder, "preprocessor_config.json", {**kind, "size": size, **patches, **normal})
    return folder


def save_random(
    model_class: type[Any],
    config: Any,
    folder: Path,
    end: int | None,
    seed: int,
    gain: float,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Weights drawn by `seed`, with the settings of a model that ends its answers by the token `end`."""
    torch.manual_seed(seed)
    model = model_class(config)
    scatter(model, gain)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    model.to(dtype).save_pretrained(folder)


def scatter(model: PreTrainedModel, gain: float) -> None:
    """Draw matrices so large that what a model says depends on all that it is given.

    With the customary small draw and tied embeddings a random model repeats its last token, whatever it sees.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue
            if "embed_tokens" in name or "position_embedding" in name or "pos_embed" in name:
                weight.normal_(0.0, 0.1)
            else:
                weight.normal_(0.0, gain / weight[0].numel() ** 0.5)
