"""Does it matter whether a film is shown once for all questions, or anew for each? Questions must leave no trace."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.ovo.through import Answered, bench_set, named, oracle_served, put
from evaluation.registry import Progress

_FILMS: Final = (2, 10)
"""In the quick and the full profile."""


def run(full: bool, progress: Progress) -> list[Check]:
    """The same queries prefix by prefix and in one pass."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = bench_set(Path(scratch) / "set", full, progress, _FILMS)
        with oracle_served() as (oracle, server):
            passed = put(made, oracle, server, Path(scratch) / "onepass", "onepass", progress)
            apart = put(made, oracle, server, Path(scratch) / "prefix", "prefix", progress)
    return [judged(passed, apart)]


def judged(passed: Sequence[Answered], apart: Sequence[Answered]) -> Check:
    """Queries of which an answer, a picture that was shown or a piece of evidence differs."""
    by_key = {one.query.key: one for one in passed}
    pairs = [(by_key[one.query.key], one) for one in apart]
    answers = [two for one, two in pairs if one.response != two.response]
    pictures = [two for one, two in pairs if _shown(one) != _shown(two)]
    evidence = [two for one, two in pairs if one.evidence != two.evidence]
    differ = [two for _, two in pairs if two in answers or two in pictures or two in evidence]
    note = f"of {len(pairs)}: answers {len(answers)}, pictures {len(pictures)}, evidence {len(evidence)}"
    return Check("ovo.modes", len(differ), "queries", "<= 0", note=f"{note}; {named(differ)}")


def _shown(one: Answered) -> tuple[object, ...]:
    return one.heard.seen if one.heard is not None else ()
