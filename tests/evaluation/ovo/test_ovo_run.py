"""A run, without a server: each query once, whatever fails on the way, and the same again after an interruption."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clients.api import ApiError, Json
from evaluation.ovo import run as running
from evaluation.ovo.annotations import Annotations, FileRefused, Query, load_annotations
from evaluation.ovo.asking import SKIPPED, Settings, Tell, Wanted, answered
from evaluation.ovo.journal import NAME, AnotherRun
from evaluation.ovo.results import load_results
from evaluation.ovo.run import Job, run
from evaluation.ovo.running import said_of
from evaluation.ovo.scored import score_folder
from evaluation.ovo.video import VideoInvalid

ANSWER: Json = {
    "evidence": [{"stream": "s", "event": "e_1", "start": "a", "end": "b", "score": 0.5, "frame": "/v1/f"}],
    "finish_reason": "stop", "coverage": {"covered": "full"}, "staleness_ms": 40, "timing": {}, "usage": {},
}  # fmt: skip


class FakeVideo:
    def __init__(self, path: Path, fps: float) -> None:
        self.name = path.name
        if path.name.startswith("missing"):
            raise VideoInvalid("video_missing")


class FakeShower:
    """Answers rightly; before the query that `fails` names it raises that once."""

    asked: ClassVar[list[tuple[int, int]]] = []
    fails: ClassVar[dict[tuple[int, int], ApiError]] = {}

    def __init__(self, url: str | None, settings: Settings, prefix: str) -> None:
        self.settings = settings

    def show(self, name: str, video: Any, queries: Sequence[Query], tell: Tell, wanted: Wanted) -> None:
        for query in sorted(queries, key=lambda query: (self.settings.end_us(query), query.key)):
            if not wanted(query):
                tell(query, SKIPPED)
                continue
            kept = answered(lambda query=query: self.put(query), self.settings.end_us(query))  # type: ignore[misc]
            self.asked.append(query.key)
            tell(query, kept)

    def put(self, query: Query) -> Json:
        if query.key in self.fails:
            raise self.fails.pop(query.key)
        return {**ANSWER, "answer": query.gold}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> type[FakeShower]:
    FakeShower.asked, FakeShower.fails = [], {}
    monkeypatch.setattr(running, "Shower", FakeShower)
    monkeypatch.setattr(running, "Video", FakeVideo)
    monkeypatch.setattr(running, "wait_ready", lambda url, patience_s: None)
    return FakeShower


def annotations(folder: Path, missing: bool = False) -> Annotations:
    def choice(n: int, video: str, at_s: float) -> dict[str, Any]:
        told = {"question": "Where?", "options": ["here", "there"], "gt": n % 2, "realtime": at_s}
        return {"id": n, "task": "EPM", "video": video, **told}

    items = [choice(0, "a.mp4", 9.5), choice(1, "missing.mp4" if missing else "b.mp4", 3), choice(2, "a.mp4", 4)]
    asked = [{"realtime": at_s, "count": count} for at_s, count in ((8, 2), (2, 1))]
    items.append({"id": 3, "task": "REC", "video": "a.mp4", "activity": "jump", "test_info": asked})
    path = folder / "annotations.json"
    path.write_text(json.dumps(items))
    return load_annotations(path)


def job(folder: Path, **more: Any) -> Job:
    asked = annotations(folder, more.pop("missing", False))
    return Job(asked, folder, folder / "out", Settings("onepass", **more.pop("settings", {})), **more)


def quiet(_: str) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("workers", [1, 3])
def test_every_query_is_asked_once_and_scored(tmp_path: Path, server: type[FakeShower], workers: int) -> None:
    work = job(tmp_path, workers=workers, name="Some Model/7B")
    ended = run(work, quiet)
    assert sorted(server.asked) == [(0, -1), (1, -1), (2, -1), (3, 0), (3, 1)]
    assert ended.results.name == "Some-Model-7B_EPM_REC_onepass_1.json"
    scores = score_folder(work.out, work.annotations).scores
    assert (scores.tasks["EPM"].score, scores.tasks["REC"].score) == (100.0, 100.0)
    assert (scores.nulls, scores.missing) == (0, 0)
    assert run(work, quiet).asked == 0
    assert len(server.asked) == 5


def test_a_missing_video_is_null_counted_and_named_and_asked_later(tmp_path: Path, server: type[FakeShower]) -> None:
    ended = run(job(tmp_path, missing=True), quiet)
    assert ended.nulls == {"video_missing": ["missing.mp4"]}
    assert said_of(ended)[1] == "null, video_missing: 1: missing.mp4"
    assert [one.response for one in load_results(tmp_path / "out").records].count(None) == 1
    monkey = FakeVideo.__init__
    try:
        FakeVideo.__init__ = lambda self, path, fps: None  # type: ignore[method-assign]
        assert run(job(tmp_path, missing=True), quiet).asked == 1
    finally:
        FakeVideo.__init__ = monkey  # type: ignore[method-assign]
    assert server.asked.count((1, -1)) == 1


def test_a_server_that_goes_away_is_waited_for_and_nothing_is_asked_twice(
    tmp_path: Path, server: type[FakeShower]
) -> None:
    server.fails = {(3, 0): ApiError("connection_lost", "gone"), (0, -1): ApiError("process_lost", "gone")}
    ended = run(job(tmp_path), quiet)
    assert sorted(server.asked) == [(0, -1), (1, -1), (2, -1), (3, 0), (3, 1)]
    assert ended.nulls == {}


def test_a_server_that_stays_away_ends_the_run_which_goes_on_later(tmp_path: Path, server: type[FakeShower]) -> None:
    class Away(dict[Any, Any]):
        def pop(self, key: Any, *_: Any) -> Any:
            return self[key]

    server.fails = Away({(0, -1): ApiError("unreachable", "no server")})
    with pytest.raises(ApiError):
        run(job(tmp_path), quiet)
    before = list(server.asked)
    assert (3, 1) in before
    server.fails = {}
    run(job(tmp_path), quiet)
    assert sorted(server.asked) == [(0, -1), (1, -1), (2, -1), (3, 0), (3, 1)]


def test_a_query_that_is_refused_is_null_and_the_others_go_on(tmp_path: Path, server: type[FakeShower]) -> None:
    server.fails = {(3, 0): ApiError("deadline_exceeded", "late")}
    ended = run(job(tmp_path), quiet)
    assert ended.nulls == {"deadline_exceeded": ["3_0"]}
    assert len(server.asked) == 5
    run(job(tmp_path), quiet)
    assert server.asked[5:] == [(3, 0)]


def test_a_torn_line_is_asked_again_and_another_run_is_refused(tmp_path: Path, server: type[FakeShower]) -> None:
    run(job(tmp_path), quiet)
    journal = tmp_path / "out" / NAME
    journal.write_bytes(journal.read_bytes()[:-9])
    assert run(job(tmp_path), quiet).asked == 1
    with pytest.raises(AnotherRun, match="horizon"):
        run(job(tmp_path, settings={"horizon": "exact"}), quiet)


@pytest.mark.parametrize("line", [b"{broken\n", b"3\n", b'{"id": 0}\n'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, server: type[FakeShower], line: bytes) -> None:
    run(job(tmp_path), quiet)
    journal = tmp_path / "out" / NAME
    head, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([head, line, *rest]))
    with pytest.raises(FileRefused, match=r"run\.jsonl: line 2"):
        run(job(tmp_path), quiet)


def test_times_end_at_the_next_whole_second_or_exactly(tmp_path: Path) -> None:
    query = annotations(tmp_path).queries[0]
    assert Settings("prefix").end_us(query) == 10_000_000
    assert Settings("prefix", "exact").end_us(query) == 9_500_000
