"""A camera that is not made by us: the server watches GStreamer's RTSP server and answers about what it saw."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.alone,
    pytest.mark.debian("gir1.2-gst-rtsp-server-1.0"),
    pytest.mark.debian("gstreamer1.0-plugins-base"),
    pytest.mark.debian("gstreamer1.0-plugins-good"),
    pytest.mark.debian("gstreamer1.0-plugins-ugly"),
    pytest.mark.debian("python3-gi"),
]


@pytest.fixture(params=["tcp", "udp"])
def camera(request: Any) -> Iterator[str]:
    """The address of a running camera that speaks one transport only."""
    script = Path(__file__).with_name("gst_camera.py")
    with subprocess.Popen(
        ["/usr/bin/python3", str(script), request.param], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_a_camera_of_gstreamer_is_watched_and_remembered(camera: str, server: Any, until: Any) -> None:
    with server.client() as client:
        added = client.post("/v1/streams", json={"id": "gst", "source": {"url": camera}})
        assert added.status_code == 201
        stream = until(lambda: (now := client.get("/v1/streams/gst").json())["frames"]["encoded"] >= 4 and now, 30)
        assert (stream["state"], stream["codec"], stream["size"]) == ("live", "h264", [640, 360])
        assert stream["frames"]["dropped"] == 0
        answer = client.post("/v1/streams/gst/questions", json={"question": "What moves?", "max_tokens": 4}).json()
        assert answer["staleness_ms"] < 5000
        events = until(lambda: client.get("/v1/streams/gst/events").json()["events"], 20)
        assert client.get(events[0]["frames"][0]["url"]).content.startswith(b"\xff\xd8")
        assert client.delete("/v1/streams/gst").status_code == 204
