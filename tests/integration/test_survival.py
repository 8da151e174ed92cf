"""The real processes, killed: one error for a lost question, nothing left behind, nothing forgotten."""

import concurrent.futures
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evaluation.api import Api, Refused
from evaluation.server_process import ServerProcess
from evaluation.wait import until

LONG = 4000
"""Tokens: an answer that surely goes on while its process is killed."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(["--allow-files", "/"], data=tmp_path / "data") as running:
        yield running


def watch(api: Api, clip: Path, stream: str = "cam") -> int:
    """Have the server watch a file to its end; how many events it remembers then."""
    api.add(stream, {"url": clip.as_uri(), "pace": "fast"})
    until(lambda: api.stream(stream)["state"] == "ended", 30, "the end of the file")
    return until(lambda: len(api.events(stream)), 10, "events")


def test_a_killed_reasoning_gives_one_error_and_comes_back(server: ServerProcess, make_clip) -> None:  # type: ignore[no-untyped-def]
    with Api(server.url) as api, concurrent.futures.ThreadPoolExecutor() as pool:
        watch(api, make_clip())
        asked = pool.submit(api.ask, "cam", "What do you see?", max_tokens=LONG)
        until(lambda: b"omnilive_questions_in_flight 1.0" in api.get("/metrics"), 10, "the question in flight")
        server.stages()["reasoning"].kill()
        with pytest.raises(Refused) as refused:
            asked.result(timeout=10)
        assert refused.value.code == "process_lost"
        until(lambda: server_ready(api), 30, "a server that is ready again")
        assert api.ask("cam", "What do you see?", max_tokens=2)["usage"]["output_tokens"] == 2


@pytest.mark.parametrize("stage", ["perception", "memory"])
def test_a_killed_stage_comes_back_and_knows_what_was_acknowledged(  # type: ignore[no-untyped-def]
    server: ServerProcess, make_clip, stage: str
) -> None:
    with Api(server.url) as api:
        known = watch(api, make_clip())
        server.stages()[stage].kill()
        until(lambda: not server_ready(api), 5, "a server that knows of the loss")
        until(lambda: server_ready(api), 30, "a server that is ready again")
        assert len(api.events("cam")) == known
        answer = api.ask("cam", "What happened 2 seconds ago?", max_tokens=2)
        assert answer["finish_reason"] in ("stop", "length")
        watch(api, make_clip(), "another")


def test_a_killed_parent_leaves_nothing_and_a_new_one_knows_all(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    data = tmp_path / "data"
    shared_before = set(os.listdir("/dev/shm"))
    with ServerProcess(["--allow-files", "/"], data=data) as first:
        with Api(first.url) as api:
            watch(api, make_clip())
            events = api.events("cam")
        children = [psutil.Process(stage.pid) for stage in first.stages().values()]
        os.kill(first.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, timeout=5)
        assert len(gone) == 3
        assert alive == []
    assert set(os.listdir("/dev/shm")) == shared_before
    with ServerProcess(["--allow-files", "/"], data=data) as second, Api(second.url) as api:
        known = {event["id"]: event["start"] for event in api.events("cam")}
        assert known.items() >= {event["id"]: event["start"] for event in events}.items()
        frame = api.events("cam")[0]["frames"][0]["url"]
        assert api.get(frame).startswith(b"\xff\xd8")


def server_ready(api: Api) -> bool:
    try:
        return b'"ready"' in api.get("/readyz").split(b"stages")[0]
    except Refused:
        return False
