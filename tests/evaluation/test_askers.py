"""Askers know what each question came to, at any order of what the server says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from evaluation.askers import ask_at_rate, askers, keep_asking


async def answer(socket: ServerConnection) -> None:
    """Plays a server: answers by what the question says."""
    async for text in socket:
        asked = json.loads(text)
        name = asked.get("id")
        said: list[Any] = []
        match asked.get("question"):
            case "refuse":
                said.append({"type": "error", "id": name, "error": {"code": "busy"}, "retry_after_s": 7})
            case "hang up":
                await socket.close()
                return
            case str():
                said.append({"type": "state", "stream": {}})
                said += [{"type": "delta", "id": name, "text": "A"}, {"type": "done", "id": name, "result": {"n": 1}}]
        for message in said:
            await socket.send(json.dumps(message))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serve(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_each_question_has_its_own_end(url: str) -> None:
    async with askers(url, ["cam", "yard"]) as (one, other):
        answered, refused = await asyncio.gather(one.ask("What?", max_tokens=1), one.ask("refuse"))
        lost, too = await asyncio.gather(other.ask("hang up"), one.ask("And?"))
    assert (answered.ok, answered.result, too.ok) == (True, {"n": 1}, True)
    assert answered.at_s < answered.first_s <= answered.end_s
    assert (refused.code, refused.retry_after_s, refused.first_s) == ("busy", 7, refused.end_s)
    assert lost.code == "connection_lost"


async def test_asking_at_a_rate_does_not_wait_for_answers(url: str) -> None:
    async with askers(url, ["cam"] * 2) as asking:
        found = await ask_at_rate(asking, 200.0, 0.1, "What?")
        kept = await keep_asking(asking[0], time.monotonic(), "What?")
    assert [one.ok for one in found] == [True] * 20
    assert kept == []
