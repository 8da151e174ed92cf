"""A random checkpoint of the shape of Qwen3-VL-8B, its weights drawn on the device that will run it; no download.

The numbers are those of the real model's config.json. In bfloat16 it has 17.5 GB, for which its folder must have room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from reasoning.random_models import scatter
from reasoning.random_text import (
    QWEN_SPECIAL,
    QWEN_TEMPLATE,
    fill_vocabulary,
    save_tokenizer,
    train_tokenizer,
    write_json,
)


@dataclass(frozen=True)
class QwenShape:
    """Numbers of a Qwen3-VL. sections: how its rotary dimensions are shared by time, height and width."""

    text: Mapping[str, int]
    vision: Mapping[str, int]
    deepstack: Sequence[int]
    sections: Sequence[int]
    vocab: int
    context: int
    rope_theta: float = 5e6
    tied: bool = False


QWEN3_VL_8B: Final = QwenShape(
    text={
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 12288,
    },
    vision={
        "depth": 27,
        "hidden_size": 1152,
        "num_heads": 16,
        "intermediate_size": 4304,
        "out_hidden_size": 4096,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 2304,
    },
    deepstack=(8, 16, 24),
    sections=(24, 20, 20),
    vocab=151_936,
    context=262_144,
)
TINY: Final = QwenShape(
    text={
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
    },
    vision={
        "depth": 3,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 64,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 64,
    },
    deepstack=(0, 1),
    sections=(4, 2, 2),
    vocab=1024,
    context=16_384,
)
"""The same in small, to try all that is done with the large one."""


def make_large_qwen3_vl(folder: Path, shape: QwenShape = QWEN3_VL_8B, device: str = "cuda", seed: int = 0) -> Path:
    """Draw it in bfloat16 on `device` and write it; returns the folder. Raises torch.OutOfMemoryError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = fill_vocabulary(train_tokenizer(QWEN_SPECIAL, 768), shape.vocab)
    end = tokenizer.token_to_id("<|im_end|>")
    torch.manual_seed(seed)
    with torch.device(device):
        model: Any = Qwen3VLForConditionalGeneration._from_config(_config(shape, tokenizer), dtype=torch.bfloat16)
    scatter(model, 1.6)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    model.save_pretrained(folder, max_shard_size="4GB")
    del model
    save_tokenizer(folder, tokenizer, "<|im_end|>", QWEN_TEMPLATE, shape.context)
    write_json(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen3VLProcessor",
            "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "patch_size": shape.vision["patch_size"],
            "temporal_patch_size": shape.vision["temporal_patch_size"],
            "merge_size": shape.vision["spatial_merge_size"],
        },
    )
    return folder


def _config(shape: QwenShape, tokenizer: Any) -> Any:
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    ids = {f"{name}_token_id": tokenizer.token_to_id(f"<|{token}|>") for name, token in names.items()}
    rope = {
        "rope_type": "default",
        "rope_theta": shape.rope_theta,
        "mrope_section": list(shape.sections),
        "mrope_interleaved": True,
    }
    text = {
        **shape.text,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rope_parameters": rope,
        "tie_word_embeddings": shape.tied,
    }
    config: Any = Qwen3VLConfig
    return config(
        text_config=text,
        vision_config={**shape.vision, "deepstack_visual_indexes": list(shape.deepstack)},
        tie_word_embeddings=shape.tied,
        **ids,
    )
