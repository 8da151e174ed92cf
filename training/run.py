"""A stage's run: its folder, its time, its figures, and the state from which it goes on after it was cut off."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

SAVE_EVERY_S: Final = 120.0
LOOK_EVERY_S: Final = 90.0


class Learner(Protocol):
    """What learns in a stage, a step at a time."""

    step: int

    @property
    def over(self) -> bool:
        """Whether the stage has nothing more to learn."""

    def learn(self, passed: float) -> float:
        """One step; the loss. passed: share of the piece that is over."""

    def look(self) -> Mapping[str, float]:
        """How far it is, on held-out films."""

    def state(self) -> dict[str, Any]:
        """All that the next piece needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""


class Run:
    """One piece of a stage's training. FOLDER/state.pt is replaced as a whole; FOLDER/log.jsonl only grows."""

    def __init__(self, folder: Path, minutes: float, steps: int | None = None) -> None:
        """minutes, steps: after so much the piece ends, to be gone on with by another."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lasts_s = minutes * 60
        self._most, self._learnt = steps, 0
        self._began = time.monotonic()

    @property
    def passed(self) -> float:
        """Share of the piece's time, or of its steps, that is over: from 1 on, so is the piece."""
        of_time = (time.monotonic() - self._began) / self._lasts_s if self._lasts_s else 1.0
        of_steps = self._learnt / self._most if self._most else 0.0
        return max(of_time, of_steps)

    def go_on(self, learner: Learner) -> None:
        """Learn from where the last piece stopped until the stage or this piece is over."""
        if (state := self.load()) is not None:
            learner.restore(state)
        looked = saved = time.monotonic()
        losses: list[float] = []
        while not learner.over and (passed := self.passed) < 1:
            losses.append(learner.learn(passed))
            self._learnt += 1
            if time.monotonic() - looked > LOOK_EVERY_S:
                self.log(step=learner.step, loss=sum(losses) / len(losses), **learner.look())
                looked, losses = time.monotonic(), []
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save(learner.state())
                saved = time.monotonic()
        self.save(learner.state())

    def load(self) -> dict[str, Any] | None:
        """What the last piece saved; None at the very beginning."""
        file = self.folder / "state.pt"
        # Gone on with on any device, wherever it began.
        return torch.load(file, weights_only=True, map_location="cpu") if file.is_file() else None

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep what the next piece goes on from."""
        fresh = self.folder / "state.new"
        torch.save(dict(state), fresh)
        fresh.rename(self.folder / "state.pt")

    def log(self, **figures: float | int | str) -> None:
        """A line of the log, and of the terminal."""
        told = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(told) + "\n")
        passed = (time.monotonic() - self._began) / 60
        print(f"{passed:6.1f} min  " + "  ".join(f"{name} {value}" for name, value in told.items()), flush=True)


def descend(optimizer: Optimizer, rate: float, loss: Tensor, bounded: Iterable[nn.Parameter]) -> float:
    """One step down a loss; its value. bounded: whose gradient together is at most 1 long."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(bounded, 1.0)
    optimizer.step()
    return loss.item()
