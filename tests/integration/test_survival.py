"""The real processes, killed: one end for every open question, nothing left behind, nothing forgotten."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from clients.api import Api
from evaluation.server_process import ServerProcess
from evaluation.wait import until

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path], talkative: Path
) -> Iterator[ServerProcess]:
    """A server that has watched the clip as `cam`."""
    arguments = ["--allow-files", "/", "--model", str(talkative)]
    # A caption that comes between two looks at events would make them differ.
    calm = {"OMNILIVE_REASONING__CAPTIONS": "false"}
    with ServerProcess(arguments, data=tmp_path_factory.mktemp("survival") / "data", environment=calm) as running:
        with Api(running.url) as api:
            watch(api, make_clip())
        yield running


def watch(api: Api, clip: Path, stream: str = "cam") -> int:
    """Have the server watch a file to its end; how many events it remembers then."""
    api.add(stream, {"url": clip.as_uri(), "pace": "fast"})
    until(lambda: api.stream(stream)["state"] == "ended", 30, "the end of the file")
    return until(lambda: len(api.events(stream)), 10, "events")


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz").status_code == 200


@pytest.mark.parametrize("stage", ["perception", "memory"])
def test_a_killed_stage_comes_back_and_knows_what_was_acknowledged(
    server: ServerProcess, make_clip: Callable[..., Path], stage: str
) -> None:
    with Api(server.url) as api:
        known = api.events("cam")
        server.stages()[stage].kill()
        until(lambda: not is_ready(server.url), 5, "a server that knows of the loss")
        until(lambda: is_ready(server.url), 60, "a server that is ready again")
        assert api.events("cam") == known
        answer = api.ask("cam", "What happened 2 seconds ago?", max_tokens=2)
        assert answer["finish_reason"] in ("stop", "length")
        watch(api, make_clip(), f"after-{stage}")


def test_a_killed_parent_leaves_nothing_and_a_new_one_knows_all(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
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
        known: dict[str, Any] = {event["id"]: event["start"] for event in api.events("cam")}
        assert known.items() >= {event["id"]: event["start"] for event in events}.items()
        frame = api.events("cam")[0]["frames"][0]["url"]
        assert api.picture(frame).startswith(b"\xff\xd8")
