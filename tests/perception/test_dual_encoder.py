"""The image half of a dual encoder: one vector a picture, whether the pictures go through it together or alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.config import ModelConfig
from perception.dual_encoder import CheckpointImages, load_image_encoder
from perception.encoders import Image
from reasoning.random_checkpoints import make_siglip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_siglip(tmp_path_factory.mktemp("siglip"))


def pictures(count: int) -> list[Image]:
    return [np.random.default_rng(n).integers(0, 256, (90, 160, 3), np.uint8) for n in range(count)]


def passes(encoder: CheckpointImages, monkeypatch: pytest.MonkeyPatch, count: int) -> list[int]:
    """How many pictures each pass through the model takes."""
    seen: list[int] = []
    real = encoder._model.get_image_features

    def counted(**inputs: Any) -> Any:
        seen.append(len(inputs["pixel_values"]))
        return real(**inputs)

    monkeypatch.setattr(encoder._model, "get_image_features", counted)
    assert encoder.embed_images(pictures(count)).shape == (count, encoder.dim)
    return seen


def encoder_of(folder: Path, dtype: str) -> CheckpointImages:
    return load_image_encoder(ModelConfig(str(folder), device="cpu", dtype=dtype))


def test_full_precision_takes_a_batch_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes(encoder_of(folder, "float32"), monkeypatch, 3) == [3]


def test_half_precision_takes_pictures_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes(encoder_of(folder, "bfloat16"), monkeypatch, 3) == [1, 1, 1]


def test_no_pictures_are_no_vectors(folder: Path) -> None:
    encoder = encoder_of(folder, "bfloat16")
    assert encoder.embed_images([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_company_changes_no_vector(folder: Path, dtype: str) -> None:
    encoder = encoder_of(folder, dtype)
    together = encoder.embed_images(pictures(3))
    alone = np.concatenate([encoder.embed_images([one]) for one in pictures(3)])
    np.testing.assert_allclose(together, alone, atol=1e-6 if dtype == "float32" else 0)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
