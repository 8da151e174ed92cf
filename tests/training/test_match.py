"""The dual encoder: its layers, its loss, its checkpoint."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from training.blank import SIDE
from training.match import _look, _place_by_place, _stack, make_blank_encoder, sigmoid_loss
from training.sayings import Content
from training.see import normalised


def test_pictures_are_seen_as_the_checkpoint_s_own_tower_sees_them(blank: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, SIDE, SIDE, 3), np.uint8)
    _stack([pictures[:1], pictures[1:]], tmp_path / "pictures.npy")
    pixels = normalised(torch.from_numpy(np.load(tmp_path / "pictures.npy")))
    encoder = AutoModel.from_pretrained(make_blank_encoder(tmp_path / "encoder", blank), dtype=torch.float32)
    with torch.inference_mode():
        own = encoder.vision_model(pixel_values=pixels).pooler_output
        assert torch.allclose(_look(encoder, pixels), own, atol=1e-5)


def test_the_loss_falls_with_the_truth() -> None:
    truth = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    right, wrong = sigmoid_loss(20 * truth - 10, truth), sigmoid_loss(10 - 20 * truth, truth)
    assert right < 0.01 < wrong


def test_both_halves_load_as_any_other_encoder_s(blank: Path, tmp_path: Path) -> None:
    folder = make_blank_encoder(tmp_path / "encoder", blank)
    config = ModelConfig(str(folder), dtype="float32")
    images, texts = load_image_encoder(config), load_text_encoder(config)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert images.embed_images([picture]).shape == texts.embed_texts(["a red square"]).shape == (1, 160)


def test_a_place_s_tokens_are_those_of_its_patches() -> None:
    tokens = torch.arange(81.0)[None, :, None]
    held = Content((("red", "square", "top left"), ("blue", "ring", "right")), ("123", "bottom"))
    found = _place_by_place(tokens, [held])
    assert found[0, :, 0].tolist() == [0, 1, 2, 9, 10, 11, 18, 19, 20]
    assert found[1, :, 0].tolist() == [33, 34, 35, 42, 43, 44, 51, 52, 53]
    assert found[2, 0, 0] == 57
