"""`omnilive eval ovo score`: the table, the baselines, the page and the last JSON line of a folder of result files."""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from evaluation.ovo import show
from evaluation.ovo.annotations import Annotations
from evaluation.ovo.html import report
from evaluation.ovo.journal import read_entries
from evaluation.ovo.policies import POLICIES
from evaluation.ovo.scored import Scored, score_folder


@dataclass(frozen=True)
class Wanted:
    """What to print of a folder's scores. against: another run's folder; report: where the page is written."""

    lists: bool = False
    as_json: bool = False
    against: Path | None = None
    report: Path | None = None


def run_score(folder: Path, annotations: Annotations | None, wanted: Wanted) -> int:
    """Print the scores; the last line on stdout is JSON. Raises FileRefused."""
    scored = score_folder(folder, annotations, lists=wanted.lists)
    if wanted.report is not None:
        page = report(scored, read_entries(folder)[1], folder.resolve().name, _proof(annotations))
        wanted.report.write_text(page, encoding="utf-8")
    if not wanted.as_json:
        console = Console()
        console = console if console.is_terminal else Console(width=160)
        _print(console, scored)
        if wanted.against is not None:
            other = score_folder(wanted.against, annotations, lists=wanted.lists).scores
            console.print(show.difference_table(scored.scores, other, wanted.against.resolve().name))
    more = {} if scored.insight is None else {"synthetic": scored.insight.as_json()}
    print(json.dumps({**show.last_line(scored.scores), **more}, ensure_ascii=False, allow_nan=False))
    return 0


def _proof(annotations: Annotations | None) -> tuple[list[str], list[list[str]], list[str]] | None:
    """Of a synthetic set, where it lies beside the annotation file."""
    from evaluation.ovo.synthetic.proof import kept_proof

    return None if annotations is None or annotations.path is None else kept_proof(annotations.path.parent)


def _print(console: Console, scored: Scored) -> None:
    console.print(show.task_table(scored.scores))
    for line in show.averages(scored.scores):
        console.print(line, highlight=False)
    console.print(show.baseline_table(scored.baselines))
    if scored.insight is not None:
        console.print(show.insight_table(scored.insight))
        for line in show.insight_lines(scored.insight):
            console.print(line, highlight=False)
    if len(scored.baselines) < len(POLICIES):
        console.print("give --annotations for the policies that read the options", highlight=False)
