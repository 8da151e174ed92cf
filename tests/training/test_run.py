"""A piece of a training: cut off, gone on with, and drawn."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from training import plot
from training.run import Run


def test_what_was_saved_is_there_for_the_next_piece(tmp_path: Path) -> None:
    first = Run(tmp_path / "see", 10)
    assert first.load() is None
    first.save({"step": 3, "weights": torch.ones(2)})
    first.save({"step": 4, "weights": torch.zeros(2)})
    state = Run(tmp_path / "see", 10).load()
    assert state is not None
    assert state["step"] == 4
    assert torch.equal(state["weights"], torch.zeros(2))
    assert [file.name for file in (tmp_path / "see").iterdir()] == ["state.pt"]


def test_a_piece_ends(tmp_path: Path) -> None:
    assert Run(tmp_path, 0).out_of_time
    assert not Run(tmp_path, 1).out_of_time


def test_the_log_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        Run(tmp_path, 1).log(step=step, kind=step / 3)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"step": 1, "kind": 0.3333},
        {"step": 2, "kind": 0.6667},
    ]
    assert "kind 0.3333" in capsys.readouterr().out


def test_a_log_becomes_a_picture(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    for step in range(4):
        run.log(step=step, level=1, all=step / 4, colour=step / 5)
        run.log(step=step, level=0, all=1.0)
    plot.draw(
        {"tell": plot.read_log(tmp_path / "log.jsonl"), "see": plot.read_log(tmp_path / "none")}, tmp_path / "p.png"
    )
    with Image.open(tmp_path / "p.png") as drawn:
        assert drawn.width > 500
        assert len(set(drawn.convert("L").tobytes())) > 20
