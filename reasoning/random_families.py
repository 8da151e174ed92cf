"""Recipes of tiny random checkpoints of further families, each in the format of its real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from reasoning.random_models import save_random
from reasoning.random_text import QWEN_SPECIAL, QWEN_TEMPLATE, save_tokenizer, train_tokenizer, write_json

_HALF: Final = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_TEXT: Final = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 16384,
}
SIGLIP: Final = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
    "vision_use_head": False,
}

CHAT: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ 'IMAGE' }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HOISTING: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% for line in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for line in message['content'] | selectattr('type', 'equalto', 'text') %}{{ line['text'] }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_GEMMA: Final = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set prefix = messages[0]['content'][0]['text'] + '\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set prefix = '' %}{% set turns = messages %}{% endif %}{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ prefix if loop.first else '' }}{% for line in message['content'] %}"
    "{% if line['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}{{ line['text'] | trim }}{% endif %}"
    "{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


class Recipe:
    """How one is made: first its tokenizer, whose ids the settings of its model name, then all the rest."""

    def __init__(self, folder: Path, special: Sequence[str], end: str, template: str, names: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._tokenizer = train_tokenizer(special, 320)
        save_tokenizer(folder, self._tokenizer, end, template, 16384, names)
        self.end = self.id(end)
        self.text = {**_TEXT, "vocab_size": self._tokenizer.get_vocab_size(), "pad_token_id": self.end}

    def id(self, token: str) -> int:
        """Of a special token."""
        found = self._tokenizer.token_to_id(token)
        assert found is not None
        return int(found)

    def save(self, model_class: type[Any], config: Any, seed: int, images: dict[str, Any], **processor: Any) -> Path:
        """The weights; settings of the image processor and of the processor around it. Returns the folder."""
        save_random(model_class, config, self.folder, self.end, seed, 1.6)
        kind = processor["processor_class"]
        write_json(self.folder, "preprocessor_config.json", {"processor_class": kind, **_HALF, **images})
        write_json(self.folder, "processor_config.json", processor)
        return self.folder


def make_qwen2_5_vl(folder: Path, seed: int = 0) -> Path:
    """A tiny random Qwen2.5-VL; returns the folder."""
    made = Recipe(folder, QWEN_SPECIAL, "<|im_end|>", QWEN_TEMPLATE, {})
    names = ("image", "<|image_pad|>"), ("video", "<|video_pad|>")
    more = ("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 64,
        "patch_size": 8,
        "window_size": 32,
        "fullatt_block_indexes": [1],
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    ids: dict[str, Any] = {f"{name}_token_id": made.id(token) for name, token in (*names, *more)}
    config: Any = Qwen2_5_VLConfig(
        text_config={**made.text, "rope_parameters": rope},
        vision_config=vision,
        tie_word_embeddings=True,
        **ids,
    )
    images = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "size": {"shortest_edge": 16 * 16 * 4, "longest_edge": 256 * 256},
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
    }
    return made.save(Qwen2_5_VLForConditionalGeneration, config, seed, images, processor_class="Qwen2_5_VLProcessor")


def make_internvl(folder: Path, seed: int = 0) -> Path:
    """A tiny random InternVL; returns the folder."""
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    special = ("<|im_start|>", "<|im_end|>", *names.values())
    made = Recipe(folder, special, "<|im_end|>", CHAT.replace("IMAGE", "<IMG_CONTEXT>"), names)
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": [32, 32],
        "patch_size": [8, 8],
    }
    config: Any = InternVLConfig(
        vision_config=vision,
        text_config={"model_type": "qwen2", **made.text},
        image_token_id=made.id("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": {"height": 32, "width": 32},
        "crop_to_patches": True,
        "min_patches": 1,
        "max_patches": 12,
    }
    return made.save(
        InternVLForConditionalGeneration, config, seed, images, processor_class="InternVLProcessor", image_seq_length=4
    )


def make_llava_onevision(folder: Path, seed: int = 0) -> Path:
    """A tiny random LLaVA-OneVision, whose chat template writes all pictures first; returns the folder."""
    grids = [[32 * rows, 32 * columns] for rows in range(1, 4) for columns in range(1, 4)]
    made, config = _llava(folder, LlavaOnevisionConfig, grids, _HOISTING)
    images = {
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_grid_pinpoints": grids,
    }
    processor = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    return made.save(
        LlavaOnevisionForConditionalGeneration,
        config,
        seed,
        images,
        processor_class="LlavaOnevisionProcessor",
        **processor,
    )


def make_llava_next(folder: Path, seed: int = 0) -> Path:
    """A tiny random LLaVA-NeXT; returns the folder."""
    grids = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
    made, config = _llava(folder, LlavaNextConfig, grids, CHAT.replace("IMAGE", "<image>"))
    images = {
        "image_processor_type": "LlavaNextImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        "image_grid_pinpoints": grids,
    }
    processor = {"patch_size": 8, "vision_feature_select_strategy": "full"}
    return made.save(
        LlavaNextForConditionalGeneration, config, seed, images, processor_class="LlavaNextProcessor", **processor
    )


def _llava(folder: Path, config_class: type[Any], grids: list[list[int]], template: str) -> tuple[Recipe, Any]:
    special = ("<|im_start|>", "<|im_end|>", "<image>", "<video>")
    made = Recipe(folder, special, "<|im_end|>", template, {})
    config = config_class(
        vision_config=SIGLIP,
        text_config={"model_type": "qwen2", **made.text},
        image_token_index=made.id("<image>"),
        vision_feature_select_strategy="full",
        image_grid_pinpoints=grids,
        tie_word_embeddings=True,
    )
    return made, config


def make_gemma3(folder: Path, seed: int = 0) -> Path:
    """A tiny random Gemma 3: attention within a window, pictures whose tokens see one another; returns the folder."""
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    special = ("<bos>", "<start_of_turn>", "<end_of_turn>", *names.values())
    made = Recipe(folder, special, "<end_of_turn>", _GEMMA, {"bos_token": "<bos>", **names})
    text = {
        **made.text,
        "head_dim": 16,
        "query_pre_attn_scalar": 1,
        "sliding_window": 64,
        "layer_types": ["sliding_attention"] * 2 + ["full_attention"],
    }
    config: Any = Gemma3Config(
        text_config=text,
        vision_config=SIGLIP,
        mm_tokens_per_image=4,
        image_token_index=made.id("<image_soft_token>"),
        boi_token_index=made.id("<start_of_image>"),
        eoi_token_index=made.id("<end_of_image>"),
        tie_word_embeddings=True,
    )
    images = {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 32, "width": 32}}
    return made.save(
        Gemma3ForConditionalGeneration, config, seed, images, processor_class="Gemma3Processor", image_seq_length=4
    )
