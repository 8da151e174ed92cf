"""`omnilive push` of a screen: an X server without a monitor, whose picture reaches a real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from surroundings import ROOT, environment

from clients.api import Api

pytestmark = [pytest.mark.alone, pytest.mark.debian("xvfb")]


@pytest.fixture
def screen() -> Iterator[str]:
    """Its display."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x360x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as process:
        os.close(write)
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"
        process.terminate()


def test_a_screen_is_pushed_until_it_is_stopped(server: Any, screen: str, until: Any) -> None:
    command = [sys.executable, "-m", "clients.cli.main", "push", "screen", "screen", "--fps", "5"]
    given = environment(OMNILIVE_URL=server.url, DISPLAY=screen)
    with (
        Api(server.url) as api,
        subprocess.Popen(command, cwd=ROOT, env=given, stdout=subprocess.PIPE, text=True) as pushing,
    ):
        try:
            until(lambda: received(api, "screen") >= 3, 60)
            assert api.stream("screen")["size"] == [640, 360]
        finally:
            pushing.terminate()
        pushing.wait(20)
        until(lambda: api.stream("screen")["state"] == "offline", 30)
        api.remove("screen")


def received(api: Api, stream: str) -> int:
    """How many frames have come, 0 before the stream is there; other tests share the server."""
    found = [one for one in api.get("/v1/streams")["streams"] if one["id"] == stream]
    return int(found[0]["frames"]["received"]) if found else 0
