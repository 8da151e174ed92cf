"""Does the server answer from the right moment? The oracle, which reads pixels alone, is asked through all of it.

Every film is H.264 that is decoded, sampled, remembered and recalled; what the oracle gets wrong, or sees too early,
the server did wrong.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evaluation.checks import Check, share_check
from evaluation.oracle.server import Heard, OracleServer
from evaluation.ovo.annotations import Annotations, Query
from evaluation.ovo.asking import Mode, Settings
from evaluation.ovo.journal import read_entries
from evaluation.ovo.run import Job
from evaluation.ovo.run import run as run_queries
from evaluation.ovo.running import UNHURRIED
from evaluation.ovo.score import is_right
from evaluation.ovo.synthetic.files import SyntheticSet, make_set, origin
from evaluation.ovo.tasks import GROUPS, TASKS
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess

SEED: Final = 20_261_126
"""Of the public set, in the quick profile: whoever measures again asks the same. The full profile draws a seed, which
nobody can have tuned on, and says which."""
_PAIRS: Final = (5, 50)
"""Of films, in the quick and the full profile."""
_FILLERS: Final = (0, 5, 0, 20)
"""Scenes by which films are longer, pair by pair in turn, in the full profile."""
_LONGEST: Final = 300
"""Scenes by which the last pair's are longer there: half an hour."""
EVIDENCE: Final = 12
PATIENT: Final = {**UNHURRIED, "OMNILIVE_PERCEPTION__THREADS": "1", "OMNILIVE_MEMORY__THREADS": "1"}
"""As a run of the user's, and encoders' threads do not wait for one another."""
_ANSWER: Final = 16


@dataclass(frozen=True)
class Answered:
    """A query, what came back, and what the oracle was shown for it; None: it was not asked. evidence: span and score
    of what the server named."""

    query: Query
    response: str | None
    heard: Heard | None
    evidence: tuple[tuple[str, str, float], ...] = ()

    @property
    def right(self) -> bool:
        """By the official rule."""
        return is_right(self.query.task, self.query.gold, self.response)


def run(full: bool, progress: Progress) -> list[Check]:
    """The synthetic tasks in one pass."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = bench_set(Path(scratch) / "set", full, progress)
        with oracle_served() as (oracle, server):
            passed = put(made, oracle, server, Path(scratch) / "onepass", "onepass", progress)
        return judged(made, passed, full=full)


def bench_set(folder: Path, full: bool, progress: Progress, films: tuple[int, int] | None = None) -> SyntheticSet:
    """The set that the figures are measured on. films: so many of it in the quick and the full profile, as all."""
    pairs = _PAIRS[full] if films is None else -(-films[full] // 2)

    def fillers(pair: int) -> int:
        if not full:
            return 0
        return _LONGEST if pair == _PAIRS[full] - 1 else _FILLERS[pair % 4]

    made = make_set(folder, secrets.randbelow(2**32) if full else SEED, pairs, fillers, progress)
    return made if films is None else part_of(made, lambda query: made.films[query.video] < films[full])


@contextmanager
def oracle_served(evidence: int = EVIDENCE) -> Iterator[tuple[OracleServer, ServerProcess]]:
    """An oracle and a server that asks it, and waits for memory as long as it takes. evidence: keyframes recalled."""
    settings = {**PATIENT, "OMNILIVE_MEMORY__EVIDENCE": str(evidence)}
    with OracleServer() as oracle, ServerProcess(["--model", oracle.url], environment=settings) as server:
        yield oracle, server


def put(
    made: SyntheticSet,
    oracle: OracleServer,
    server: ServerProcess,
    out: Path,
    mode: Mode,
    progress: Progress,
    fps: float | None = None,
) -> list[Answered]:
    """Put a set's queries to the server, one at a time, and see what the oracle was shown for each."""
    oracle.heard()
    settings = Settings(mode, "exact", _ANSWER, fps)
    run_queries(Job(made.annotations, made.folder, out, settings, server.url, "oracle"), progress)
    queries = {query.key: query for query in made.annotations.queries}
    _, entries = read_entries(out)
    left = oracle.heard()
    answered = []
    for entry in entries:
        query = queries[entry["id"], -1 if entry["index"] is None else entry["index"]]
        asked = bool(left) and left[0].question == query.prompt
        evidence = tuple((*one["span"], one["score"]) for one in entry.get("evidence", ()))
        answered.append(Answered(query, entry["response"], left.pop(0) if asked else None, evidence))
    return answered


# ---------------------------------------------------------------- figures


def judged(made: SyntheticSet, answered: Sequence[Answered], *, full: bool) -> list[Check]:
    """What was right, where the true moment was shown; how often it was; what came from the future."""
    past = [one for one in answered if one.query.task in GROUPS["backward"]]
    proved = [one for one in past if made.truths[one.query.id].proof is not None]
    recalled = [one for one in proved if shows_proof(made, one)]
    counted = [one for one in answered if one not in past] + [one for one in past if one not in proved] + recalled
    task, right, asked = _worst(counted)
    early = [one for one in answered if is_early(made, one)]
    stale = sum(not one.right and one.response == made.truths[one.query.id].stale for one in answered)
    distances = _by_distance(made, proved)
    return [
        share_check("ovo.oracle", right, asked, ">= 0.99", full=full, note=f"worst task {task}: {right} of {asked}; "
                    f"{stale} stale of {len(answered)}; {origin(made)}"),
        share_check("ovo.recall", len(recalled), len(proved), ">= 0.95", full=full, note=distances),
        Check("ovo.causality", len(early), "answers", "<= 0", note=f"of {len(answered)}; {named(early)}"),
    ]  # fmt: skip


def shows_proof(made: SyntheticSet, one: Answered) -> bool:
    """Whether a picture of the moment that proves the answer was shown."""
    proof = made.truths[one.query.id].proof
    if proof is None or one.heard is None:
        return False
    return any(proof[0] <= state.at_us / 1e6 < proof[1] for state in one.heard.seen)


def is_early(made: SyntheticSet, one: Answered) -> bool:
    """Whether a picture was shown of the query's time or later, or the answer is what will be right later."""
    future = made.truths[one.query.id].future
    if future is not None and one.response == future:
        return True
    return one.heard is not None and any(state.at_us / 1e6 >= one.query.at_s for state in one.heard.seen)


def _worst(answered: Sequence[Answered]) -> tuple[str, int, int]:
    counted = {task: [one.right for one in answered if one.query.task == task] for task in TASKS}
    shares = {task: sum(right) / len(right) for task, right in counted.items() if right}
    task = min(shares, key=lambda name: shares[name])
    return task, sum(counted[task]), len(counted[task])


def _by_distance(made: SyntheticSet, proved: Sequence[Answered]) -> str:
    """The share that was recalled, by the seconds between the moment and the question."""
    parts = []
    for low, high in ((0, 30), (30, 60), (60, 120), (120, 900), (900, 10_000)):
        ages = [(one, one.query.at_s - (made.truths[one.query.id].proof or (0, 0))[1]) for one in proved]
        near = [shows_proof(made, one) for one, age_s in ages if low <= age_s < high]
        if near:
            parts.append(f"{low} s ago and more: {sum(near)} of {len(near)}")
    return ", ".join(parts)


def named(answered: Sequence[Answered]) -> str:
    """The first few, for notes."""
    return ", ".join(f"{one.query.task} {one.query.key}" for one in answered[:5]) or "none"


def part_of(made: SyntheticSet, keep: Callable[[Query], bool]) -> SyntheticSet:
    """The same set with some of its queries only."""
    kept = [query for query in made.annotations.queries if keep(query)]
    ids = {query.id for query in kept}
    items = [item for item in made.annotations.items if item["id"] in ids]
    return replace(made, annotations=Annotations(items, kept))
