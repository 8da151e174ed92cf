"""Frames that are encoded together on the GPU are what each is by itself on the processor."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.micro.equal_families import HELD
from perception.config import ModelConfig
from perception.vision import load_vision_half, to_tensor
from perception.window import TensorData
from reasoning.random_checkpoints import FAMILIES

pytestmark = pytest.mark.gpu

SHAPES = ((48, 64), (64, 48), (48, 64), (90, 160))


def near(found: TensorData, wanted: TensorData) -> bool:
    return torch.allclose(to_tensor(found), to_tensor(wanted), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", HELD)
def test_frames_of_several_shapes_share_a_batch(tmp_path: Path, name: str) -> None:
    folder = str(FAMILIES[name](tmp_path, 0))
    dice = np.random.default_rng(0)
    frames = [dice.integers(0, 256, (*shape, 3), np.uint8) for shape in SHAPES]
    here, there = (
        load_vision_half(ModelConfig(folder, device=device, dtype="float32")).encode(frames)
        for device in ("cpu", "cuda")
    )
    assert len(there) == len(frames)
    for one, other in zip(here, there, strict=True):
        assert one.grid == other.grid
        assert near(other.tokens, one.tokens)
        assert len(one.deepstack) == len(other.deepstack)
        assert all(near(found, wanted) for found, wanted in zip(other.deepstack, one.deepstack, strict=True))
