"""A run: every query of an annotation file put to a server once, whatever happens to files and server on the way."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from clients.api import ApiError, Json, server_of
from evaluation.ovo.annotations import Annotations, Query
from evaluation.ovo.asking import PASSING, Settings, Shower
from evaluation.ovo.journal import Journal, Key
from evaluation.ovo.results import result_name, write_results
from evaluation.ovo.video import Video, VideoInvalid, find_video

Progress = Callable[[str], None]

_TRIES: Final = 6
_LOOK_AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Job:
    """What is to be run. workers: videos at a time. patience_s: how long a server that is away is waited for.

    wanted: whether a query is still to be put, by what came of the others.
    """

    annotations: Annotations
    videos: Path
    out: Path
    settings: Settings
    url: str | None = None
    name: str = "model"
    workers: int = 1
    patience_s: float = 600.0
    wanted: Callable[[Query, Mapping[Key, Mapping[str, Any]]], bool] | None = None

    def head(self) -> dict[str, Any]:
        """What tells this run from another."""
        told = vars(self.settings)
        prompts = b"".join(
            f"{query.key}\0{query.at_s}\0{query.prompt}\0".encode() for query in self.annotations.queries
        )
        return {"run": "ovo", **told, "queries_sha256": hashlib.sha256(prompts).hexdigest()}


@dataclass
class Asked:
    """How the asking went. entries: what came of each query. nulls: by what was wrong, the videos or queries
    concerned."""

    asked: int
    entries: Mapping[Key, Mapping[str, Any]]
    nulls: Mapping[str, Sequence[str]]


@dataclass
class Ended:
    """How a run went: as above, and the result file."""

    results: Path
    asked: int
    nulls: Mapping[str, Sequence[str]]


def run(job: Job, progress: Progress) -> Ended:
    """Ask what was not asked yet, write the result file. Raises AnotherRun; ApiError if the server stays away."""
    asked = ask(job, progress)
    results = job.out / result_name(job.name, job.settings.mode, job.annotations.items)
    write_results(results, job.annotations, {key: entry.get("response") for key, entry in asked.entries.items()})
    return Ended(results, asked.asked, asked.nulls)


def ask(job: Job, progress: Progress) -> Asked:
    """Ask what was not asked yet. Raises AnotherRun; ApiError if the server stays away."""
    with Journal(job.out, job.head()) as journal:
        work = _Run(job, journal, progress)
        work.go()
        return Asked(work.asked, dict(journal.entries), _nulls(job.annotations, journal))


class _Run:
    def __init__(self, job: Job, journal: Journal, progress: Progress) -> None:
        self._job, self._journal, self._progress = job, journal, progress
        digest = hashlib.sha256(str(job.out.resolve()).encode()).hexdigest()[:8]
        self._shower = Shower(job.url, job.settings, f"ovo-{digest}")
        self._lock = threading.Lock()
        self._settled: set[Key] = set()
        self._failed = False
        self.asked = 0

    def go(self) -> None:
        """Video by video."""
        by_video: dict[str, list[Query]] = {}
        for query in self._left(self._job.annotations.queries):
            by_video.setdefault(query.video, []).append(query)
        total = len(self._job.annotations.queries)
        left = sum(map(len, by_video.values()))
        self._progress(f"{left} of {total} queries are left, about {len(by_video)} videos")
        if self._job.workers == 1:
            for n, one in enumerate(by_video.items()):
                self._video(n, *one)
            return
        with ThreadPoolExecutor(self._job.workers) as workers:
            for done in [workers.submit(self._video, n, *one) for n, one in enumerate(by_video.items())]:
                done.result()

    def _left(self, queries: Sequence[Query]) -> list[Query]:
        responses = self._journal.responses()
        return [query for query in queries if responses.get(query.key) is None]

    def _video(self, number: int, name: str, queries: Sequence[Query]) -> None:
        """All of one video's queries; from its beginning again where the server went away meanwhile."""
        if self._failed:
            return
        try:
            video = Video(find_video(self._job.videos, name), self._job.settings.fps or 2.0)
            self._persist(f"{number}", video, queries)
        except VideoInvalid as error:
            self._progress(f"{error.code}: {name}")
            for query in self._undone(queries):
                self._settle(query, _null(query, error.code))
        except BaseException:
            self._failed = True
            raise

    def _persist(self, name: str, video: Video, queries: Sequence[Query]) -> None:
        tries = 0
        while left := self._undone(queries):
            try:
                self._shower.show(name, video, left, self._tell, self._wanted)
            except ApiError as error:
                tries = tries + 1 if len(self._undone(queries)) == len(left) else 1
                if error.code not in PASSING or tries >= _TRIES:
                    raise
                self._progress(f"{error.code}: waiting for the server")
                wait_ready(self._job.url, self._job.patience_s)

    def _undone(self, queries: Sequence[Query]) -> list[Query]:
        """Those that nothing has come of in this run."""
        with self._lock:
            return [query for query in queries if query.key not in self._settled]

    def _wanted(self, query: Query) -> bool:
        return self._job.wanted is None or self._job.wanted(query, self._journal.entries)

    def _tell(self, query: Query, kept: Json) -> None:
        self._settle(query, {**_about(query), **kept})
        if kept.get("skipped"):
            return
        if kept.get("error") is not None:
            self._progress(f"{kept['error']}: query {_name(query)}")
        with self._lock:
            self.asked += 1
            if self.asked % 20 == 0:
                self._progress(f"{self.asked} queries are answered, {query.video}")

    def _settle(self, query: Query, entry: Mapping[str, Any]) -> None:
        self._journal.add(entry)
        with self._lock:
            self._settled.add(query.key)


_OF_VIDEOS: Final = frozenset({"video_missing", "video_invalid"})


def _about(query: Query) -> dict[str, Any]:
    return {"id": query.id, "index": query.index, "task": query.task, "video": query.video, "at_s": query.at_s}


def _name(query: Query) -> str:
    """As the official runner names files: `17`, `1500_3`."""
    return str(query.id) if query.index is None else f"{query.id}_{query.index}"


def _null(query: Query, error: str) -> dict[str, Any]:
    return {**_about(query), "response": None, "error": error}


def _nulls(annotations: Annotations, journal: Journal) -> dict[str, list[str]]:
    """What was wrong -> videos that are so, or queries that were refused."""
    found: dict[str, list[str]] = {}
    for query in annotations.queries:
        error = journal.entries.get(query.key, {}).get("error")
        if error is not None:
            named = (
                query.video
                if error in _OF_VIDEOS
                else f"{query.id}" + ("" if query.index is None else f"_{query.index}")
            )
            if named not in found.setdefault(error, []):
                found[error].append(named)
    return found


def wait_ready(url: str | None, patience_s: float) -> None:
    """Until the server says that it is ready. Raises ApiError unreachable."""
    base, headers = server_of(url, None)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if httpx.get(f"{base}/readyz", headers=headers, timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise ApiError("unreachable", "the server did not come back: start it, and run the same command again")
        time.sleep(_LOOK_AGAIN_S)
