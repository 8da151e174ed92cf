"""Streams over HTTP: every route, every error in the one shape."""

import asyncio
import json
from typing import Any

import pytest

from memory.messages import (
    DropMemory,
    Forget,
    MemoryStatus,
    OpenMemory,
    StreamRestored,
    UpdateMemory,
)
from perception.messages import (
    CloseStream,
    Fault,
    FileSource,
    OpenStream,
    PushSource,
    RtspSource,
    SetSampling,
    StreamStatus,
    WipeWindow,
)
from server.logs import redactor

PUSH = {"push": True, "pace": "real"}
JSON = {"Content-Type": "application/json"}


async def refused(client: Any, status: int, code: str, method: str, path: str, **request: Any) -> Any:
    response = await client.request(method, path, **request)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text
    error = response.json()["error"]
    assert set(error) == {"type", "code", "message", "param"}
    assert error["message"]
    assert "Traceback" not in response.text
    assert "0x" not in response.text
    if status in (429, 503, 507):
        assert int(response.headers["retry-after"]) >= 1
    return error


async def test_add_read_list_delete(rig: Any) -> None:
    async with rig.client() as client:
        response = await client.post("/v1/streams", json={"id": "cam", "source": PUSH})
        stream = response.json()
        assert response.status_code == 201
        assert stream["state"] == "offline"
        assert stream["source"] == {"url": None, "push": True, "pace": "real", "start": None}
        assert stream["memory"] == {"events": 0, "start": None, "end": None, "bytes": 0, "gaps": 0}
        assert stream["last_frame"] is stream["lag_ms"] is stream["size"] is stream["error"] is None
        assert (await client.get("/v1/streams/cam")).json()["id"] == "cam"
        listed = (await client.get("/v1/streams")).json()
        assert ([one["id"] for one in listed["streams"]], listed["next_cursor"]) == (["cam"], None)
        deleted = await client.delete("/v1/streams/cam")
        assert (deleted.status_code, deleted.content) == (204, b"")
        await refused(client, 404, "stream_not_found", "GET", "/v1/streams/cam")
        await refused(client, 404, "stream_not_found", "DELETE", "/v1/streams/cam")
    kinds = [type(message) for _, message in rig.host.sent]
    assert kinds.index(OpenMemory) < kinds.index(OpenStream) < kinds.index(CloseStream) < kinds.index(DropMemory)


async def test_what_the_stages_are_told(rig: Any) -> None:
    video = rig.files / "a b.mp4"
    video.write_bytes(b"x")
    async with rig.client() as client:
        for id, source in [
            ("rtsp", {"url": "rtsp://user:pw-7f3aZ%40q@camera:554/1?token=tok-9"}),
            ("file", {"url": f"file://{rig.files}/a%20b.mp4", "pace": "fast", "start": "2025-01-01T00:00:00Z"}),
            ("push", {"push": True, "pace": "fast"}),
        ]:
            body = {"id": id, "source": source, "sample": {"fps": 5}, "memory": {"max_event_s": 2.5}}
            response = await client.post("/v1/streams", json=body | {"prompt": "p", "time_zone": "Europe/Berlin"})
            assert response.status_code == 201, response.text
        shown = (await client.get("/v1/streams/rtsp")).text
    opened = {message.stream: message for message in rig.host.of(OpenStream)}
    assert opened["default/rtsp"].source == RtspSource("rtsp://user:pw-7f3aZ%40q@camera:554/1?token=tok-9")
    assert opened["default/file"].source == FileSource(str(video.resolve()), "fast")
    assert opened["default/file"].start_wall_us == 1_735_689_600_000_000
    assert opened["default/push"].source == PushSource("fast")
    assert {one.sample_fps for one in opened.values()} == {5.0}
    assert len({one.lane for one in opened.values()}) == 3
    memory = rig.host.of(OpenMemory)[0]
    assert (memory.options.max_event_us, memory.time_zone) == (2_500_000, "Europe/Berlin")
    for secret in ("pw-7f3aZ", "tok-9", "user"):
        assert secret not in shown
    assert redactor.clean("x pw-7f3aZ@q y") == "x *** y"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("", "invalid_json", None),
        ("{", "invalid_json", None),
        ("\ufeff{}", "invalid_field", "id"),
        ("null", "invalid_field", None),
        ("[]", "invalid_field", None),
        ("{}", "invalid_field", "id"),
        ('{"id": "a"}', "invalid_field", "source"),
        ('{"id": "a", "source": {}}', "invalid_field", "source"),
        ('{"id": "a", "source": {"push": false, "pace": "real"}}', "invalid_field", "source.push"),
        ('{"id": "a", "source": {"push": true, "pace": "slow"}}', "invalid_field", "source.pace"),
        ('{"id": "a", "source": {"push": true, "url": "rtsp://x", "pace": "real"}}', "invalid_field", "source"),
        ('{"id": "a", "source": {"push": true, "pace": "real", "start": "now"}}', "invalid_time", "source.start"),
        ('{"id": "", "source": {"push": true, "pace": "real"}}', "invalid_field", "id"),
        ('{"id": ".a", "source": {"push": true, "pace": "real"}}', "invalid_field", "id"),
        ('{"id": "a/b", "source": {"push": true, "pace": "real"}}', "invalid_field", "id"),
        ('{"id": "\\ud800", "source": {"push": true, "pace": "real"}}', "invalid_field", "id"),
        ('{"id": "a", "source": {"push": true, "pace": "real"}, "color": 1}', "invalid_field", "color"),
        ('{"id": "a", "source": {"push": true, "pace": "real"}, "sample": {"fps": 0}}', "invalid_field", "sample.fps"),
        ('{"id": "a", "source": {"push": true, "pace": "real"}, "sample": {"fps": NaN}}', "invalid_field", None),
        ('{"id": "a", "source": {"push": true, "pace": "real"}, "time_zone": "Mars/X"}', "invalid_field", "time_zone"),
        ('{"id": "a", "source": {"push": true, "pace": "real"}, "time_zone": "/etc"}', "invalid_field", "time_zone"),
        ('{"id": "a", "source": {"url": "http://x/"}}', "source_not_allowed", "source.url"),
        ('{"id": "a", "source": {"url": "file:///etc/passwd"}}', "source_not_allowed", "source.url"),
        ('{"id": "a", "source": {"url": "rtsp://cam", "pace": "real"}}', "invalid_field", "source.pace"),
    ],
)
async def test_bad_streams(rig: Any, body: str, code: str, param: str | None) -> None:
    async with rig.client() as client:
        response = await client.post("/v1/streams", content=body, headers=JSON)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, code), error
    if param is not None:
        assert error["param"] == param
    assert rig.host.of(OpenMemory) == []


async def test_hostile_json(rig: Any) -> None:
    bodies = [
        b'{"id": ' + b"9" * 10_000 + b"}", b"[" * 100_000, b'{"id": 1e400}', b"\xff\xfe{}", b'{"a": "\0"}',
        json.dumps({f"k{n}": 1 for n in range(50_000)}).encode(),
    ]  # fmt: skip
    async with rig.client() as client:
        for body in bodies:
            response = await client.post("/v1/streams", content=body, headers=JSON)
            assert response.status_code == 400
            assert response.json()["error"]["code"] in ("invalid_json", "invalid_field")
            assert len(response.content) < 2000


@pytest.mark.parametrize(
    "url",
    [
        "exec:ls", "pipe:1", "concat:a|b", "-i", "rtsp://", "rtsp:///x", "rtsp://cam:0/", "rtsp://cam:99999/",
        "rtsp://cam/a b", "rtsp://cam/\n", "rtsp://good\\@evil/", "RTMP://cam", "file://host/x", "file:///", "file:rel",
        "file:///tmp/%00", "http://[", "data:,x", "//cam/x", "rtsp://cam/\u00e9",
    ],
)  # fmt: skip
async def test_urls_that_are_no_cameras(rig: Any, url: str) -> None:
    async with rig.client() as client:
        body = {"id": "a", "source": {"url": url}}
        error = await refused(client, 400, "source_not_allowed", "POST", "/v1/streams", json=body)
        assert url == "rtsp://" or url not in error["message"]


async def test_files_only_below_allowed_folders(rig: Any, tmp_path: Any) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"x")
    (rig.files / "link.mp4").symlink_to(secret)
    (rig.files / "loop").symlink_to(rig.files / "loop")
    beside = tmp_path / "videos-not"
    beside.mkdir()
    async with rig.client() as client:
        for path in ("../secret.mp4", "link.mp4", "%2e%2e/secret.mp4", "", "loop/x", "../videos-not/a.mp4"):
            body = {"id": "a", "source": {"url": f"file://{rig.files}/{path}"}}
            await refused(client, 400, "source_not_allowed", "POST", "/v1/streams", json=body)
        body = {"id": "a", "source": {"url": f"file://{rig.files}/not-there-yet.mp4"}}
        assert (await client.post("/v1/streams", json=body)).status_code == 201


async def test_an_id_is_used_once_and_streams_are_counted(make_rig: Any) -> None:
    rig = make_rig(limits={"streams": 2})
    async with rig.client() as client:
        for id in ("a", "b"):
            assert (await client.post("/v1/streams", json={"id": id, "source": PUSH})).status_code == 201
        await refused(client, 409, "stream_exists", "POST", "/v1/streams", json={"id": "a", "source": PUSH})
        await refused(client, 429, "too_many_streams", "POST", "/v1/streams", json={"id": "c", "source": PUSH})
        await client.delete("/v1/streams/a")
        assert (await client.post("/v1/streams", json={"id": "c", "source": PUSH})).status_code == 201


async def test_a_stream_that_memory_cannot_open_is_not_there(rig: Any) -> None:
    rig.host.open_fault = Fault("storage_full", "the disk is full: free some space")
    async with rig.client() as client:
        await refused(client, 507, "storage_full", "POST", "/v1/streams", json={"id": "a", "source": PUSH})
        await refused(client, 404, "stream_not_found", "GET", "/v1/streams/a")
    assert [message.stream for message in rig.host.of(DropMemory)] == ["default/a"]


async def test_memory_that_dies_while_a_stream_is_added(rig: Any) -> None:
    rig.host.silent.add(OpenMemory)
    async with rig.client() as client:
        adding = asyncio.create_task(client.post("/v1/streams", json={"id": "a", "source": PUSH}))
        while not rig.host.of(OpenMemory):
            await asyncio.sleep(0)
        rig.host.lose("memory")
        response = await adding
        assert (response.status_code, response.json()["error"]["code"]) == (503, "process_lost")
    rig.host.say("memory", StreamRestored("default/a", "{}", 0))
    rig.host.come_back("memory")
    assert [message.stream for message in rig.host.of(DropMemory)] == ["default/a"]
    assert len(rig.hub.registry) == 0


async def test_pages_of_streams(rig: Any) -> None:
    async with rig.client() as client:
        for n in range(5):
            await client.post("/v1/streams", json={"id": f"s{n}", "source": PUSH})
        seen: list[str] = []
        cursor = None
        while True:
            page = (
                await client.get("/v1/streams", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            ).json()
            seen += [one["id"] for one in page["streams"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [f"s{n}" for n in range(5)]
        for limit in ("0", "-1", "1001", "1.5", "true", "x", "1e9"):
            error = await refused(client, 400, "invalid_field", "GET", f"/v1/streams?limit={limit}")
            assert error["param"] == "limit"


async def test_change_options(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        changed = await client.patch(
            "/v1/streams/cam", json={"sample": {"fps": 1}, "prompt": "look", "memory": {"max_age_s": 60}}
        )
        assert changed.json()["options"]["sample_fps"] == 1.0
        assert changed.json()["options"]["prompt"] == "look"
        assert rig.host.of(SetSampling)[0].sample_fps == 1.0
        update = rig.host.of(UpdateMemory)[-1]
        assert update.options.max_age_us == 60_000_000
        assert json.loads(update.declaration)["prompt"] == "look"
        back = await client.patch("/v1/streams/cam", json={"prompt": None, "memory": {"max_bytes": 2_000_000}})
        assert back.json()["options"]["prompt"] is None
        assert back.json()["options"]["max_age_s"] == 60
        assert (await client.patch("/v1/streams/cam", json={})).status_code == 200
        await refused(client, 400, "invalid_field", "PATCH", "/v1/streams/cam", json={"source": PUSH})
        await refused(client, 400, "invalid_field", "PATCH", "/v1/streams/cam", json={"sample": {"fps": "2"}})
        await refused(client, 404, "stream_not_found", "PATCH", "/v1/streams/none", json={})


async def test_how_a_stream_fares_is_shown(rig: Any) -> None:
    await rig.add()
    fault = Fault("camera_timeout", "the camera sends nothing: check it")
    status = StreamStatus(
        "default/cam", "frozen", fault, "h264", 640, 360, 100, 20, 5, 1, 29.97, 2.0, 30_000_000,
        rig.hub.core.clocks.monotonic_us(),
    )  # fmt: skip
    rig.host.say("perception", status)
    rig.host.say("memory", MemoryStatus("default/cam", 2, 10_000_000, 29_000_000, 5000, 1))
    async with rig.client() as client:
        stream = (await client.get("/v1/streams/cam")).json()
        text = (await client.get("/metrics")).text
    assert (stream["state"], stream["codec"], stream["size"]) == ("frozen", "h264", [640, 360])
    assert stream["frames"] == {"received": 100, "sampled": 20, "encoded": 5, "dropped": 1}
    assert stream["fps"] == {"received": 29.97, "sampled": 2.0}
    assert (stream["error"]["code"], stream["error"]["type"]) == ("camera_timeout", "server_error")
    assert stream["memory"]["events"] == 2
    assert stream["lag_ms"] < 10_000
    assert 'omnilive_frames_total{outcome="encoded",stream="cam"} 5.0' in text
    assert 'omnilive_memory_bytes{stream="cam"} 5000.0' in text
    assert 'omnilive_stream_live{source="push",stream="cam"} 1.0' in text


async def test_counters_go_on_when_perception_starts_anew(rig: Any) -> None:
    await rig.add()
    for received in (100, 150, 10):
        rig.host.say(
            "perception",
            StreamStatus("default/cam", "live", None, None, 0, 0, received, 0, 0, 0, 0.0, 0.0, -1, -1),
        )
    async with rig.client() as client:
        assert 'omnilive_frames_total{outcome="received",stream="cam"} 160.0' in (await client.get("/metrics")).text
        await client.delete("/v1/streams/cam")
        assert 'stream="cam"' not in (await client.get("/metrics")).text


async def test_a_stream_says_that_its_keyframes_have_to_do(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        assert (await client.get("/v1/streams/cam")).json()["decoded"] == "all"
        rig.host.say(
            "perception",
            StreamStatus("default/cam", "live", None, "h264", 8, 8, 9, 9, 9, 90, 1.0, 1.0, -1, -1, "keyframes"),
        )
        assert (await client.get("/v1/streams/cam")).json()["decoded"] == "keyframes"
        assert 'omnilive_keyframes_only{stream="cam"} 1.0' in (await client.get("/metrics")).text


async def test_delete_does_not_wait_for_a_hung_perception(rig: Any) -> None:
    await rig.add()
    rig.host.silent |= {CloseStream, WipeWindow}
    async with rig.client() as client:
        async with asyncio.timeout(2):
            assert (await client.delete("/v1/streams/cam")).status_code == 204
        assert (await client.post("/v1/streams", json={"id": "cam", "source": PUSH})).status_code == 201


async def test_without_memory_nothing_is_deleted(rig: Any) -> None:
    await rig.add()
    rig.host.lose("memory")
    async with rig.client() as client:
        await refused(client, 503, "not_ready", "DELETE", "/v1/streams/cam")
        await refused(client, 503, "not_ready", "PATCH", "/v1/streams/cam", json={"prompt": "x"})
        await refused(client, 503, "not_ready", "GET", "/v1/streams/cam/events")
        rig.host.come_back("memory")
        assert (await client.get("/v1/streams/cam")).status_code == 200
        assert (await client.delete("/v1/streams/cam")).status_code == 204


async def test_forget_a_range(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        gone = await client.delete("/v1/streams/cam/memory", params={"since": "10", "until": "15"})
        assert gone.status_code == 200, gone.text
        body = gone.json()
        assert body["deleted"] == {"events": 1, "bytes": 100}
        assert body["start"].endswith("Z")
        assert [one["id"] for one in (await client.get("/v1/streams/cam/events")).json()["events"]] == ["e_2"]
        nothing = (await client.delete("/v1/streams/cam/memory?since=1&until=2")).json()
        assert nothing == {"deleted": {"events": 0, "bytes": 0}, "start": None, "end": None}
    wiped = rig.host.of(WipeWindow)[0]
    assert wiped.since_us <= 10_000_000
    assert wiped.until_us > 19_000_000


async def test_forget_all_ends_at_now(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        assert (await client.delete("/v1/streams/cam/memory")).json()["deleted"]["events"] == 2
        forget = rig.host.of(Forget)[0]
        # What is seen later is remembered: the range ends.
        assert 29_000_000 < forget.until_us < 10**15
        rig.host.say("memory", MemoryStatus("default/cam", 0, -1, -1, 0, 0))
        await refused(client, 409, "no_frames_yet", "POST", "/v1/streams/cam/questions", json={"question": "?"})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("since=5&until=4", "invalid_time_range"),
        ("since=yesterday", "invalid_time"),
        ("since=9999-01-01T00:00:00Z", "time_in_future"),
        ("until=1e18", "invalid_time"),
    ],
)
async def test_forget_bad_ranges(rig: Any, query: str, code: str) -> None:
    await rig.add()
    async with rig.client() as client:
        for method, path in (("DELETE", "memory"), ("GET", "events")):
            await refused(client, 400, code, method, f"/v1/streams/cam/{path}?{query}")
    assert rig.host.of(Forget) == []


async def test_forget_waits_for_a_perception_that_is_replaced(rig: Any) -> None:
    await rig.add()
    rig.host.lose("perception")
    async with rig.client() as client:
        forgetting = asyncio.create_task(client.delete("/v1/streams/cam/memory"))
        while not rig.host.of(Forget):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not forgetting.done()
        rig.host.come_back("perception")
        assert (await forgetting).status_code == 200


async def test_sampling_so_rare_that_no_clock_counts_it_is_refused(rig: Any) -> None:
    """It would end the perception process: a period without end."""
    async with rig.client() as client:
        for fps, status in ((1e-310, 400), (0.0009, 400), (0.001, 201), (60.1, 400)):
            body = {"id": "rare", "source": PUSH, "sample": {"fps": fps}}
            assert (await client.post("/v1/streams", json=body)).status_code == status


async def test_a_whole_number_may_have_a_fraction_of_zero(rig: Any) -> None:
    async with rig.client() as client:
        for written, status in (("2097152.0", 201), ("2097152.5", 400), ('"2097152"', 400), ("true", 400)):
            body = f'{{"id": "a", "source": {{"push": true}}, "memory": {{"max_bytes": {written}}}}}'
            response = await client.post("/v1/streams", content=body, headers=JSON)
            assert response.status_code == status, written


async def test_an_address_names_all_its_methods(rig: Any) -> None:
    async with rig.client() as client:
        for path, methods in (("/v1/streams", "GET, POST"), ("/v1/streams/a", "DELETE, GET, PATCH"), ("/livez", "GET")):
            response = await client.request("TRACE", path)
            assert (response.status_code, response.headers["allow"]) == (405, methods)


async def test_framework_errors_have_our_shape(rig: Any) -> None:
    async with rig.client() as client:
        await refused(client, 404, "not_found", "GET", "/nothing")
        await refused(client, 404, "not_found", "GET", "/v1/streams/")
        await refused(client, 405, "method_not_allowed", "PUT", "/v1/streams")
        await refused(client, 404, "not_found", "GET", "/v1/streams/..%2f..%00/events")
        await refused(client, 404, "stream_not_found", "GET", "/v1/streams/%00%F0%9F%98%80/events")
        await refused(client, 404, "not_found", "POST", "/v1/chat/completions", json={})
        await refused(client, 404, "not_found", "GET", "/v1/watches")
