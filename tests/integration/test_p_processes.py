"""Bars P1, P2 and P5 on real processes: killed, stopped for a moment or for good, and left by their clients.

P3 and P8 have their own files in tests/server; P4 is tests/reasoning/test_local_engine.py; P6 test_serve.py and P7
test_survival.py, beside this one.
"""

import concurrent.futures
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest
from raw import address

pytestmark = pytest.mark.alone

STAGES = ("perception", "memory", "reasoning")
NOTICED_S, TOLD_S, BACK_S = 2.0, 3.0, 10.0
HUNG_S, REPLACED_S = 10.0, 20.0
PATIENCE_S = 90.0
"""For a machine that does something else besides: how quickly a stage is back is held by the long form."""


@pytest.fixture
def cam(server: Any, clip: Any, until: Any) -> Iterator[str]:
    """The address of a stream that has been watched."""
    with server.client() as client:
        body = {"id": "bars", "source": {"url": clip.as_uri(), "pace": "fast"}}
        assert client.post("/v1/streams", json=body).status_code == 201
        until(lambda: client.get("/v1/streams/bars").json()["state"] == "ended", 60)
        yield "/v1/streams/bars"
        client.delete("/v1/streams/bars")


@pytest.fixture(scope="module")
def clip(make_clip: Any) -> Any:
    return make_clip()


def process(server: Any, stage: str) -> psutil.Process:
    return psutil.Process(server.stages()[stage]["pid"])


def is_ready(server: Any) -> bool:
    with server.client() as client:
        return client.get("/readyz").status_code == 200


def ask(server: Any, path: str) -> tuple[int, str, float]:
    """Status, code and when, on the monotonic clock, a question ended."""
    with server.client() as client:
        response = client.post(f"{path}/questions", json={"question": "What?", "max_tokens": 4})
    code = response.json().get("error", {}).get("code", "")
    return response.status_code, code, time.monotonic()


def kill_with_a_question_open(server: Any, cam: str, stage: str, until: Any, back_s: float) -> None:
    reasoning = process(server, "reasoning")
    victim = process(server, stage)
    reasoning.suspend()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, server, cam)
        until(lambda: server.open_questions() == 1, 10)
        killed = time.monotonic()
        victim.kill()
        until(lambda: not is_ready(server), NOTICED_S)
        if stage != "reasoning":
            reasoning.resume()
        status, code, ended = asking.result(60)
    until(lambda: is_ready(server), back_s)
    if stage == "reasoning":
        assert (status, code) == (503, "process_lost")
        assert ended - killed <= TOLD_S
    else:
        assert status == 200, "the window is all that it needs"
    assert server.open_questions() == 0
    assert ask(server, cam)[0] == 200


@pytest.mark.parametrize("stage", STAGES)
def test_p1_a_killed_stage_is_noticed_told_of_and_replaced(server: Any, cam: str, until: Any, stage: str) -> None:
    kill_with_a_question_open(server, cam, stage, until, PATIENCE_S)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", STAGES)
def test_p1_twenty_times_each(server: Any, cam: str, until: Any, stage: str) -> None:
    for _ in range(20):
        kill_with_a_question_open(server, cam, stage, until, BACK_S)
        # A stage that is killed time and again before it was well is given up: that is another bar.
        time.sleep(6)


def test_p2_stages_that_are_stopped_for_a_moment_go_on(server: Any, cam: str, until: Any) -> None:
    before = server.stages()
    victims = [process(server, stage) for stage in STAGES]
    for one in victims:
        one.suspend()
    time.sleep(3)
    assert httpx.get(f"{server.url}/livez").status_code == 200
    for one in victims:
        one.resume()
    assert ask(server, cam)[0] == 200
    until(lambda: is_ready(server), 10)
    after = server.stages()
    for stage in STAGES:
        assert (after[stage]["pid"], after[stage]["restarts"]) == (before[stage]["pid"], before[stage]["restarts"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_p2_a_stage_that_is_stopped_for_good_is_replaced(server: Any, cam: str, until: Any, stage: str) -> None:
    victim = process(server, stage)
    began = time.monotonic()
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: not is_ready(server), HUNG_S)
    until(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE, REPLACED_S)
    until(lambda: is_ready(server), REPLACED_S - (time.monotonic() - began))
    assert ask(server, cam)[0] == 200


def leave_open_questions(server: Any, cam: str, until: Any, count: int) -> None:
    """Ask and hang up, all while none can be answered."""
    host, port = address(server.url)
    # None of them is refused for the time that those before it will take.
    body = b'{"question": "What?", "stream": true, "deadline_ms": 600000, "max_tokens": 1}'
    head = f"POST {cam}/questions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    reasoning = process(server, "reasoning")
    reasoning.suspend()
    try:
        with ExitStack() as held:
            for _ in range(count):
                one = held.enter_context(socket.create_connection((host, port), 10))
                one.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            until(lambda: server.open_questions() == count, 10)
        until(lambda: server.open_questions() == 0, 2)
    finally:
        reasoning.resume()


def test_p5_who_hangs_up_leaves_no_question_behind(server: Any, cam: str, until: Any) -> None:
    leave_open_questions(server, cam, until, 40)
    assert ask(server, cam)[0] == 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_p5_a_thousand_times(server: Any, cam: str, until: Any) -> None:
    for _ in range(20):
        leave_open_questions(server, cam, until, 50)
    assert ask(server, cam)[0] == 200
