"""What the embedded model reaches on the synthetic tasks through the server, beside what its last four frames give it.

The synthetic questions are not those that it was trained on, with letters for answers: the figures say what it is, and
no bar is set. Beside the official score stands how often it says what is right in words of its own.
"""

import re
import tempfile
from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.ovo.annotations import Query
from evaluation.ovo.asking import Settings
from evaluation.ovo.journal import read_entries
from evaluation.ovo.run import Job
from evaluation.ovo.run import run as run_queries
from evaluation.ovo.score import Scores
from evaluation.ovo.scored import score_folder
from evaluation.ovo.show import figure
from evaluation.ovo.synthetic.files import SyntheticSet, make_set
from evaluation.ovo.tasks import LETTERS
from evaluation.ovo.through import PATIENT, SEED
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess

_PAIRS: Final = (1, 50)
_LAST_FOUR: Final = {"OMNILIVE_WINDOW__FRAMES": "4", "OMNILIVE_MEMORY__EVIDENCE": "0"}


def run(full: bool, progress: Progress) -> list[Check]:
    """One pass with memory, one without, whose window is the last four frames of one a second."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = make_set(Path(scratch) / "set", SEED + 2, _PAIRS[full], progress=progress)
        return [
            _scored("ovo.embedded", made, Path(scratch) / "whole", {}, None, progress),
            _scored("ovo.embedded_last4", made, Path(scratch) / "last", _LAST_FOUR, 1.0, progress),
        ]


def _scored(
    figure_id: str, made: SyntheticSet, out: Path, settings: dict[str, str], fps: float | None, progress: Progress
) -> Check:
    with ServerProcess(environment={**PATIENT, **settings}) as server:
        asked = Settings("onepass", "exact", 16, fps)
        run_queries(Job(made.annotations, made.folder, out, asked, server.url, "embedded"), progress)
    scores = score_folder(out, made.annotations).scores
    said = {(one["id"], -1 if one["index"] is None else one["index"]): one["response"] for one in read_entries(out)[1]}
    worded = [says(query, said.get(query.key) or "") for query in made.annotations.queries]
    note = f"{_said(scores)}; nulls {scores.nulls}; in words of its own {sum(worded)} of {len(worded)}"
    return Check(figure_id, scores.overall["groups"], "%", note=note)


def says(query: Query, response: str) -> bool:
    """Whether a response names the right option, and no other, by its words; or the right number, yes or no."""
    words = _words(response)
    if not query.options:
        return _words(query.gold) in words
    right = query.options[LETTERS.index(query.gold)]
    others = [option for option in query.options if option != right and _words(option) not in _words(right)]
    return _words(right) in words and not any(_words(option) in words for option in others)


def _words(text: str) -> str:
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def _said(scores: Scores) -> str:
    groups = ", ".join(f"{group} {figure(value)}" for group, value in scores.groups.items())
    tasks = " ".join(f"{task} {figure(one.score)}" for task, one in scores.tasks.items())
    return f"{groups}; {tasks}"
