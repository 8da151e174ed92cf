"""The real processes, killed: one end for every open question, nothing left behind, nothing forgotten."""

import concurrent.futures
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from clients.api import Api, ApiError
from clients.live import Live
from evaluation.server_process import ServerProcess
from evaluation.wait import until

QUESTION = "What do you see?"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path], talkative: Path
) -> Iterator[ServerProcess]:
    """A server that has watched the clip as `cam`, and whose answers are long."""
    arguments = ["--allow-files", "/", "--model", str(talkative)]
    with ServerProcess(arguments, data=tmp_path_factory.mktemp("survival") / "data") as running:
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


def in_flight(url: str, count: int) -> bool:
    return f"omnilive_questions_in_flight {count:.1f}" in httpx.get(f"{url}/metrics").text


def ask_by_sse(url: str, tokens: int) -> list[str]:
    """Names of all events that one question's response held, to its end."""
    body = {"question": QUESTION, "max_tokens": tokens, "stream": True}
    response = httpx.post(f"{url}/v1/streams/cam/questions", json=body, timeout=60)
    assert response.status_code == 200
    return [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]


def ask_by_json(url: str, tokens: int) -> str:
    """How one question ended: an answer's `done`, or an error's code."""
    with Api(url) as api:
        try:
            return "done" if api.ask("cam", QUESTION, max_tokens=tokens)["answer"] else "empty"
        except ApiError as error:
            return error.code


@pytest.mark.parametrize("stage", ["reasoning", "perception", "memory"])
def test_a_killed_stage_gives_each_open_question_one_end_and_comes_back(server: ServerProcess, stage: str) -> None:
    stages = server.stages()
    tokens = 4000
    if stage != "reasoning":
        # Stopped while the other one is killed: the questions are surely open then.
        tokens = 8
        stages["reasoning"].suspend()
    with concurrent.futures.ThreadPoolExecutor() as pool, Live(server.url, "cam") as live:
        live.ask("a1", QUESTION, max_tokens=tokens)
        streamed, whole = (pool.submit(ask, server.url, tokens) for ask in (ask_by_sse, ask_by_json))
        until(lambda: in_flight(server.url, 3), 10, "three questions in flight")
        stages[stage].kill()
        until(lambda: not is_ready(server.url), 5, "a server that knows of the loss")
        if stage != "reasoning":
            stages["reasoning"].resume()
        reply, events, code = live.wait("a1", 60), streamed.result(60), whole.result(60)
        until(lambda: is_ready(server.url), 60, "a server that is ready again")
        live.ask("a2", QUESTION, max_tokens=2)
        assert live.wait("a2").answer["usage"]["output_tokens"] == 2
        assert (len(reply.ends), reply.late) == (1, 0)
    assert [name for name in events if name != "delta"] == events[-1:]
    if stage == "reasoning":
        assert (events[-1], code) == ("error", "process_lost")
        assert reply.ends[0]["error"]["code"] == "process_lost"
    else:
        # The now window is all that these questions need.
        assert (events[-1], code, reply.ends[0]["type"]) == ("done", "done", "done")
    assert in_flight(server.url, 0)


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
