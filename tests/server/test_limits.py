"""Every limit of the doors one below it, at it and one above it; the table is told where people and machines look."""

import asyncio
import json
from typing import Any

import pytest

PUSH = {"push": True, "pace": "real"}
JSON = {"Content-Type": "application/json"}
OVER = (-1, 0, 1)


async def ask(client: Any, question: str) -> Any:
    return await client.post("/v1/streams/cam/questions", json={"question": question})


@pytest.mark.parametrize("over", OVER)
async def test_body_bytes(make_rig: Any, over: int) -> None:
    rig = make_rig(limits={"body_bytes": 2048})
    body = json.dumps({"id": "a", "source": PUSH}).encode()
    async with rig.client() as client:
        response = await client.post("/v1/streams", content=body + b" " * (2048 + over - len(body)), headers=JSON)
    assert response.status_code == (413 if over > 0 else 201)


@pytest.mark.parametrize("over", OVER)
async def test_question_bytes(make_rig: Any, over: int) -> None:
    rig = make_rig(limits={"question_bytes": 100})
    await rig.add()
    async with rig.client() as client:
        response = await ask(client, "é" * 40 + "x" * (20 + over))
    assert response.status_code == (413 if over > 0 else 200)
    if over > 0:
        assert response.json()["error"]["param"] == "question"


@pytest.mark.parametrize("over", OVER)
async def test_image_pixels_and_picture_bytes(make_rig: Any, picture: Any, over: int) -> None:
    rig = make_rig(limits={"image_pixels": 32 * 24 - over})
    await rig.add()
    async with rig.client() as client:
        response = await client.post("/v1/streams/cam/events/search", content=picture("PNG"))
    assert response.status_code == (413 if over > 0 else 200)
    shown = picture("PNG") + bytes(2048)
    rig = make_rig(limits={"picture_bytes": len(shown) - over})
    await rig.add()
    async with rig.client() as client:
        response = await client.post("/v1/streams/cam/events/search", content=shown)
    assert response.status_code == (413 if over > 0 else 200)


@pytest.mark.parametrize("over", OVER)
async def test_streams(make_rig: Any, over: int) -> None:
    rig = make_rig(limits={"streams": 3})
    async with rig.client() as client:
        for n in range(3 + over):
            last = await client.post("/v1/streams", json={"id": f"s{n}", "source": PUSH})
    assert last.status_code == (429 if over > 0 else 201)
    assert (last.headers.get("retry-after") is not None) == (over > 0)


@pytest.mark.parametrize("over", OVER)
async def test_open_questions(make_rig: Any, over: int) -> None:
    rig = make_rig(limits={"questions": 3})
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = [asyncio.create_task(ask(client, "?")) for _ in range(3 + over)]
        while len(rig.hub.questions) < min(3, 3 + over):
            await asyncio.sleep(0)
        if over > 0:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        refused = [one.result().json()["error"]["code"] for one in asking if one.done()]
        assert refused == ["too_many_questions"] * max(0, over)
        for one in asking:
            one.cancel()


@pytest.mark.parametrize("over", OVER)
async def test_connections(make_rig: Any, over: int) -> None:
    rig = make_rig(limits={"connections": 5})
    rig.app.connections = lambda: 5 + over
    async with rig.client() as client:
        response = await client.get("/v1/streams")
        assert response.status_code == (429 if over > 0 else 200)
        assert (await client.get("/livez")).status_code == 200
        assert f"omnilive_connections {5 + over}.0" in (await client.get("/metrics")).text


async def test_the_table_is_told(make_rig: Any) -> None:
    rig = make_rig(limits={"questions": 7})
    async with rig.client() as client:
        table = (await client.get("/v1/server")).json()["limits"]
        text = (await client.get("/metrics")).text
    assert table == rig.hub.core.config.limits.model_dump()
    assert 'omnilive_limit{name="questions"} 7.0' in text
    for name in table:
        assert f'omnilive_limit{{name="{name}"}}' in text
