"""The hub between doors and stages: restored, declared and reopened streams; who waits for what."""

import asyncio
from typing import Any

import msgspec
import pytest

from memory.messages import DropMemory, MemoryOpened, OpenMemory, StreamRestored, UpdateMemory
from perception.messages import CloseStream, Fault, OpenStream, Percept
from server.core import Waiters
from server.errors import RequestError
from server.life import StreamLife
from server.logs import redactor
from server.streams import Declaration, Registry

PUSH = {"push": True, "pace": "real"}
STORED = Declaration(
    id="door", tenant="default", created_wall_us=1, start_wall_us=2, url="rtsp://u:pw-stored-1@camera/1", sample_fps=3.0
)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_streams_on_disk_go_on_where_they_ended(make_rig: Any) -> None:
    rig = make_rig(start=False)
    rig.host.ended_us = 77_000_000
    rig.host.say("memory", StreamRestored("default/door", STORED.json(), 77_000_000))
    rig.host.start()
    await settle()
    opened = rig.host.of(OpenStream)
    assert [(one.stream, one.resume_us, one.start_wall_us, one.sample_fps) for one in opened] == [
        ("default/door", 77_000_000, 2, 3.0)
    ]
    entry = rig.hub.registry.find("default", "door")
    assert entry.can_answer
    assert entry.state == "connecting"
    assert "pw-stored-1" not in redactor.clean("it said pw-stored-1")


async def test_perception_is_told_only_what_memory_has_opened(make_rig: Any) -> None:
    rig = make_rig(start=False)
    rig.host.silent.add(OpenMemory)
    rig.host.say("memory", StreamRestored("default/door", STORED.json(), 5))
    for stage in ("perception", "memory", "reasoning"):
        rig.hub.on_ready(stage)
    await settle()
    # At a first start nothing was perceived since memory named the end, but its store is not open yet.
    assert rig.host.of(OpenStream) == []
    rig.host.say("memory", MemoryOpened("default/door", 6, None))
    assert [one.resume_us for one in rig.host.of(OpenStream)] == [6]


@pytest.mark.parametrize("declaration", ["", "{}", "[1]", STORED.json().replace('"door"', '"other"')])
async def test_a_damaged_declaration_touches_nothing_else(make_rig: Any, declaration: str) -> None:
    rig = make_rig(start=False)
    rig.host.say("memory", StreamRestored("default/door", declaration, 5))
    rig.host.say("memory", StreamRestored("default/gate", msgspec.structs.replace(STORED, id="gate").json(), 5))
    rig.host.start()
    await settle()
    assert [one.stream for one in rig.host.of(OpenStream)] == ["default/gate"]


async def test_a_file_that_is_allowed_no_more_is_not_opened(make_rig: Any) -> None:
    rig = make_rig(start=False)
    stored = msgspec.structs.replace(STORED, url="file:///somewhere/else.mp4")
    rig.host.say("memory", StreamRestored("default/door", stored.json(), 5))
    rig.host.start()
    await settle()
    async with rig.client() as client:
        stream = (await client.get("/v1/streams/door")).json()
    assert (stream["state"], stream["error"]["code"]) == ("failed", "source_not_allowed")
    assert rig.host.of(OpenStream) == []


async def test_declared_streams_are_added_once(make_rig: Any) -> None:
    declared = [
        {"id": "door", "source": {"url": "rtsp://u:pw-new-22@camera/2"}, "sample": {"fps": 1.0}},
        {"id": "yard", "source": PUSH},
    ]
    rig = make_rig(start=False, streams=declared)
    rig.host.say("memory", StreamRestored("default/door", STORED.json(), 50))
    rig.host.start()
    await settle()
    opened = {one.stream: one for one in rig.host.of(OpenStream)}
    assert set(opened) == {"default/door", "default/yard"}
    # The configuration says what it is now; the stored memory keeps its clock.
    assert opened["default/door"].source.url == "rtsp://u:pw-new-22@camera/2"
    assert (opened["default/door"].start_wall_us, opened["default/door"].sample_fps) == (2, 1.0)
    updated = [one for one in rig.host.of(UpdateMemory) if one.stream == "default/door"]
    assert "camera/2" in updated[-1].declaration
    rig.host.lose("memory")
    rig.host.come_back("memory")
    await settle()
    assert len(rig.hub.registry) == 2


async def test_a_deleted_declared_stream_stays_away_until_the_next_start(make_rig: Any) -> None:
    rig = make_rig(streams=[{"id": "yard", "source": PUSH}])
    await settle()
    async with rig.client() as client:
        assert (await client.delete("/v1/streams/yard")).status_code == 204
        rig.host.lose("memory")
        rig.host.come_back("memory")
        assert (await client.get("/v1/streams/yard")).status_code == 404


async def test_a_new_perception_resumes_behind_what_memory_has(rig: Any) -> None:
    await rig.add()
    assert len(rig.host.of(OpenStream)) == 1
    rig.host.lose("perception")
    async with rig.client() as client:
        assert (await client.get("/v1/streams/cam")).json()["state"] == "offline"
    rig.host.ended_us = 42
    rig.host.come_back("perception")
    await settle()
    assert [one.resume_us for one in rig.host.of(OpenStream)] == [0, 42]


async def test_a_new_memory_is_told_its_streams_while_perception_goes_on(rig: Any) -> None:
    await rig.add()
    rig.host.lose("memory")
    rig.host.come_back("memory")
    await settle()
    assert len(rig.host.of(OpenMemory)) == 2
    assert len(rig.host.of(OpenStream)) == 1
    # What it said on coming back is old by the time that perception dies.
    rig.host.lose("perception")
    rig.host.ended_us = 99
    rig.host.come_back("perception")
    await settle()
    assert rig.host.of(OpenStream)[-1].resume_us == 99


async def test_a_store_that_does_not_open_fails_its_stream_alone(make_rig: Any) -> None:
    rig = make_rig(start=False)
    rig.host.say("memory", StreamRestored("default/door", STORED.json(), 5))
    rig.host.open_fault = Fault("storage_full", "free some space")
    rig.host.start()
    await settle()
    entry = rig.hub.registry.find("default", "door")
    assert (entry.state, entry.error.code) == ("failed", "storage_full")


async def test_messages_about_streams_that_are_gone_find_nobody(rig: Any) -> None:
    key = "default/none"
    rig.host.say("memory", MemoryOpened(key, 0, None))
    rig.host.see_frame(key)
    rig.hub.on_message("memory", object())
    assert len(rig.hub.registry) == 0


async def test_a_failed_delete_leaves_the_stream_running(rig: Any) -> None:
    await rig.add()
    rig.host.silent.add(DropMemory)
    async with rig.client() as client:
        deleting = asyncio.create_task(client.delete("/v1/streams/cam"))
        while not rig.host.of(DropMemory):
            await asyncio.sleep(0)
        assert (await client.get("/v1/streams/cam")).status_code == 404
        rig.host.lose("memory")
        assert (await deleting).status_code == 503
        rig.host.come_back("memory")
        await settle()
        assert (await client.get("/v1/streams/cam")).status_code == 200
    assert isinstance(rig.host.of(CloseStream)[0], CloseStream)
    assert len(rig.host.of(OpenStream)) == 2


async def test_whoever_waits_for_a_dead_stage_is_told() -> None:
    waiters = Waiters()
    lost = waiters.expect(("Request", 1), "memory")
    both = waiters.expect(("Barrier", 2), "perception", "memory")
    kept = waiters.expect(("Request", 3), "reasoning")
    waiters.lose("memory")
    for future in (lost, both):
        with pytest.raises(RequestError) as caught:
            await future
        assert caught.value.code == "process_lost"
    assert waiters.resolve(("Request", 3), "x")
    assert await kept == "x"
    assert not waiters.resolve(("Request", 3), "again")


async def test_a_stage_that_says_nothing_is_not_waited_for_without_end(rig: Any) -> None:
    rig.host.silent.add(DropMemory)
    with pytest.raises(RequestError) as caught:
        await rig.hub.core.call("memory", ("Dropped", 1), DropMemory("default/x", 1), 0.01)
    assert caught.value.code == "deadline_exceeded"
    assert not rig.hub.core.waiters.resolve(("Dropped", 1), None)


async def test_lanes_are_used_again(make_rig: Any) -> None:
    registry = Registry(2)
    first = registry.add(msgspec.structs.replace(STORED, id="a"), None)
    second = registry.add(msgspec.structs.replace(STORED, id="b"), None)
    assert (first.lane, second.lane) == (0, 1)
    registry.remove(first)
    assert registry.add(msgspec.structs.replace(STORED, id="c"), None).lane == 0
    with pytest.raises(RequestError) as caught:
        registry.add(msgspec.structs.replace(STORED, id="d"), None)
    assert caught.value.code == "too_many_streams"


def test_a_declaration_survives_its_storage() -> None:
    assert msgspec.json.decode(STORED.json(), type=Declaration) == STORED
    assert STORED.spec.url == STORED.url
    newer = STORED.json()[:-1] + ',"invented_later":1}'
    assert msgspec.json.decode(newer, type=Declaration) == STORED


async def test_now_of_a_camera_is_the_wall_clock(make_rig: Any) -> None:
    rig = make_rig(wall_us=10_000_000)
    await rig.add("cam", url="rtsp://camera/1")
    entry = rig.hub.registry.find("default", "cam")
    rig.host.on = None
    rig.hub.on_percept(Percept("default/cam", 31_000_000, 0, b"", b"", False, 0))
    # Frames that a camera's clock puts ahead are not in the future.
    assert entry.clock(rig.hub.core.clocks).now_us == 31_000_000
    assert isinstance(rig.hub.life, StreamLife)
