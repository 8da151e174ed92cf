"""A whole training in small: each piece a process, as its commands are given, in the folder of one run."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_SCALE = "0.15"
_PIECE_S = 3000


@dataclass(frozen=True)
class SmallTraining:
    """device: what its stages are told."""

    run: Path
    device: str

    def piece(self, stage: str, *more: str) -> int:
        """What the command ends with."""
        told = ["--run", str(self.run), "--scale", _SCALE, "--device", self.device, *more]
        command = [sys.executable, "-m", "training.train", stage, *told]
        return subprocess.run(command, cwd=_ROOT, check=False, timeout=_PIECE_S).returncode

    def figures(self, stage: str) -> dict[str, float]:
        """The last line of the stage's log."""
        lines = (self.run / stage / "log.jsonl").read_text(encoding="utf-8").splitlines()
        last: dict[str, float] = json.loads(lines[-1])
        return last
