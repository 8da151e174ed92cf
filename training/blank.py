"""Untrained checkpoints in the shape of the embedded ones: ordinary folders that any loader of transformers reads.

A frame is looked at as 9 x 9 patches, of which 3 x 3 make a visual token: one token for each place of the world.
"""

from pathlib import Path
from typing import Any, Final

import torch
from transformers import GenerationConfig, Idefics3Config, Idefics3ForConditionalGeneration

from reasoning.random_text import IDEFICS3_TEMPLATE, save_tokenizer, write_json
from training.words import END, SPECIAL, train_tokenizer

SIDE: Final = 108
PATCH: Final = 12
SHUFFLE: Final = 3
TOKENS: Final = (SIDE // PATCH // SHUFFLE) ** 2
VISION: Final = {
    "hidden_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 480,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEXT: Final = {
    "model_type": "llama",
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "intermediate_size": 512,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "initializer_range": 0.05,
}
_FIRST_RESIZE: Final = 2 * SIDE
_HALF: Final = [0.5, 0.5, 0.5]
_CONTEXT: Final = 4096
_CONFIG: Final[Any] = Idefics3Config


def make_blank_model(folder: Path, seed: int = 0) -> Path:
    """An untrained vision-language model; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(SPECIAL)
    end = tokenizer.token_to_id(END)
    text = {
        **TEXT,
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": end,
        "bos_token_id": tokenizer.token_to_id("<|im_start|>"),
        "eos_token_id": end,
    }
    config = _CONFIG(
        text_config=text,
        vision_config=dict(VISION),
        scale_factor=SHUFFLE,
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=end,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    model.save_pretrained(folder)
    save_tokenizer(folder, tokenizer, END, IDEFICS3_TEMPLATE, _CONTEXT)
    write_json(folder, "preprocessor_config.json", _pictures())
    write_json(folder, "processor_config.json", {"processor_class": "Idefics3Processor", "image_seq_len": TOKENS})
    return folder


def _pictures() -> dict[str, object]:
    flags = {"do_convert_rgb": True, "do_resize": True, "do_rescale": True, "do_normalize": True, "do_pad": True}
    return {
        "image_processor_type": "Idefics3ImageProcessor",
        "processor_class": "Idefics3Processor",
        "do_image_splitting": False,
        "size": {"longest_edge": _FIRST_RESIZE},
        "max_image_size": {"longest_edge": SIDE},
        "resample": 1,
        "rescale_factor": 1 / 255,
        "image_mean": _HALF,
        "image_std": _HALF,
        **flags,
    }
