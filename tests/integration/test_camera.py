"""A camera that answers, through the real processes: it becomes live, goes away, comes back, and keeps its secret."""

import base64
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clients.api import Api
from clients.live import Live
from evaluation.rtsp_camera import RtspCamera

pytestmark = pytest.mark.alone

USER, PASSWORD = "operator", "xyl0carp-zebra"
SECRETS = (PASSWORD, f"{USER}:", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


@pytest.fixture
def camera(make_clip: Callable[..., Path]) -> Iterator[RtspCamera]:
    with RtspCamera(str(make_clip(shots=3, seconds=2.0)), user=USER, password=PASSWORD) as running:
        yield running


@pytest.fixture
def api(server: Any) -> Iterator[Api]:
    with Api(server.url) as one:
        yield one
        one.remove("door")


def test_a_camera_goes_and_comes_back_with_its_memory(
    server: Any, api: Api, camera: RtspCamera, until: Callable[..., Any]
) -> None:
    told: list[Any] = [api.add("door", {"url": camera.url}, memory={"max_event_s": 1})]
    states: list[str] = []
    with Live(server.url, "door") as live:

        def said(state: str) -> bool:
            """Whether the server says of itself that the camera is now in this state."""
            states.extend(one["stream"]["state"] for one in live.told() if one["type"] == "state")
            return states[-1:] == [state]

        until(lambda: said("live"), 30)
        before = until(lambda: len(found := api.events("door")) >= 2 and found, 30)
        camera.stop()
        until(lambda: said("offline"), 30)
        # Once it was tried in vain, it is tried again a second later at the soonest: long enough for a gap.
        until(lambda: api.stream("door")["error"]["code"] == "camera_unreachable", 30)
        told.append(api.stream("door"))
        seen_us = max(one["media_end_us"] for one in api.events("door"))
        camera.start()
        until(lambda: said("live"), 30)
        until(lambda: any(one["media_start_us"] > seen_us for one in api.events("door")), 30)
    assert [now for now, last in zip(states, ["", *states], strict=False) if now != last][-3:-1] == ["live", "offline"]

    events = api.events("door")
    assert {one["id"] for one in before} <= {one["id"] for one in events}
    assert all(one["media_start_us"] <= one["media_end_us"] for one in events)
    assert all(one["media_end_us"] <= other["media_start_us"] for one, other in pairwise(events))
    assert until(lambda: api.stream("door")["memory"]["gaps"], 30) >= 1

    answer = api.ask("door", "What did you see 5 seconds ago?", max_tokens=4)
    told += [states, events, answer, api.get(f"/v1/questions/{answer['id']}/explain"), api.stream("door")]
    told += [api.get("/v1/streams"), api.get("/v1/server"), server.errors()]
    with server.client() as client:
        told.append(client.get("/metrics").text)
    assert [secret for secret in SECRETS for one in told if secret in str(one)] == []
    assert f"127.0.0.1:{camera.port}" in str(told[0]["source"])
