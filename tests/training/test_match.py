"""What texts say of pictures, and of which pictures it is true."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from training.blank import SIDE
from training.match import Content, _freeze, _look, caption, content_of, make_blank_encoder, sayings, sigmoid_loss
from training.see import normalised
from training.world import World, captions

ONE = Content((("red", "square", "top left"), ("blue", "ring", "centre")), None)
TWO = Content((("red", "square", "bottom"),), ("472", "top"))
NONE = Content((), None)


def test_captions_are_the_world_s_own() -> None:
    script = World(4).script()
    compared = 0
    for told in captions(script):
        at_us = (told.start_us + told.end_us) // 2
        if "moving" not in told.text:
            assert caption(content_of(script, at_us)) == told.text.rstrip(".")
            compared += 1
    assert compared > 5


def test_each_text_is_true_of_its_own_picture() -> None:
    contents = [ONE, TWO, NONE] * 20
    for seed in range(20):
        texts, truth = sayings(np.random.default_rng(seed), contents)
        assert len(texts) == len(contents)
        assert (truth.diagonal() == 1).all()


def test_truth_is_what_the_words_say() -> None:
    seen = set()
    for seed in range(200):
        texts, truth = sayings(np.random.default_rng(seed), [ONE, TWO, NONE])
        for n, text in enumerate(texts):
            column = truth[:, n].tolist()
            seen.add(text)
            if text == "nothing":
                assert column == [0, 0, 1]
            elif text in {"the square", "something red", "a red square"}:
                assert column == [1, 1, 0]
            elif "472" in text:
                assert column == [0, 1, 0]
            elif "ring" in text:
                assert column == [1, 0, 0]
    assert {"a red square at the bottom, a sign that says 472 at the top", "a blue ring", "472"} <= seen


def test_frozen_layers_are_those_of_the_whole_tower(blank: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, SIDE, SIDE, 3), np.uint8)
    _freeze(blank, [pictures[:1], pictures[1:]], tmp_path / "frozen.npy")
    encoder = AutoModel.from_pretrained(make_blank_encoder(tmp_path / "encoder", blank), dtype=torch.float32)
    with torch.inference_mode():
        apart = _look(encoder, torch.from_numpy(np.load(tmp_path / "frozen.npy")).float())
        whole = encoder.vision_model(pixel_values=normalised(torch.from_numpy(pictures))).pooler_output
    likeness = torch.nn.functional.cosine_similarity(apart, whole)
    assert (likeness > 0.995).all()


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
