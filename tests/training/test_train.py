"""The recipe's commands, small: from nothing to checkpoints that the server's own code loads and that have learnt."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from perception.config import ModelConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from reasoning.local import load_engine
from training.publish import copy_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SCALE = "0.15"


def train(run: Path, stage: str, *more: str) -> int:
    """One piece."""
    command = [sys.executable, "-m", "training.train", stage, "--run", str(run), "--scale", SCALE, *more]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=1500).returncode


def last_line(run: Path, stage: str) -> dict[str, float]:
    lines = (run / stage / "log.jsonl").read_text(encoding="utf-8").splitlines()
    figures: dict[str, float] = json.loads(lines[-1])
    return figures


@pytest.mark.slow
def test_a_training_in_small_learns(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # A piece that is over at once leaves the stage to be gone on with.
    assert train(run, "see", "--minutes", "0") == 3
    assert train(run, "see") == 0
    seen = last_line(run, "see")
    assert seen["colour"] > 0.8
    assert train(run, "match", "--minutes", "2") in {0, 3}
    assert last_line(run, "match")["recall1_100"] > 0.05
    assert train(run, "tell", "--minutes", "2", "--last") == 0
    assert last_line(run, "tell")["all"] > 0.3
    engine = load_engine(ModelConfig(str(run / "model")), 1 << 20)
    assert engine.vision.encode([np.zeros((48, 64, 3), np.uint8)])[0].tokens.shape == (9, 192)
    assert (
        load_image_encoder(ModelConfig(str(run / "encoder"))).dim
        == load_text_encoder(ModelConfig(str(run / "encoder"))).dim
    )


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
