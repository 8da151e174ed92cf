"""The official scores of records, and what belongs beside them: intervals, strict scores, nulls, coverage."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation.ovo.results import Record, Response, Results
from evaluation.ovo.tasks import GROUPS, OFFICIAL, TASKS
from evaluation.stats import wilson

_LETTER: Final = re.compile(r"^\W*([A-E])\b")
_WORD: Final = re.compile(r"^\W*(Yes|No)\b")
_NUMBER: Final = re.compile(r"^\W*(\d+)\b")


@dataclass(frozen=True)
class TaskScore:
    """Of one task, in percent. score None: there is nothing to score, or it cannot be scored. strict: the share of
    responses that begin with the right letter, word or number."""

    n: int
    score: float | None
    low: float | None
    high: float | None
    strict: float | None
    nulls: int


@dataclass(frozen=True)
class Scores:
    """groups: means of their tasks. overall: the three averages that circulate, by name. missing: queries without a
    row."""

    tasks: Mapping[str, TaskScore]
    groups: Mapping[str, float | None]
    overall: Mapping[str, float | None]
    nulls: int
    duplicates: int
    missing: int

    def as_json(self) -> dict[str, Any]:
        """As in the last line of `omnilive eval ovo score`."""
        return {
            "tasks": {task: vars(score) for task, score in self.tasks.items()},
            "groups": dict(self.groups),
            "overall": dict(self.overall),
            "nulls": self.nulls,
            "duplicates": self.duplicates,
            "missing": self.missing,
        }


def score(results: Results, expected: Mapping[str, int] = OFFICIAL, *, lists: bool = False) -> Scores:
    """Score a folder's results.

    expected: how many queries there should be of each task. lists: keep responses that are lists as they are, as the
    official script does: letters and words are members of the list then, and REC, where it crashes, has no score.
    """
    by_task: dict[str, list[Record]] = {task: [] for task in TASKS}
    for record in results.records:
        by_task[record.task].append(record)
    tasks = {task: _task(task, records, lists) for task, records in by_task.items()}
    shares = {task: one.score for task, one in tasks.items()}
    groups: dict[str, float | None] = {
        group: _mean(shares[task] for task in members) for group, members in GROUPS.items()
    }
    return Scores(
        tasks=tasks,
        groups=groups,
        overall={
            "groups": _mean(groups.values()),
            "tasks": _mean_of_all(list(shares.values())),
            "realtime_backward": _mean_of_all([groups["realtime"], groups["backward"]]),
        },
        nulls=sum(one.nulls for one in tasks.values()),
        duplicates=results.duplicates,
        missing=sum(max(0, expected.get(task, 0) - _distinct(by_task[task])) for task in TASKS),
    )


def is_right(task: str, gold: str, response: Response) -> bool:
    """The official rule. response: text, or a list of texts, of which one is to be just what is looked for."""
    if response is None:
        return False
    if task == "REC":
        return isinstance(response, str) and "".join(re.findall(r"\d+", response)) == gold
    if task in {"SSR", "CRR"} and response == gold[0]:
        return True
    return gold in response


def is_strictly_right(task: str, gold: str, response: str) -> bool:
    """Whether a response is an answer and not a text in which the right letters occur."""
    pattern = _NUMBER if task == "REC" else _WORD if task in {"SSR", "CRR"} else _LETTER
    match = pattern.match(response)
    return match is not None and match[1] == gold


def unwrapped(response: Response) -> Response:
    """A list of one text as that text."""
    return response[0] if isinstance(response, list) and len(response) == 1 else response


def _task(task: str, records: Sequence[Record], lists: bool) -> TaskScore:
    n = len(records)
    nulls = sum(record.response is None for record in records)
    crashes = lists and task == "REC" and any(isinstance(record.response, list) for record in records)
    if n == 0 or crashes:
        return TaskScore(n, None, None, None, None, nulls)
    kept = [(record.gold, record.response if lists else unwrapped(record.response)) for record in records]
    right = sum(is_right(task, gold, response) for gold, response in kept)
    strict = sum(_strict(task, gold, response) for gold, response in kept)
    interval = wilson(right, n)
    return TaskScore(n, 100 * right / n, 100 * interval.low, 100 * interval.high, 100 * strict / n, nulls)


def _strict(task: str, gold: str, response: Response) -> bool:
    plain = unwrapped(response)
    return isinstance(plain, str) and is_strictly_right(task, gold, plain)


def _distinct(records: Iterable[Record]) -> int:
    return len({(record.id, record.index) for record in records})


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that there are."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """None where one is missing."""
    return _mean(values) if all(value is not None for value in values) else None
