"""With recall switched off questions about the past must fall to chance: else they would prove nothing of recall."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from evaluation.checks import Check
from evaluation.ovo.synthetic.proof import CHANCE
from evaluation.ovo.tasks import GROUPS
from evaluation.ovo.through import Answered, bench_set, oracle_served, part_of, put
from evaluation.registry import Progress


def run(full: bool, progress: Progress) -> list[Check]:
    """The questions about the past, to a server that recalls nothing."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = bench_set(Path(scratch) / "set", full, progress)
        past = part_of(made, lambda query: query.task in GROUPS["backward"])
        with oracle_served(evidence=0) as (oracle, server):
            answered = put(past, oracle, server, Path(scratch) / "onepass", "onepass", progress)
    return [judged(answered)]


def judged(answered: Sequence[Answered]) -> Check:
    """Points over chance of the best backward task."""
    points = {}
    for task in GROUPS["backward"]:
        right = [one.right for one in answered if one.query.task == task]
        points[task] = 100 * (sum(right) / len(right) - CHANCE[task])
    best = max(points, key=lambda task: points[task])
    note = ", ".join(f"{task} {value:+.1f}" for task, value in points.items())
    return Check("ovo.oracle_blind", points[best], "points", "<= 5", note=f"without recall: {note}")
