"""A folder of result files scored, beside what policies that look at nothing reach on the same queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.ovo.annotations import Annotations, Query
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


def _bare(record: Record) -> Query:
    return Query(record.id, record.index, record.task, "", 0.0, "", record.gold)
