"""Nothing gets past the guard: host, origin, key, sizes, draining."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from server.doors.guard import host_name

KEY = "ol_secret-key-1"
ROUTES = ["/v1/streams", "/v1/server", "/metrics", "/docs", "/openapi.json", "/nothing", "/v1/streams/cam/events"]


async def test_without_a_key_all_is_open_on_loopback(rig: Any) -> None:
    async with rig.client() as client:
        assert (await client.get("/v1/streams")).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_wants_the_key(make_rig: Callable[..., Any], path: str) -> None:
    rig = make_rig(key=KEY)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": f"Basic {KEY}"}):
        async with rig.client(**headers) as client:
            response = await client.get(f"{path}?key={KEY}")
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert response.json()["error"]["type"] == "authentication_error"
    async with rig.client(Authorization=f"Bearer {KEY}") as client:
        assert (await client.get(path)).status_code != 401


async def test_health_is_open(make_rig: Callable[..., Any]) -> None:
    async with make_rig(key=KEY).client() as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/nothing")).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7:8000", "", "a b", "[::1"])
async def test_a_foreign_host_is_refused(rig: Any, host: str) -> None:
    async with rig.client() as client:
        response = await client.get("/livez", headers={"Host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST", "127.8.8.8:1"])
async def test_loopback_names_are_ours(rig: Any, host: str) -> None:
    async with rig.client() as client:
        assert (await client.get("/livez", headers={"Host": host})).status_code == 200


async def test_configured_hosts_are_ours(make_rig: Callable[..., Any]) -> None:
    async with make_rig(security={"hosts": ["Cams.Example"]}).client() as client:
        assert (await client.get("/livez", headers={"Host": "cams.example:443"})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9000", "file://", "http://[x"])
async def test_foreign_origins_are_refused(rig: Any, origin: str) -> None:
    async with rig.client(Origin=origin) as client:
        response = await client.get("/v1/streams")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed")


async def test_own_and_configured_origins(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(security={"origins": ["https://app.example"]})
    for origin in ("http://127.0.0.1:8000", "https://app.example"):
        async with rig.client(Origin=origin) as client:
            assert (await client.get("/v1/streams")).status_code == 200


PREFLIGHT = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}


async def test_a_page_of_a_configured_origin_may_call(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(key=KEY, security={"origins": ["https://App.example/"]})
    async with rig.client(Origin="https://app.example") as client:
        # A browser sends no key with its preflight.
        preflight = await client.options("/v1/streams/cam/memory", headers=PREFLIGHT)
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        allowed = await client.get("/v1/streams", headers={"Authorization": f"Bearer {KEY}"})
        refused = await client.get("/v1/streams")
        assert (allowed.status_code, refused.status_code) == (200, 401)
        for response in (preflight, allowed, refused):
            assert response.headers["access-control-allow-origin"] == "https://app.example"
            assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("http://127.0.0.1:8000", 405), (None, 405)]
)
async def test_no_other_page_is_told_that_it_may_call(
    make_rig: Callable[..., Any], origin: str | None, status: int
) -> None:
    rig = make_rig(security={"origins": ["https://app.example"]})
    async with rig.client() as client:
        headers = PREFLIGHT if origin is None else {**PREFLIGHT, "Origin": origin}
        response = await client.options("/v1/streams", headers=headers)
    assert response.status_code == status
    assert not any(name.startswith("access-control") for name in response.headers)


async def test_large_bodies_are_refused(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(limits={"body_bytes": 2048})

    async def chunks() -> Any:
        for _ in range(10):
            yield b" " * 1000

    async with rig.client() as client:
        for content in (b"x" * 5000, chunks()):
            response = await client.post("/v1/streams", content=content)
            assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_ends(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(limits={"body_timeout_s": 0.05})
    said: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": "/v1/streams", "headers": headers, "query_string": b""}
    await rig.app(scope, never, send)
    assert said[0]["status"] == 400


async def test_too_many_connections(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(limits={"connections": 1})
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = asyncio.create_task(client.post("/v1/streams/cam/questions", json={"question": "?"}))
        while not rig.host.sent or type(rig.host.sent[-1][1]).__name__ != "Ask":
            await asyncio.sleep(0)
        refused = await client.get("/v1/streams")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_connections")
        assert refused.headers["retry-after"]
        assert (await client.get("/livez")).status_code == 200
        rig.host.give_answer(rig.host.sent[-1][1])
        assert (await asking).status_code == 200
        assert (await client.get("/v1/streams")).status_code == 200


async def test_before_the_start_nothing_is_known(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(start=False)
    async with rig.client() as client:
        response = await client.get("/v1/streams")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert response.headers["retry-after"]
        assert (await client.get("/livez")).status_code == 200


async def test_a_draining_server_takes_no_new_work(rig: Any) -> None:
    await rig.add()
    rig.hub.drain()
    async with rig.client() as client:
        response = await client.post("/v1/streams/cam/questions", json={"question": "?"})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")
        assert response.headers["retry-after"]
        assert (await client.get("/v1/streams")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_our_own_fault_says_nothing_of_itself(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    def explode(*_: Any) -> Any:
        raise ValueError("/home/secret/path at 0xdeadbeef")

    rig.hub.registry.page = explode
    async with rig.client() as client:
        response = await client.get("/v1/streams")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert "a request failed" in caplog.text


async def test_request_ids_of_callers_are_kept_only_if_they_are_plain(rig: Any) -> None:
    async with rig.client() as client:
        assert (await client.get("/livez", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
        evil = await client.get("/livez", headers={"X-Request-Id": "a b\x1b[31m"})
        assert evil.headers["x-request-id"].isalnum()


@pytest.mark.parametrize(
    ("headers", "protocols", "status", "code"),
    [
        ({}, None, 401, "invalid_api_key"),
        ({}, ["omnilive.v1", "omnilive.key.wrong"], 401, "invalid_api_key"),
        ({"Authorization": "Bearer " + KEY, "Origin": "https://evil.example"}, None, 403, "origin_not_allowed"),
        ({"Authorization": "Bearer " + KEY, "Host": "evil.example"}, None, 403, "origin_not_allowed"),
        ({"Authorization": "Bearer " + KEY}, None, 404, "stream_not_found"),
        ({}, ["omnilive.v1", "omnilive.key." + KEY], 404, "stream_not_found"),
    ],
)
def test_websockets_are_refused_before_the_upgrade(
    make_rig: Callable[..., Any], headers: dict[str, str], protocols: list[str] | None, status: int, code: str
) -> None:
    rig = make_rig(key=KEY, start=False)
    with TestClient(rig.app, base_url="http://127.0.0.1:8000") as client:
        client.portal.call(rig.host.start)
        with pytest.raises(WebSocketDenialResponse) as caught:
            client.websocket_connect("/v1/streams/none/live", headers=headers, subprotocols=protocols).__enter__()
        assert (caught.value.status_code, json.loads(caught.value.content)["error"]["code"]) == (status, code)


def test_an_unknown_websocket_is_404(live_rig: Any) -> None:
    _, client = live_rig
    with pytest.raises(WebSocketDenialResponse) as caught:
        client.websocket_connect("/v1/realtime").__enter__()
    assert (caught.value.status_code, caught.value.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("header", "name"),
    [("a.b:80", "a.b"), ("[::1]:80", "::1"), ("A", "a"), ("a.", "a"), ("a:b", None), ("a/b", None), ("@x", None)],
)
def test_names_in_host_headers(header: str, name: str | None) -> None:
    assert host_name(header) == name
