"""Small random checkpoints of several kinds, as ordinary folders, for tests and benchmarks. Words mean nothing."""

from reasoning.random_encoder import make_siglip
from reasoning.random_models import make_idefics3, make_qwen3_vl
from reasoning.random_speech import make_whisper

__all__ = ["make_idefics3", "make_qwen3_vl", "make_siglip", "make_whisper"]
