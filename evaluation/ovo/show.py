"""Scores for people: a table of the tasks, the averages by name, and what answering without looking would reach."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from evaluation.checks import Check
from evaluation.hardware import commit, hardware
from evaluation.ovo.score import Scores
from evaluation.ovo.tasks import GROUP_OF, TASKS

if TYPE_CHECKING:
    from evaluation.ovo.synthetic.insight import Insight

OVERALL = {
    "groups": "mean of the 3 groups (official, v2)",
    "tasks": "mean of the 12 tasks (official, v1)",
    "realtime_backward": "mean of real-time and backward",
}


def task_table(scores: Scores) -> Table:
    """A row a task, then the groups."""
    table = Table(title="OVO-Bench", title_justify="left")
    for heading in ("task", "group"):
        table.add_column(heading)
    for heading in ("queries", "score", "95 % interval", "strict", "nulls"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in TASKS:
        one = scores.tasks[task]
        interval = "-" if one.low is None else f"{figure(one.low)} to {figure(one.high)}"
        cells = (figure(one.score), interval, figure(one.strict))
        table.add_row(task, GROUP_OF[task], str(one.n), *cells, str(one.nulls))
    table.add_section()
    for group, value in scores.groups.items():
        table.add_row("mean", group, "", figure(value), "", "", "")
    return table


def averages(scores: Scores) -> list[str]:
    """The three averages that circulate, by name, and the coverage."""
    lines = [f"{name}: {figure(scores.overall[key])}" for key, name in OVERALL.items()]
    return [*lines, f"nulls {scores.nulls}, duplicate rows {scores.duplicates}, missing queries {scores.missing}"]


def baseline_table(baselines: Mapping[str, Scores]) -> Table:
    """The policies that look at nothing."""
    table = Table(title="without looking", title_justify="left")
    table.add_column("policy")
    for heading in (*TASKS, "official"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in baselines.items():
        cells = [figure(scores.tasks[task].score) for task in TASKS]
        table.add_row(name, *cells, figure(scores.overall["groups"]))
    return table


def insight_table(insight: "Insight") -> Table:
    """The past by its distance, and by the scenes in between."""
    table = Table(title="questions about the past, by the time since what proves the answer", title_justify="left")
    for heading in ("at least", "scenes since, at most", "queries", "right"):
        table.add_column(heading, justify="right")
    for one in insight.distances:
        table.add_row(f"{one.from_s} s", str(one.scenes), str(one.n), figure(100 * one.right / one.n))
    return table


def insight_lines(insight: "Insight") -> list[str]:
    """Twins, stale and early answers, refusals."""
    twins = ", ".join(f"{task} {figure(share)}" for task, share in insight.twins.items())
    return [
        f"right in both twin films: {twins or '-'}",
        f"answers that were right before {insight.stale}, that will be right later {insight.early}",
        f"asked what may not have happened (HLD): hits {figure(insight.hit)}, false refusals "
        f"{figure(insight.false_refusal)}, balanced {figure(insight.balanced)}",
    ]


def difference_table(scores: Scores, other: Scores, name: str) -> Table:
    """Points by which these scores are above another run's: of a live run above one pass, what lag costs."""
    table = Table(title=f"above {name}", title_justify="left")
    for heading in (*TASKS, *scores.groups, "official"):
        table.add_column(heading, justify="right", no_wrap=True)
    pairs = [
        *((scores.tasks[task].score, other.tasks[task].score) for task in TASKS),
        *((scores.groups[group], other.groups[group]) for group in scores.groups),
        (scores.overall["groups"], other.overall["groups"]),
    ]
    table.add_row(*("-" if a is None or b is None else f"{a - b:+.2f}" for a, b in pairs))
    return table


def last_line(scores: Scores) -> dict[str, Any]:
    """The shape of `omnilive bench`'s last line, and the scores."""
    named = {
        **{task: one.score for task, one in scores.tasks.items()},
        **scores.groups,
        **{f"overall.{name}": value for name, value in scores.overall.items()},
    }
    checks = [Check(f"ovo.{name}", value, "%").as_json() for name, value in named.items() if value is not None]
    head = {"bench": "ovo", "commit": commit(), "hardware": hardware(), "checks": checks}
    return {**head, **scores.as_json()}


def figure(value: float | None) -> str:
    """Two decimals, as the official table has them; - for none."""
    return "-" if value is None else f"{value:.2f}"
