"""The configuration, read again: what holds at once, what waits for the next start, what a broken one changes."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from memory.messages import OpenMemory, UpdateMemory
from perception.messages import Barrier, CloseStream, OpenStream, SetSampling
from server.config import Config, load_config
from server.errors import StartError
from server.reloading import AT_START, Reloading, changes, taken_over

DOOR = {"id": "door", "source": {"url": "rtsp://user:secret@127.0.0.1/door"}}
GATE = {"id": "gate", "source": {"url": "rtsp://127.0.0.1/gate"}}
DESK = {"id": "desk", "source": {"push": True}}


def with_url(stream: dict[str, Any], url: str) -> dict[str, Any]:
    return {**stream, "source": {"url": url}}


@pytest.fixture
def reload(make_rig: Callable[..., Any], tmp_path: Any) -> Any:
    """A rig that has started with some flags, and a call that has it read others."""

    class Reload:
        def __init__(self) -> None:
            self.rig: Any = None
            self.limits: list[Any] = []

        def start(self, **flags: Any) -> Any:
            self.rig = make_rig(**flags)
            return self.rig

        def read(self, **flags: Any) -> Config:
            more = {"data": str(tmp_path / "data"), "allow_files": [str(self.rig.files)]}
            return load_config({**more, **flags}, {}, None)

        async def __call__(self, **flags: Any) -> None:
            await Reloading(self.rig.hub, lambda: self.read(**flags), self.limits.append).once()

        async def urls(self) -> dict[str, Any]:
            async with self.rig.client() as client:
                streams = (await client.get("/v1/streams")).json()["streams"]
            return {one["id"]: one["source"]["url"] for one in streams}

    return Reload()


async def test_cameras_are_added_changed_and_left(reload: Any, caplog: pytest.LogCaptureFixture) -> None:
    rig = reload.start(streams=[DOOR, GATE])
    await asyncio.sleep(0)
    rig.host.sent.clear()
    with caplog.at_level(logging.INFO):
        await reload(streams=[with_url(DOOR, "rtsp://127.0.0.1/new"), DESK])
    assert await reload.urls() == {"desk": None, "door": "rtsp://127.0.0.1/new", "gate": "rtsp://127.0.0.1/gate"}
    assert [one.stream for one in rig.host.of(CloseStream)] == ["default/door"]
    opened = {one.stream: getattr(one.source, "url", None) for one in rig.host.of(OpenStream)}
    assert opened == {"default/door": "rtsp://127.0.0.1/new", "default/desk": None}
    assert "streams added desk, changed door, refused none" in caplog.text
    assert "still watched until deleted: gate" in caplog.text
    assert "secret" not in caplog.text


async def test_another_source_is_opened_behind_all_of_the_old_one(reload: Any) -> None:
    rig = reload.start(streams=[DOOR])
    await asyncio.sleep(0)
    start = rig.host.of(OpenStream)[-1].start_wall_us
    rig.host.see_frame("default/door", 7_000_000)
    rig.host.ended_us = 7_000_000
    rig.host.sent.clear()
    await reload(streams=[with_url(DOOR, "rtsp://127.0.0.1/new")])
    kinds = [type(one) for _, one in rig.host.sent]
    assert [kind for kind in kinds if kind in (UpdateMemory, CloseStream, OpenMemory)][:3] == [
        UpdateMemory, CloseStream, OpenMemory,
    ]  # fmt: skip
    assert [one.stream for one in rig.host.pushed if isinstance(one, Barrier)] == ["default/door"]
    await asyncio.sleep(0)
    [opened] = rig.host.of(OpenStream)
    assert (opened.resume_us, opened.start_wall_us) == (7_000_000, start)


async def test_options_alone_leave_the_source_open(reload: Any) -> None:
    rig = reload.start(streams=[DOOR])
    await asyncio.sleep(0)
    await reload(streams=[{**DOOR, "sample": {"fps": 5}}])
    assert rig.host.of(CloseStream) == []
    assert [one.sample_fps for one in rig.host.of(SetSampling)] == [5.0]
    rig.host.sent.clear()
    await reload(streams=[{**DOOR, "sample": {"fps": 5}}])
    assert rig.host.sent == []


async def test_a_push_stream_stays_what_its_senders_know(reload: Any, caplog: pytest.LogCaptureFixture) -> None:
    rig = reload.start(streams=[DESK])
    await asyncio.sleep(0)
    rig.host.sent.clear()
    await reload(streams=[with_url(DESK, "rtsp://127.0.0.1/desk")])
    assert rig.host.of(CloseStream) == []
    assert await reload.urls() == {"desk": None}
    assert "only at the next start" in caplog.text


async def test_limits_hold_for_the_next_request(reload: Any, caplog: pytest.LogCaptureFixture) -> None:
    rig = reload.start()
    await rig.add()
    await reload(limits={"question_bytes": 16, "body_bytes": 1024, "streams": 9, "deadline_ms": 5})
    assert [one.body_bytes for one in reload.limits] == [1024]
    async with rig.client() as client:
        asked = await client.post("/v1/streams/cam/questions", json={"question": "x" * 17})
        assert (asked.status_code, asked.json()["error"]["code"]) == (413, "too_large")
        large = await client.post("/v1/streams/cam/questions", json={"question": "x" * 2000})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
        shown = (await client.get("/v1/server")).json()["limits"]
        assert (shown["question_bytes"], shown["streams"]) == (16, 64)
        assert 'omnilive_limit{name="question_bytes"} 16.0' in (await client.get("/metrics")).text
    assert "taken over only at the next start: limits.streams" in caplog.text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"streams": [DOOR, DOOR]}, "declared twice"),
        ({"streams": [with_url(DOOR, "http://127.0.0.1/")]}, "source.url must be"),
    ],
)
async def test_a_bad_configuration_changes_nothing(reload: Any, flags: dict[str, Any], said: str) -> None:
    rig = reload.start(streams=[DOOR])
    await asyncio.sleep(0)
    before = rig.hub.core.config
    with pytest.raises(StartError, match=said):
        await reload(limits={"questions": 1}, **flags)
    assert rig.hub.core.config is before
    assert (await reload.urls(), reload.limits) == ({"door": "rtsp://127.0.0.1/door"}, [])


async def test_what_cannot_be_read_is_told_and_asked_for_again(reload: Any, caplog: pytest.LogCaptureFixture) -> None:
    rig = reload.start()
    reads: list[Callable[[], Config]] = [lambda: reload.read(nonsense=1), lambda: reload.read(streams=[GATE])]
    reloading = Reloading(rig.hub, lambda: reads.pop(0)(), reload.limits.append)
    running = asyncio.create_task(reloading.run())
    reloading.ask()
    while "all settings stay as they were: unknown key nonsense" not in caplog.text:
        await asyncio.sleep(0)
    reloading.ask()
    while not await reload.urls():
        await asyncio.sleep(0)
    running.cancel()


def test_what_waits_for_the_next_start_is_named(tmp_path: Any) -> None:
    running = load_config({"data": str(tmp_path)}, {}, None)
    more = {"sample": {"fps": 5}, "host": "::1", "limits": {"load_s": 5, "questions": 3}}
    read = load_config({"data": str(tmp_path), **more}, {}, None)
    config = taken_over(running, read)
    assert set(running.limits.model_dump()) >= AT_START
    assert config.limits.questions == 3
    assert sorted(changes(config.model_dump(), read.model_dump())) == ["host", "limits.load_s", "sample.fps"]
