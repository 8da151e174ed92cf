"""A tiny random Whisper checkpoint: its words mean nothing, its files are those of any other."""

from pathlib import Path
from typing import Any, Final

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from reasoning.random_text import save_tokenizer, train_tokenizer, write_json

_SPECIAL: Final = ("<|endoftext|>", "<|startoftranscript|>")


def make_whisper(folder: Path, seed: int = 0) -> Path:
    """A random speech recogniser of a few thousand weights; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(_SPECIAL, 320)
    end, start = range(2)
    shape: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_target_positions": 128,
    }
    tokens: dict[str, Any] = {
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
        "decoder_start_token_id": start,
        "suppress_tokens": [],
        "begin_suppress_tokens": [],
    }
    torch.manual_seed(seed)
    model: Any = WhisperForConditionalGeneration(WhisperConfig(**shape, **tokens))
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=end, pad_token_id=end, decoder_start_token_id=start, max_length=64
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    save_tokenizer(folder, tokenizer, _SPECIAL[0], None, 128)
    write_json(folder, "processor_config.json", {"processor_class": "WhisperProcessor"})
    return folder
