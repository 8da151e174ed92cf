"""What holds for every route under /v1: nothing in a request is passed over."""

from typing import Any

import pytest
from starlette.testclient import WebSocketDenialResponse

from memory.messages import Forget


def routes(document: Any) -> list[tuple[str, str]]:
    """Method and path of every route under /v1, filled in."""
    filled = {"{id}": "cam", "{event}": "e_1", "{n}": "0"}
    found = []
    for path, operations in document["paths"].items():
        if path.startswith("/v1/"):
            for name, value in filled.items():
                path = path.replace(name, value)
            found += [(method.upper(), path) for method in operations]
    return found


async def test_no_route_passes_over_a_parameter(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        every = routes((await client.get("/openapi.json")).json())
        assert len(every) > 12
        for method, path in every:
            response = await client.request(method, f"{path}?form=-10m")
            error = response.json()["error"]
            assert (response.status_code, error["code"], error["param"]) == (400, "invalid_field", "form"), path
    assert rig.host.of(Forget) == []


@pytest.mark.parametrize(
    ("query", "param"), [("since=1&since=2", "since"), ("SINCE=1", "SINCE"), ("=1", ""), ("since=1&until=2&x", "x")]
)
async def test_a_range_that_is_not_understood_forgets_nothing(rig: Any, query: str, param: str) -> None:
    await rig.add()
    async with rig.client() as client:
        response = await client.delete(f"/v1/streams/cam/memory?{query}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_field", param)
    assert rig.host.of(Forget) == []


@pytest.mark.parametrize("path", ["/memory", "/events/e_1", ""])
async def test_what_is_deleted_stands_in_the_address_alone(rig: Any, path: str) -> None:
    await rig.add()
    async with rig.client() as client:
        response = await client.request("DELETE", f"/v1/streams/cam{path}", json={"since": "-10m"})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_field")
        assert len((await client.get("/v1/streams/cam/events")).json()["events"]) == 2


async def test_addresses_for_machines_take_what_comes(rig: Any) -> None:
    async with rig.client() as client:
        assert (await client.get("/livez?now=5")).status_code == 200


def test_a_websocket_with_an_unknown_parameter_is_refused_before_the_upgrade(live_rig: Any) -> None:
    rig, client = live_rig
    assert client.post("/v1/streams", json={"id": "cam", "source": {"push": True, "pace": "real"}}).status_code == 201
    with pytest.raises(WebSocketDenialResponse) as caught:
        client.websocket_connect("/v1/streams/cam/live?key=x").__enter__()
    assert (caught.value.status_code, caught.value.json()["error"]["param"]) == (400, "key")
    assert rig.hub.sessions.idle.is_set()


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/streams/cam/questions", {"question": "?", "since": []}, "invalid_field", "since"),
        ("/streams/cam/questions", {"question": "?", "until": {"a": 1}}, "invalid_field", "until"),
        ("/streams/cam/questions", {"question": "?", "str": 1}, "invalid_field", "str"),
        ("/streams", {"id": "a", "source": {"push": True, "str": 1}}, "invalid_field", "source.str"),
        ("/questions", {"question": "?", "streams": ["cam", "nope"]}, "stream_not_found", "streams"),
        ("/questions", {"question": "?", "streams": [5]}, "invalid_field", "streams.0"),
    ],
)
async def test_the_field_that_was_sent_is_named(rig: Any, path: str, body: Any, code: str, param: str) -> None:
    await rig.add()
    async with rig.client() as client:
        error = (await client.post(f"/v1{path}", json=body)).json()["error"]
    assert (error["code"], error["param"]) == (code, param)
