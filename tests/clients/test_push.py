"""Pushing a file over a websocket that is lost on the way: it is made again, and goes on from the last keyframe."""

import asyncio
import json
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from clients import async_live
from clients import push as push_module
from clients.api import ApiError
from clients.async_live import AsyncLive, connections
from clients.live import ON_ARRIVAL
from clients.media import MediaUnit
from clients.push import DeviceSource, FileSource, push

Handler = Callable[[ServerConnection], Any]


@asynccontextmanager
async def serving(handler: Handler, refuse: list[int] | None = None) -> AsyncIterator[str]:
    """The URL of a server; `refuse`: statuses of the first upgrades."""
    refusals = list(refuse or [])

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/v1/streams/cam/live"
        if not refusals:
            return None
        error = {"code": "stream_not_found", "message": "there is no stream of this id"}
        return connection.respond(refusals.pop(0), json.dumps({"error": error}))

    async with serve(handler, "127.0.0.1", 0, process_request=answer) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Numbered:
    """Ten units, a keyframe every four."""

    def __init__(self) -> None:
        self.tracks = {0: ("h264", {})}

    def units(self, from_us: int) -> Iterator[MediaUnit]:
        return (MediaUnit(0, n * 1000, b"unit", n % 4 == 0) for n in range(10) if n * 1000 >= from_us)


async def test_sending_goes_on_from_the_last_keyframe() -> None:
    heard: list[list[Any]] = []

    async def breaking(socket: ServerConnection) -> None:
        heard.append([])
        async for message in socket:
            mine = heard[-1]
            mine.append(
                json.loads(message)["codec"] if isinstance(message, str) else struct.unpack(">Bq", message[:9])[1]
            )
            if len(heard) == 1 and len(mine) == 7:
                socket.transport.abort()
                return

    told: list[str] = []
    async with serving(breaking) as url:
        assert await push(Numbered(), "cam", url, real=True, told=told.append) >= 10
    first, second = heard
    assert first == ["h264", 0, 1000, 2000, 3000, 4000, 5000]
    # What the client had sent before it learned of the loss decides from which of the keyframes it goes on.
    assert second[0] == "h264"
    assert second[1] in (4000, 8000)
    assert second[-1] == 9000
    assert told == ["the connection was lost; trying again", "connected again"]


async def test_a_refusal_for_good_is_told_at_once() -> None:
    async with serving(lambda socket: None, refuse=[404]) as url:
        with pytest.raises(ApiError, match="no stream of this id"):
            await push(Numbered(), "cam", url, real=False)


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(ApiError) as refused:
        await push(Numbered(), "cam", "http://127.0.0.1:9", real=False)
    assert refused.value.code == "unreachable"


async def answering(socket: ServerConnection) -> None:
    async for message in socket:
        content = json.loads(message)
        name = content.get("id")
        if name is None:
            await socket.send(json.dumps({"type": "state", "stream": {"id": "cam"}}))
        elif content["question"] == "bad":
            await socket.send(
                json.dumps({"type": "error", "id": name, "error": {"code": "process_lost", "message": "x"}})
            )
        elif content["question"] == "gone":
            socket.transport.abort()
        else:
            await socket.send(json.dumps({"type": "delta", "id": name, "text": "at the top"}))
            await socket.send(json.dumps({"type": "done", "id": name, "result": {"answer": "at the top"}}))


async def test_a_question_has_pieces_and_one_end() -> None:
    async with serving(answering) as url:
        async for live in connections("cam", url):
            await live.subscribe("state")
            assert [piece async for piece in live.ask("Where?")] == ["at the top", {"answer": "at the top"}]
            async for message in live.told():
                assert message["type"] == "state"
                break
            for question, code in (("bad", "process_lost"), ("gone", "connection_lost")):
                with pytest.raises(ApiError) as refused:
                    [piece async for piece in live.ask(question)]
                assert refused.value.code == code
            break


async def test_a_server_that_does_not_read_holds_the_sender_back() -> None:
    reading = asyncio.Event()

    async def slow(socket: ServerConnection) -> None:
        await asyncio.wait_for(reading.wait(), 20)
        async for _ in socket:
            pass

    async with serving(slow) as url:
        async for live in connections("cam", url):
            sent = 0

            async def send_all(live: AsyncLive = live) -> None:
                nonlocal sent
                for _ in range(64):
                    await live.send(0, bytes(2**18))
                    sent += 1

            sending = asyncio.create_task(send_all())
            done, _ = await asyncio.wait({sending}, timeout=1)
            assert not done
            assert sent < 64
            reading.set()
            await sending
            break


def test_a_file_tells_its_tracks(make_clip: Any, tmp_path: Path) -> None:
    source = FileSource(make_clip())
    assert source.tracks == {0: ("h264", {})}
    units = list(source.units(0))
    assert len(list(source.units(units[-1].pts_us))) == 1
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(ApiError, match=r"no\.mp4 cannot be read"):
        FileSource(tmp_path / "no.mp4")


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(ApiError) as refused:
        next(DeviceSource("webcam", 2.0, "/dev/none").units(0))
    assert refused.value.code == "source_not_found"


def test_a_webcam_gives_pictures_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test picture in the place of a camera: as many frames as anybody takes."""
    monkeypatch.setitem(push_module._DEVICES, (sys.platform, "webcam"), ("lavfi", "testsrc2=size=128x96:rate=30"))
    began = time.monotonic()
    units = list(islice(DeviceSource("webcam", 20.0).units(0), 4))
    assert time.monotonic() - began >= 2 / 20
    assert {unit.pts_us for unit in units} == {ON_ARRIVAL}
    assert len({unit.data for unit in units}) == 4
    assert all(unit.data.startswith(b"\xff\xd8") and unit.keyframe for unit in units)


async def test_what_nobody_reads_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_live, "_MOST_UNREAD", 3)

    async def telling(socket: ServerConnection) -> None:
        for n in range(5):
            await socket.send(json.dumps({"type": "state", "stream": {"n": n}}))
        await socket.close()

    async with serving(telling) as url:
        async for live in connections("cam", url):
            await live._listener
            assert [message["stream"]["n"] async for message in live.told()] == [2, 3, 4]
            assert live.missed == 2
            break


async def test_a_frame_comes_with_its_picture() -> None:
    async def showing(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "frame", "time": "2026-01-01T00:00:00Z"}))
        await socket.send(b"\xff\xd8 a picture")
        await socket.close()

    async with serving(showing) as url:
        async for live in connections("cam", url):
            [frame] = [message async for message in live.told()]
            assert frame == {"type": "frame", "time": "2026-01-01T00:00:00Z", "jpeg": b"\xff\xd8 a picture"}
            break
