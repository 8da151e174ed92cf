"""`python -m training.plot`: how a training went, as a picture: accuracy on held-out films by skill, over time."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_RUNS: Final = Path("training/runs/default")
_STAGES: Final = ("see", "match", "tell")
_NO_SKILLS: Final = {"step", "level", "loss", "asked"}
_COLUMNS: Final = 3


def main() -> int:
    """Draw what the logs hold."""
    parser = argparse.ArgumentParser(prog="python -m training.plot", description=__doc__)
    parser.add_argument("--run", type=Path, default=_RUNS, help="folder of the run (%(default)s)")
    parser.add_argument("--to", type=Path, default=Path("docs/embedded-model.png"), help="the picture (%(default)s)")
    asked = parser.parse_args()
    draw({stage: read_log(asked.run / stage / "log.jsonl") for stage in _STAGES}, asked.to)
    return 0


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a log; none where there is no log yet."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def draw(logs: dict[str, list[dict[str, Any]]], to: Path) -> None:
    """One panel for each skill of each stage."""
    panels = [
        (stage, skill, [(line["step"], line[skill]) for line in log if skill in line and _is_current(log, line)])
        for stage, log in logs.items()
        for skill in sorted({name for line in log for name in line} - _NO_SKILLS)
    ]
    rows = -(-max(1, len(panels)) // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(4 * _COLUMNS, 1.5 * rows), squeeze=False, sharey=True)
    for axis, (stage, skill, points) in zip(axes.flat, panels, strict=False):
        _panel(axis, f"{stage}: {skill}", points)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(to, dpi=80)
    plt.close(figure)


def _is_current(log: Sequence[dict[str, Any]], line: dict[str, Any]) -> bool:
    """Whether a line is about the fullest sheets of its time: at its end a piece tells of simpler ones too."""
    return "level" not in line or line["level"] == max(one["level"] for one in log if one["step"] == line["step"])


def _panel(axis: Any, title: str, points: Sequence[tuple[float, float]]) -> None:
    axis.plot([step for step, _ in points], [share for _, share in points], linewidth=1)
    axis.set_ylim(0, 1.02)
    axis.grid(alpha=0.3)
    axis.set_title(title, fontsize=8, loc="left")
    axis.tick_params(labelsize=6)


if __name__ == "__main__":
    sys.exit(main())
