"""A piece of a training: cut off, gone on with, and drawn."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image

from training import plot
from training import run as run_module
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


class Counter:
    """Learns to count to a number."""

    def __init__(self, steps: int, run: Run | None = None) -> None:
        self.step, self._steps, self._run = 0, steps, run

    @property
    def over(self) -> bool:
        return self.step >= self._steps

    def learn(self, passed: float) -> float:
        assert 0 <= passed < 1
        self.step += 1
        return 1 / self.step

    def look(self) -> dict[str, float]:
        return {"all": self.step / self._steps}

    def state(self) -> dict[str, int]:
        return {"step": self.step}

    def restore(self, state: Mapping[str, int]) -> None:
        self.step = state["step"]


def test_a_piece_ends_with_its_time_or_with_the_stage(tmp_path: Path) -> None:
    assert Run(tmp_path, 0).passed >= 1
    Run(tmp_path, 0).go_on(nothing := Counter(3))
    assert nothing.step == 0
    Run(tmp_path, 10).go_on(all_of_it := Counter(3))
    assert all_of_it.step == 3


def test_a_piece_ends_with_its_steps(tmp_path: Path) -> None:
    Run(tmp_path, 10, 3).go_on(some := Counter(5))
    assert some.step == 3
    Run(tmp_path, 10, 3).go_on(rest := Counter(5))
    assert rest.step == 5
    assert Run(tmp_path, 10, 4).passed < 0.25


def test_a_piece_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    Run(tmp_path, 10).go_on(Counter(3))
    Run(tmp_path, 10).go_on(more := Counter(5))
    assert more.step == 5
    assert Run(tmp_path, 10).load() == {"step": 5}


def test_a_piece_looks_and_saves_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "LOOK_EVERY_S", -1.0)
    monkeypatch.setattr(run_module, "SAVE_EVERY_S", -1.0)
    Run(tmp_path, 10).go_on(Counter(3))
    told = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert told == [{"step": n, "loss": round(1 / n, 4), "all": round(n / 3, 4)} for n in (1, 2, 3)]


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
