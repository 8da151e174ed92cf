"""Bar I10: a camera that sends its viewers elsewhere; the real server does not go there. Schemes: test_bad_input.py."""

from typing import Any

import pytest
from fakecam.scripted import describing, refusing, scripted

from clients.api import Api


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_nobody_goes_where_a_camera_points(server: Any, until: Any, status: str) -> None:
    with (
        scripted(describing(b"")) as trap,
        scripted(refusing(status, f"Location: rtsp://127.0.0.1:{trap.port}/secret")) as camera,
        Api(server.url) as api,
    ):
        api.add("i10", {"url": f"rtsp://admin:s3cret@127.0.0.1:{camera.port}/live"})
        try:
            error = until(lambda: api.stream("i10")["error"], 20)
            # Once more, so that a second attempt goes nowhere either.
            asked = len(camera.asked)
            until(lambda: len(camera.asked) > asked, 20)
        finally:
            api.remove("i10")
        assert error["code"] == "camera_refused"
        assert str(trap.port) not in str(error)
        assert trap.asked == []
        assert not any("s3cret" in line or line.lower().startswith("authorization") for line in camera.heard)
