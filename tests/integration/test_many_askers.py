"""Eight people ask four streams at once: what each gets, and what becomes of it when a process is killed."""

import concurrent.futures
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.api import Api, ApiError
from clients.live import Live
from evaluation.server_process import ServerProcess
from evaluation.wait import until

pytestmark = pytest.mark.alone

STREAMS = ("door", "yard", "hall", "roof")
QUESTIONS = ("What do you see?", "What happened 2 seconds ago?")
PEOPLE = [(stream, question) for question in QUESTIONS for stream in STREAMS]
TOKENS = 24
LONG = 4000
PATIENT: dict[str, Any] = {"deadline_ms": 600_000}
"""Nobody is refused since the machine that tests is slow."""


@dataclass(frozen=True)
class End:
    """How a question ended. kind: `done` or the error's code; ends: how many ends there were."""

    kind: str
    text: str
    tokens: int
    ends: int = 1


Ask = Callable[[str, str, str, int], End]


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path], talkative: Path
) -> Iterator[ServerProcess]:
    """A server that has watched four clips, and whose answers are long and exact."""
    arguments = ["--allow-files", "/", "--model", str(talkative)]
    # One thread each: eight people, four processes and this one share what may be two cores.
    one_each = {f"OMNILIVE_{stage}__THREADS": "1" for stage in ("PERCEPTION", "MEMORY", "REASONING")}
    exact = {**one_each, "OMNILIVE_REASONING__DTYPE": "float32"}
    with ServerProcess(arguments, tmp_path_factory.mktemp("askers") / "data", exact) as running:
        with Api(running.url) as api:
            watch_all(api, make_clip())
        yield running


def watch_all(api: Api, clip: Path) -> None:
    for n, stream in enumerate(STREAMS):
        # The same clip at other times: each stream's prompts are its own.
        source = {"url": clip.as_uri(), "pace": "fast", "start": f"2026-01-0{n + 1}T0{n}:00:00Z"}
        api.add(stream, source, prompt=f"This is the {stream}.")
    for stream in STREAMS:
        until(lambda stream=stream: api.stream(stream)["state"] == "ended", 120, "the end of a file")  # type: ignore[misc]


def by_websocket(url: str, stream: str, question: str, tokens: int) -> End:
    with Live(url, stream) as live:
        live.ask("a1", question, max_tokens=tokens, **PATIENT)
        reply = live.wait("a1", 60)
        live.ask("a2", "", max_tokens=1)
        # Refused, and behind all that was said of the first one.
        live.wait("a2", 60)
    end = reply.ends[0]
    counted = len(reply.ends) + reply.late
    if end["type"] == "error":
        return End(end["error"]["code"], reply.text, 0, counted)
    return End("done", reply.text, end["result"]["usage"]["output_tokens"], counted)


def by_sse(url: str, stream: str, question: str, tokens: int) -> End:
    body = {"question": question, "max_tokens": tokens, "stream": True, **PATIENT}
    response = httpx.post(f"{url}/v1/streams/{stream}/questions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    blocks = [block.split("\n") for block in response.text.split("\n\n") if block.startswith("event: ")]
    ends = [block for block in blocks if block[0] != "event: delta"]
    assert blocks[-1] == ends[0]
    data: dict[str, Any] = httpx.Response(200, text=ends[0][1].removeprefix("data: ")).json()
    if ends[0][0] == "event: error":
        return End(data["error"]["code"], "", 0, len(ends))
    return End("done", data["answer"], data["usage"]["output_tokens"], len(ends))


def by_json(url: str, stream: str, question: str, tokens: int) -> End:
    with Api(url) as api:
        try:
            answer = api.ask(stream, question, max_tokens=tokens, **PATIENT)
        except ApiError as error:
            return End(error.code, "", 0)
    return End("done", answer["answer"], answer["usage"]["output_tokens"])


DOORS: Sequence[Ask] = (by_websocket, by_sse, by_json)


def in_flight(url: str, count: int) -> bool:
    return f"omnilive_questions_in_flight {count:.1f}" in httpx.get(f"{url}/metrics").text


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz").status_code == 200


class Crowd:
    """All eight ask, each at one of the doors; `ends` waits for what they get."""

    def __init__(self, url: str, tokens: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(len(PEOPLE))
        doors = [DOORS[n % len(DOORS)] for n in range(len(PEOPLE))]
        asking = zip(doors, PEOPLE, strict=True)
        self._asked = [self._pool.submit(door, url, *person, tokens) for door, person in asking]
        until(lambda: in_flight(url, len(PEOPLE)), 20, "eight questions in flight")

    def ends(self) -> list[End]:
        ends = [one.result(60) for one in self._asked]
        self._pool.shutdown()
        return ends


def test_each_gets_what_it_would_have_got_alone(house: ServerProcess) -> None:
    alone = [by_json(house.url, *person, TOKENS) for person in PEOPLE]
    reasoning = house.stages()["reasoning"]
    reasoning.suspend()
    try:
        crowd = Crowd(house.url, TOKENS)
    finally:
        reasoning.resume()
    assert crowd.ends() == alone
    # Long answers that tell the streams and the questions apart: equal by chance they are not.
    assert len({end.text for end in alone}) == len(PEOPLE)
    assert sum(end.tokens for end in alone) > 4 * len(PEOPLE)
    assert {end.kind for end in alone} == {"done"}


@pytest.mark.parametrize("stage", ["perception", "memory", "reasoning"])
def test_a_killed_stage_gives_each_of_them_one_end(house: ServerProcess, stage: str) -> None:
    stages = house.stages()
    with ExitStack() as later:
        if stage != "reasoning":
            # Stopped while the other one is killed: the questions are surely open then.
            stages["reasoning"].suspend()
            later.callback(stages["reasoning"].resume)
        crowd = Crowd(house.url, LONG if stage == "reasoning" else 4)
        stages[stage].kill()
        until(lambda: not is_ready(house.url), 10, "a server that knows of the loss")
    ends = crowd.ends()
    assert [end.ends for end in ends] == [1] * len(PEOPLE)
    if stage == "reasoning":
        assert {end.kind for end in ends} == {"process_lost"}
    else:
        # Who asks of now needs neither; memory may be lost to who asks of the past.
        assert {end.kind for end in ends[: len(STREAMS)]} == {"done"}
        assert {end.kind for end in ends} <= {"done", "process_lost"}
    assert in_flight(house.url, 0)
    until(lambda: is_ready(house.url), 60, "a server that is ready again")
    assert by_json(house.url, *PEOPLE[0], 2).kind == "done"


def test_a_killed_server_leaves_none_of_them_waiting(house: ServerProcess) -> None:
    """The last of this module: nobody is there to say how a question ended, but each connection ends at once."""
    crowd = Crowd(house.url, LONG)
    os.kill(house.pid, signal.SIGKILL)
    ended = [one.exception(10) or one.result() for one in crowd._asked]
    assert len(ended) == len(PEOPLE)
    assert all(isinstance(one, ApiError | httpx.HTTPError) or one.kind == "connection_lost" for one in ended)
