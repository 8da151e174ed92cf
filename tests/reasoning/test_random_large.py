"""The checkpoint of the shape of Qwen3-VL-8B: the real one's size on paper, its small form through the engine."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import Qwen3VLForConditionalGeneration

from perception.config import ModelConfig
from reasoning.local import load_engine
from reasoning.random_large import QWEN3_VL_8B, TINY, _config, make_large_qwen3_vl


def test_it_has_as_many_weights_as_the_real_one() -> None:
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration._from_config(
            _config(QWEN3_VL_8B, SimpleNamespace(token_to_id=len)), dtype=torch.bfloat16
        )
    assert sum(weight.numel() for weight in model.parameters()) == 8_767_123_696


def test_its_small_form_is_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    folder = make_large_qwen3_vl(tmp_path, TINY, device="cpu")
    engine = load_engine(ModelConfig(str(folder), device="cpu", dtype="bfloat16", threads=1), 2**20, chunk=64)
    assert engine.family.model.dtype is torch.bfloat16
    [frame] = engine.vision.encode([np.full((360, 640, 3), 90, np.uint8)])
    assert len(frame.deepstack) == 2
    assert 60 <= frame.tokens.shape[0] <= 256
