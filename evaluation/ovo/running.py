"""`omnilive eval ovo run`: a whole run for people: progress on stderr, scores and the last JSON line on stdout."""

import sys
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from clients.api import Api
from evaluation.ovo.run import Ended, Job, run
from evaluation.ovo.scoring import run_score


def run_job(job: Job, *, as_json: bool) -> int:
    """Run and score. Raises AnotherRun, ApiError."""
    ended = run(job, lambda text: tell(f"ovo: {text}"))
    for line in said_of(ended):
        tell(line)
    return run_score(job.out, job.annotations, lists=False, as_json=as_json)


def said_of(ended: Ended) -> list[str]:
    """What became of it, a line each."""
    lines = [f"{ended.asked} queries were asked now; the answers are in {ended.results.name}"]
    for error, named in ended.nulls.items():
        lines.append(f"null, {error}: {len(named)}: {', '.join(named[:20])}{', ...' if len(named) > 20 else ''}")
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
