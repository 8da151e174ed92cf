"""Bar I13: many cameras return at the same moment; they are opened one after the other, and all are seen again."""

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from fakecam.films import world_film

from clients.api import Api
from evaluation.rtsp_camera import RtspCamera

pytestmark = pytest.mark.alone

MOST_A_SECOND = 10
"""Attempts; each is a connection that asks and one that stays."""


BACK_S = 30.0
"""Until perception takes no more of the processors than before."""


def busy(server: Any) -> float:
    """Perception's share of a core, over two seconds."""
    return float(psutil.Process(server.stages()["perception"]["pid"]).cpu_percent(interval=2.0)) / 100


@pytest.fixture
def cameras(request: Any) -> Iterator[list[RtspCamera]]:
    film = world_film(4.0, size=(176, 144), fps=5)
    running = [RtspCamera(film).start() for _ in range(request.param)]
    yield running
    for camera in running:
        camera.stop()


@pytest.mark.parametrize(
    "cameras", [12, pytest.param(50, marks=pytest.mark.slow)], indirect=True, ids=lambda count: f"{count}-cameras"
)
def test_cameras_that_return_at_once_are_not_all_opened_at_once(
    server: Any, cameras: list[RtspCamera], until: Any
) -> None:
    names = [f"i13-{n}" for n in range(len(cameras))]
    with Api(server.url) as api:

        def states() -> set[str]:
            listed = api.get("/v1/streams", limit=1000)["streams"]
            return {one["state"] for one in listed if one["id"] in names}

        try:
            for name, camera in zip(names, cameras, strict=True):
                api.add(name, {"url": camera.url}, sample={"fps": 0.5})
            until(lambda: states() == {"live"}, 60)
            usual = busy(server)
            for camera in cameras:
                camera.stop()
            until(lambda: states() == {"offline"}, 30)
            known = {id(camera): camera.connections for camera in cameras}
            for camera in cameras:
                camera.start()
            back = time.monotonic()
            until(lambda: states() == {"live"}, 90)
            came = sorted(at for camera in cameras for at in camera.connected_s[known[id(camera)] :])
            assert len(came) >= 2 * len(cameras)
            assert max(sum(at <= one < at + 1 for one in came) for at in came) <= 2 * MOST_A_SECOND
            assert came[0] >= back - 1
            until(lambda: busy(server) <= 1.25 * usual + 0.1, BACK_S)
        finally:
            for name in names:
                api.remove(name)
