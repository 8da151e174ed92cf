"""What can be said of answers to a synthetic set, whose truth is known: twins, distances, refusals, stale answers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from evaluation.ovo.annotations import Annotations, Query
from evaluation.ovo.results import Record
from evaluation.ovo.score import is_right, unwrapped
from evaluation.ovo.synthetic.files import TRUTH, SyntheticSet, load_set
from evaluation.ovo.synthetic.plan import SCENE_S
from evaluation.ovo.tasks import TASKS

_DISTANCES: Final = (0, 30, 60, 120, 300, 900, 100_000)
"""Seconds between the moment that proves an answer and the question."""


@dataclass(frozen=True)
class Distance:
    """Questions about the past whose moment lies so long before them; scenes: how many came in between, at the most."""

    from_s: int
    scenes: int
    n: int
    right: int


@dataclass(frozen=True)
class Insight:
    """twins: by task, the share of questions that are right in both films, in percent. stale, early: answers that were
    right before, and that will be. hit, false_refusal: of what happened and was asked as HLD asks, shares; balanced:
    the mean of both kinds' right answers.
    """

    twins: Mapping[str, float]
    distances: Sequence[Distance]
    stale: int
    early: int
    hit: float | None
    false_refusal: float | None
    balanced: float | None

    def as_json(self) -> dict[str, Any]:
        """For the last line."""
        return asdict(self)


def truth_beside(annotations: Path) -> SyntheticSet | None:
    """The synthetic set that a file belongs to; None where it is of another origin."""
    folder = annotations.parent
    if annotations.name != "annotations.json" or not (folder / TRUTH).is_file():
        return None
    return load_set(folder)


def insight_of(made: SyntheticSet, records: Sequence[Record]) -> Insight:
    """What these answers show."""
    said = {(one.id, -1 if one.index is None else one.index): _text(one) for one in records if not one.repeated}
    right = {query.key: is_right(query.task, query.gold, said.get(query.key)) for query in made.annotations.queries}
    truths = made.truths
    happened, missed = _doubted(made, right)
    shares = [_share(happened), _share(missed)]
    refused = [said.get(query.key) == _refusal(query) for query in _asked(made) if truths[query.id].proof is not None]
    return Insight(
        twins=_twins(made.annotations, made, right),
        distances=_distances(made, right),
        stale=sum(said.get(one.key) == truths[one.id].stale is not None for one in made.annotations.queries),
        early=sum(said.get(one.key) == truths[one.id].future is not None for one in made.annotations.queries),
        hit=shares[0],
        false_refusal=_share(refused),
        balanced=None if None in shares else sum(share or 0.0 for share in shares) / 2,
    )


def _text(record: Record) -> str | None:
    plain = unwrapped(record.response)
    return plain.strip() if isinstance(plain, str) else None


def _twins(annotations: Annotations, made: SyntheticSet, right: Mapping[tuple[int, int], bool]) -> dict[str, float]:
    found: dict[str, dict[tuple[str, int], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for query in annotations.queries:
        found[query.task][made.truths[query.id].asked, query.key[1]].append(right[query.key])
    whole = {task: [all(both) for both in twins.values() if len(both) > 1] for task, twins in found.items()}
    return {task: 100 * sum(whole[task]) / len(whole[task]) for task in TASKS if whole.get(task)}


def _distances(made: SyntheticSet, right: Mapping[tuple[int, int], bool]) -> list[Distance]:
    """Of the tasks about the past, which have a moment that proves the answer."""
    ages = {}
    for query in made.annotations.queries:
        proof = made.truths[query.id].proof
        if proof is not None and query.task in {"EPM", "ASI", "HLD"}:
            ages[query.key] = query.at_s - proof[1]
    made_of = []
    for low, high in pairwise(_DISTANCES):
        near = [key for key, age_s in ages.items() if low <= age_s < high]
        if near:
            scenes = int(max(ages[key] for key in near) // SCENE_S)
            made_of.append(Distance(low, scenes, len(near), sum(right[key] for key in near)))
    return made_of


def _asked(made: SyntheticSet) -> list[Query]:
    return [query for query in made.annotations.queries if query.task == "HLD"]


def _doubted(made: SyntheticSet, right: Mapping[tuple[int, int], bool]) -> tuple[list[bool], list[bool]]:
    """Right or not: of what happened, of what did not."""
    kinds: tuple[list[bool], list[bool]] = ([], [])
    for query in _asked(made):
        kinds[made.truths[query.id].proof is None].append(right[query.key])
    return kinds


def _refusal(query: Query) -> str | None:
    letters = [letter for letter, option in zip("ABCDE", query.options, strict=False) if "unable" in option.lower()]
    return letters[0] if letters else None


def _share(found: Sequence[bool]) -> float | None:
    return 100 * sum(found) / len(found) if found else None
