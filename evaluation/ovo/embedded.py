"""What the embedded model reaches on the synthetic tasks through the server, beside what its last four frames give it.

The synthetic questions are not those that it was trained on: the figures say what it is, and no bar is set.
"""

import tempfile
from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.ovo.asking import Settings
from evaluation.ovo.run import Job
from evaluation.ovo.run import run as run_queries
from evaluation.ovo.score import Scores
from evaluation.ovo.scoring import score_folder
from evaluation.ovo.show import figure
from evaluation.ovo.synthetic.files import SyntheticSet, make_set
from evaluation.ovo.through import PATIENT, SEED
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess

_PAIRS: Final = (1, 50)
_LAST_FOUR: Final = {"OMNILIVE_WINDOW__FRAMES": "4", "OMNILIVE_MEMORY__EVIDENCE": "0"}


def run(full: bool, progress: Progress) -> list[Check]:
    """One pass with memory, one without, whose window is the last four frames of one a second."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = make_set(Path(scratch) / "set", SEED + 2, _PAIRS[full], progress=progress)
        whole = _scores(made, Path(scratch) / "whole", {}, None, progress)
        last = _scores(made, Path(scratch) / "last", _LAST_FOUR, 1.0, progress)
    return [
        Check("ovo.embedded", whole.overall["groups"], "%", note=_said(whole)),
        Check("ovo.embedded_last4", last.overall["groups"], "%", note=_said(last)),
    ]


def _scores(
    made: SyntheticSet, out: Path, settings: dict[str, str], fps: float | None, progress: Progress
) -> Scores:  # fmt: skip
    with ServerProcess(environment={**PATIENT, **settings}) as server:
        asked = Settings("onepass", "exact", 16, fps)
        run_queries(Job(made.annotations, made.folder, out, asked, server.url, "embedded"), progress)
    return score_folder(out, made.annotations).scores


def _said(scores: Scores) -> str:
    groups = ", ".join(f"{group} {figure(value)}" for group, value in scores.groups.items())
    tasks = " ".join(f"{task} {figure(one.score)}" for task, one in scores.tasks.items())
    return f"{groups}; {tasks}"
