"""A copy of a stopped server's data folder, without what can be made again, is that server: keys, streams, memory."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from clients.api import Api
from clients.live import Live
from clients.media import media_units


@pytest.mark.timeout(400)
def test_a_copied_data_folder_is_a_server_again(launch: Any, omnilive: Any, make_clip: Any, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    key = omnilive("keys", "create", "me", "--data", str(data)).stdout.strip()
    server = launch(data=data)
    with Api(server.url, key) as api:
        api.add("door", {"push": True, "pace": "fast"})
        with Live(server.url, "door", key) as live:
            live.announce(0, "h264")
            for unit in media_units(make_clip()):
                live.send(unit.track, unit.data, unit.pts_us)
            live.ask("a1", "What is there?", max_tokens=4)
            live.wait("a1")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("cache"))
    shutil.rmtree(data)
    again = launch(data=copy)
    with Api(again.url, key) as api:
        events = api.events("door")
        assert events
        for event in events:
            assert api.picture(event["frames"][0]["url"]).startswith(b"\xff\xd8")
        assert api.ask("door", "What was there before?", max_tokens=4)["answer"]
    assert copy.stat().st_mode & 0o077 == 0
