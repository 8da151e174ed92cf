"""The recipe on the GPU: all stages learn there, and a processor goes on from what they leave."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_training import SmallTraining

from perception.config import ModelConfig
from reasoning.local import load_engine

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1200)]


def test_a_training_in_small_learns_on_the_gpu(tmp_path: Path) -> None:
    training = SmallTraining(tmp_path / "run", "cuda")
    assert training.piece("see") == 0
    assert training.figures("see")["colour"] > 0.8
    assert training.piece("match", "--steps", "150") == 3
    assert training.figures("match")["recall1_100"] > 0.3
    assert training.piece("tell", "--steps", "400") == 3
    assert training.figures("tell")["all"] > 0.3
    elsewhere = replace(training, device="cpu")
    assert elsewhere.piece("tell", "--steps", "1", "--last") == 0
    assert elsewhere.figures("tell")["step"] == 401
    load_engine(ModelConfig(str(training.run / "model"), device="cpu"), 1 << 20)
