"""`omnilive eval ovo run`: a whole run for people: progress on stderr, scores and the last JSON line on stdout."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from clients.api import Api
from evaluation.ovo.journal import read_entries
from evaluation.ovo.run import Ended, Job, run
from evaluation.ovo.scoring import Wanted, run_score
from evaluation.server_process import ServerProcess
from evaluation.stats import quantile

UNHURRIED: Final = {"OMNILIVE_REASONING__RECALL_TIMEOUT_MS": "60000", "OMNILIVE_REASONING__CAPTIONS": "false"}
"""On file time nothing is gained by answering without memory; and what happened to be described would change a run."""
_OURS: Final = frozenset({"OMNILIVE_URL", "OMNILIVE_API_KEY"})
_LOAD_S: Final = 1800.0


@contextmanager
def serving(model: str | None, url: str | None) -> Iterator[str | None]:
    """The address of a server of our own with this model, as the environment sets it up; or the one that is given.

    Raises ServerFailed.
    """
    if model is None:
        yield url
        return
    kept = {name: value for name, value in os.environ.items() if name.startswith("OMNILIVE_") and name not in _OURS}
    tell("ovo: starting a server, which loads the model")
    with ServerProcess(["--model", model], environment={**UNHURRIED, **kept}, ready_s=_LOAD_S) as server:
        yield server.url


def run_job(job: Job, wanted: Wanted) -> int:
    """Run and score. Raises AnotherRun, ApiError."""
    ended = run(job, lambda text: tell(f"ovo: {text}"))
    for line in said_of(ended):
        tell(line)
    for line in times_of(read_entries(job.out)[1]):
        tell(line)
    return run_score(job.out, job.annotations, wanted)


def said_of(ended: Ended) -> list[str]:
    """What became of it, a line each."""
    return [f"{ended.asked} queries were asked now; the answers are in {ended.results.name}", *nulls_of(ended.nulls)]


def nulls_of(nulls: Mapping[str, Sequence[str]]) -> list[str]:
    """What is null, counted and named, a line for each thing that was wrong."""
    return [
        f"null, {error}: {len(named)}: {', '.join(named[:20])}{', ...' if len(named) > 20 else ''}"
        for error, named in nulls.items()
    ]


def times_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """How long the answers took, and how old the newest picture was that they saw."""
    lines = []
    first = [entry["timing"]["ttft_ms"] for entry in entries if entry.get("timing")]
    stale = [entry["staleness_ms"] for entry in entries if entry.get("staleness_ms") is not None]
    for name, times in (("time to first token", first), ("staleness", stale)):
        if times:
            middle, high, most = (quantile(times, share) for share in (0.5, 0.95, 1.0))
            lines.append(f"{name}: median {middle:.0f} ms, 95 % {high:.0f} ms, longest {most:.0f} ms")
    return lines


def model_name(url: str | None) -> str:
    """What the server's model is called, for the names of files."""
    with Api(url) as api:
        model = str(api.get("/v1/server")["model"])
    if model.startswith(("http://", "https://")):
        return urlsplit(model).netloc
    return PurePosixPath(model).name or "model"


def tell(text: str) -> None:
    """To whoever watches."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
