"""The recipe's commands, small: from nothing to checkpoints that the server's own code loads and that have learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SmallTraining
from transformers import AutoModelForImageTextToText

from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from reasoning.local import load_engine
from training.publish import copy_checkpoint


@pytest.mark.slow
def test_a_training_in_small_learns(tmp_path: Path) -> None:
    training = SmallTraining(tmp_path / "run", "cpu")
    # A piece that is over at once leaves the stage to be gone on with.
    assert training.piece("see", "--minutes", "0") == 3
    assert training.piece("see") == 0
    assert training.figures("see")["colour"] > 0.8
    # Steps, not minutes: how quick this machine is says nothing about whether it learns.
    assert training.piece("match", "--steps", "130") == 3
    assert training.figures("match")["recall1_100"] > 0.3
    assert training.piece("tell", "--steps", "150", "--last") == 0
    assert training.figures("tell")["all"] > 0.3
    engine = load_engine(ModelConfig(str(training.run / "model")), 1 << 20)
    assert engine.vision.encode([np.zeros((48, 64, 3), np.uint8)])[0].tokens.shape == (9, 192)
    encoder = ModelConfig(str(training.run / "encoder"))
    assert load_image_encoder(encoder).dim == load_text_encoder(encoder).dim


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert SmallTraining(tmp_path / "run", "cuda").piece("see") == 2
    assert "there is no CUDA device here" in capfd.readouterr().err


def test_what_is_published_is_a_checkpoint_in_half_precision(blank: Path, tmp_path: Path) -> None:
    (tmp_path / "ship").mkdir()
    (tmp_path / "ship" / "README.md").write_text("the card")
    copy_checkpoint(AutoModelForImageTextToText, blank, tmp_path / "ship")
    half, whole = ((folder / "model.safetensors").stat().st_size for folder in (tmp_path / "ship", blank))
    assert half < 0.55 * whole
    assert (tmp_path / "ship" / "README.md").read_text() == "the card"
    assert load_engine(ModelConfig(str(tmp_path / "ship")), 1 << 20).slots == 1


def test_the_mean_of_two_checkpoints_is_published(blank: Path, tmp_path: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(blank, dtype=torch.float32)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(3.0)
    model.save_pretrained(tmp_path / "other")
    copy_checkpoint(AutoModelForImageTextToText, blank, tmp_path / "ship", tmp_path / "other")
    before, after = (
        AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).lm_head.weight
        for folder in (blank, tmp_path / "ship")
    )
    torch.testing.assert_close(after, 2 * before, rtol=1e-3, atol=1e-4)
