"""A stage's run: its folder, its time, its figures, and the state from which it goes on after it was cut off."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

SAVE_EVERY_S: Final = 120.0


class Run:
    """One piece of a stage's training. FOLDER/state.pt is replaced as a whole; FOLDER/log.jsonl only grows."""

    def __init__(self, folder: Path, minutes: float) -> None:
        """minutes: after so long the piece ends, to be gone on with by another."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ends = time.monotonic() + minutes * 60
        self._saved = time.monotonic()
        self._began = time.monotonic()

    @property
    def out_of_time(self) -> bool:
        """Whether this piece is over."""
        return time.monotonic() >= self._ends

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= SAVE_EVERY_S

    def load(self) -> dict[str, Any] | None:
        """What the last piece saved; None at the very beginning."""
        file = self.folder / "state.pt"
        return torch.load(file, weights_only=True) if file.is_file() else None

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep what the next piece goes on from."""
        fresh = self.folder / "state.new"
        torch.save(dict(state), fresh)
        fresh.rename(self.folder / "state.pt")
        self._saved = time.monotonic()

    def log(self, **figures: float | int | str) -> None:
        """A line of the log, and of the terminal."""
        told = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(told) + "\n")
        passed = (time.monotonic() - self._began) / 60
        print(f"{passed:6.1f} min  " + "  ".join(f"{name} {value}" for name, value in told.items()), flush=True)
