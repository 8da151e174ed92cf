"""`omnilive eval ovo score`: a folder of result files in, the table, the baselines and the last JSON line out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evaluation.ovo import show
from evaluation.ovo.annotations import Annotations, Query
from evaluation.ovo.journal import read_entries
from evaluation.ovo.policies import POLICIES, constant
from evaluation.ovo.results import Record, Results, as_records, load_results
from evaluation.ovo.score import Scores, score
from evaluation.ovo.tasks import OFFICIAL, TASKS

if TYPE_CHECKING:
    from evaluation.ovo.synthetic.insight import Insight


@dataclass(frozen=True)
class Scored:
    """A folder's scores, and those of the policies that look at nothing. insight: more of a synthetic set's answers."""

    scores: Scores
    baselines: Mapping[str, Scores]
    insight: "Insight | None" = None


def score_folder(folder: Path, annotations: Annotations | None, *, lists: bool = False) -> Scored:
    """Raises FileRefused. annotations: what was asked; None: the official file, by its counts alone."""
    results = load_results(folder)
    expected = OFFICIAL if annotations is None else queries_of(annotations)
    insight = None if annotations is None else _insight(annotations, results)
    return Scored(score(results, expected, lists=lists), baselines(results, annotations, expected), insight)


def _insight(annotations: Annotations, results: Results) -> "Insight | None":
    """Where the truth of a synthetic set lies beside its file."""
    from evaluation.ovo.synthetic.insight import insight_of, truth_beside

    made = None if annotations.path is None else truth_beside(annotations.path)
    return None if made is None else insight_of(made, results.records)


def baselines(
    results: Results, annotations: Annotations | None, expected: Mapping[str, int]
) -> dict[str, Scores]:  # fmt: skip
    """The policies' scores on what was asked; without the options only the constant one can be told."""
    if annotations is not None:
        return {name: policy_scores(annotations, name) for name in POLICIES}
    answered = [
        Record(one.task, one.id, one.index, one.gold, constant(_bare(one)), one.repeated) for one in results.records
    ]
    name = next(name for name, policy in POLICIES.items() if policy is constant)
    return {name: score(Results(answered, results.duplicates), expected)}


def policy_scores(annotations: Annotations, name: str) -> Scores:
    """What a policy reaches on a file."""
    responses = {query.key: POLICIES[name](query) for query in annotations.queries}
    return score(Results(as_records(annotations, responses), 0), queries_of(annotations))


def queries_of(annotations: Annotations) -> dict[str, int]:
    """How many queries a file has of each task."""
    return {task: sum(query.task == task for query in annotations.queries) for task in TASKS}


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
        from evaluation.ovo.html import report

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


def _bare(record: Record) -> Query:
    return Query(record.id, record.index, record.task, "", 0.0, "", record.gold)
