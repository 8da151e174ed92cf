"""Small random checkpoints of several kinds, as ordinary folders, for tests and benchmarks. Words mean nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from reasoning.random_encoder import make_siglip
from reasoning.random_families import (
    make_gemma3,
    make_internvl,
    make_llava_next,
    make_llava_onevision,
    make_qwen2_5_vl,
)
from reasoning.random_models import make_idefics3, make_qwen3_vl
from reasoning.random_speech import make_whisper

__all__ = ["FAMILIES", "make_idefics3", "make_qwen3_vl", "make_siglip", "make_whisper"]

FAMILIES: Final[dict[str, Callable[[Path, int], Path]]] = {
    "idefics3": lambda folder, seed: make_idefics3(folder, "tiny", seed),
    "smolvlm": lambda folder, seed: make_idefics3(folder, "tiny-smolvlm", seed),
    "qwen3_vl": make_qwen3_vl,
    "qwen2_5_vl": make_qwen2_5_vl,
    "internvl": make_internvl,
    "llava_onevision": make_llava_onevision,
    "llava_next": make_llava_next,
    "gemma3": make_gemma3,
}
"""By model type: a folder and a seed in, a tiny checkpoint out. They are held against transformers' own `generate`."""
