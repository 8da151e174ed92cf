"""Bar P3: health tells the truth. `/livez`: the loop turns. `/readyz`: every stage takes work. Asking costs nothing."""

from typing import Any

import pytest

STAGES = ("perception", "memory", "reasoning")


async def health(client: Any) -> tuple[int, int, dict[str, str]]:
    live, ready = await client.get("/livez"), await client.get("/readyz")
    assert ready.json()["status"] == ("ready" if ready.status_code == 200 else "not_ready")
    assert ("retry-after" in ready.headers) == (ready.status_code == 503)
    return live.status_code, ready.status_code, ready.json()["stages"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("state", ["starting", "hung", "restarting"])
async def test_p3_a_stage_that_does_not_work_is_not_ready(rig: Any, stage: str, state: str) -> None:
    async with rig.client() as client:
        assert await health(client) == (200, 200, dict.fromkeys(STAGES, "ready"))
        rig.host.statuses[stage].state = state
        assert await health(client) == (200, 503, {**dict.fromkeys(STAGES, "ready"), stage: state})
        rig.host.statuses[stage].state = "ready"
        assert (await health(client))[:2] == (200, 200)


async def test_p3_a_server_that_starts_or_stops_is_alive_and_not_ready(make_rig: Any) -> None:
    rig = make_rig(start=False)
    async with rig.client() as client:
        for status in rig.host.statuses.values():
            status.state = "starting"
        assert (await health(client))[:2] == (200, 503)
        for status in rig.host.statuses.values():
            status.state = "ready"
        rig.host.start()
        assert (await health(client))[:2] == (200, 200)
        rig.hub.drain()
        assert (await health(client))[:2] == (200, 503)


async def test_p3_a_full_server_is_ready(make_rig: Any) -> None:
    """Who watches health would else kill a server because it is busy."""
    import asyncio

    rig = make_rig(limits={"questions": 1, "connections": 3})
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        open_one = asyncio.create_task(client.post("/v1/streams/cam/questions", json={"question": "?"}))
        while not rig.hub.questions:
            await asyncio.sleep(0)
        refused = await client.post("/v1/streams/cam/questions", json={"question": "?"})
        assert refused.json()["error"]["code"] == "too_many_questions"
        assert (await health(client))[:2] == (200, 200)
        open_one.cancel()


async def test_p3_a_hundred_probes_leave_nothing(rig: Any) -> None:
    sent = len(rig.host.sent)
    async with rig.client() as client:
        for _ in range(100):
            assert (await health(client))[:2] == (200, 200)
        text = (await client.get("/metrics")).text
    assert len(rig.host.sent) == sent, "a probe never enters a work queue"
    assert "omnilive_questions_in_flight 0.0" in text
    assert "omnilive_connections 1.0" in text
