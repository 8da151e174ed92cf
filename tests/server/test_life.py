"""What is promised of changes and ends: on disk, in bounded time, with the right error."""

import asyncio
from typing import Any

import msgspec
import pytest

from memory.messages import Refused, Updated, UpdateMemory
from perception.messages import CloseStream, Fault, SetSampling
from reasoning.messages import Ask, Cancel
from server import life
from server.errors import RequestError


@pytest.fixture
def timeouts(rig: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each message to a stage may be waited for."""
    given: list[float] = []
    call = rig.hub.core.call

    async def recorded(stage: Any, key: Any, message: Any, timeout_s: float) -> Any:
        given.append(timeout_s)
        return await call(stage, key, message, timeout_s)

    monkeypatch.setattr(rig.hub.core, "call", recorded)
    return given


async def test_a_deletion_has_one_deadline(rig: Any, timeouts: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.add()
    timeouts.clear()
    monkeypatch.setattr(life, "CLOSE_TIMEOUT_S", 0.05)
    rig.host.silent.add(CloseStream)
    async with rig.client() as client:
        assert (await client.delete("/v1/streams/cam")).status_code == 204
    closing, dropping, clearing = timeouts
    assert closing == 0.05
    assert clearing <= dropping <= life.DELETE_TIMEOUT_S - closing


async def test_a_deletion_does_not_wait_for_ever_for_another_change(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.add()
    monkeypatch.setattr(life, "DELETE_TIMEOUT_S", 0.01)
    entry = rig.hub.registry.find("default", "cam")
    async with rig.client() as client:
        async with entry.changing:
            late = await client.delete("/v1/streams/cam")
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert rig.host.of(CloseStream) == []
        assert (await client.get("/v1/streams/cam")).status_code == 200
        monkeypatch.undo()
        assert (await client.delete("/v1/streams/cam")).status_code == 204


async def test_a_change_is_acknowledged_when_it_is_on_disk(rig: Any) -> None:
    await rig.add()
    rig.host.silent.add(UpdateMemory)
    async with rig.client() as client:
        changing = asyncio.create_task(client.patch("/v1/streams/cam", json={"prompt": "look", "sample": {"fps": 1}}))
        while not rig.host.of(UpdateMemory):
            await asyncio.sleep(0)
        assert not changing.done()
        assert (await client.get("/v1/streams/cam")).json()["options"]["prompt"] is None
        assert rig.host.of(SetSampling) == []
        rig.host.say("memory", Updated(rig.host.of(UpdateMemory)[-1].request))
        assert (await changing).json()["options"]["prompt"] == "look"
        assert [one.sample_fps for one in rig.host.of(SetSampling)] == [1.0]


async def test_a_change_that_cannot_be_stored_is_taken_back(rig: Any) -> None:
    await rig.add()
    rig.host.silent.add(UpdateMemory)
    async with rig.client() as client:
        changing = asyncio.create_task(client.patch("/v1/streams/cam", json={"prompt": "look"}))
        while not rig.host.of(UpdateMemory):
            await asyncio.sleep(0)
        rig.host.say("memory", Refused(rig.host.of(UpdateMemory)[-1].request, Fault("storage_full", "free space")))
        refused = await changing
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_full")
        assert (await client.get("/v1/streams/cam")).json()["options"]["prompt"] is None
    assert '"prompt":null' in rig.host.of(UpdateMemory)[-1].declaration


async def test_questions_that_a_stopping_server_ends_may_be_asked_again(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = asyncio.create_task(client.post("/v1/streams/cam/questions", json={"question": "What?"}))
        while not rig.host.of(Ask):
            await asyncio.sleep(0)
        rig.hub.drain()
        await rig.hub.stop()
        ended = await asking
    assert (ended.status_code, ended.json()["error"]["code"]) == (503, "draining")
    assert ended.headers["retry-after"]
    assert [one.question_id for one in rig.host.of(Cancel)] == [rig.host.of(Ask)[0].question_id]


def test_a_live_client_hears_the_same_before_goodbye(live_rig: Any) -> None:
    rig, client = live_rig
    client.post("/v1/streams", json={"id": "cam", "source": {"push": True, "pace": "real"}})
    client.portal.call(rig.fill, "cam")
    rig.host.hold_answers = True
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        rig.host.wait_for(Ask)

        async def stop() -> None:
            await rig.hub.stop()
            rig.hub.sessions.close_all(1001)

        client.portal.call(stop)
        heard = [socket.receive() for _ in range(3)]
    assert [one["type"] for one in heard] == ["websocket.send", "websocket.send", "websocket.close"]
    assert '"draining"' in heard[1]["text"]
    assert heard[2]["code"] == 1001


@pytest.mark.parametrize("content", [2**64, -(2**63) - 1, "\ud800"])
async def test_what_cannot_be_encoded_is_an_error_of_its_request(rig: Any, content: Any) -> None:
    await rig.add()
    rig.host.send = lambda stage, message: bool(msgspec.msgpack.encode(content))
    with pytest.raises(RequestError) as caught:
        await rig.hub.core.call("memory", ("Request", 7), object(), 10)
    assert caught.value.code == "invalid_field"
    assert not rig.hub.core.waiters.resolve(("Request", 7), None), "nobody waits for what was never sent"
    async with rig.client() as client:
        answer = await client.post("/v1/streams/cam/questions", json={"question": "What?"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_field")
    assert len(rig.hub.questions) == 0
