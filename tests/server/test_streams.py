"""What the server knows of a stream: its clock, by its source and pace."""

from typing import Any

import pytest

from server.times import wall_text

CREATED_US = 1_763_000_000_000_000
HOUR_US = 3_600_000_000


@pytest.mark.parametrize(("pace", "status"), [("real", 200), ("fast", 400)])
async def test_only_of_a_fast_file_the_newest_frame_is_the_latest_time(
    make_rig: Any, pace: str, status: int
) -> None:  # fmt: skip
    rig = make_rig(wall_us=CREATED_US)
    (rig.files / "a.mp4").write_bytes(b"")
    # The file began to play an hour ago, and its newest frame is of its 29th second.
    start = wall_text(CREATED_US - HOUR_US)
    await rig.add("cam", url=(rig.files / "a.mp4").as_uri(), pace=pace, start=start)
    clock = rig.hub.registry.find("default", "cam").clock(rig.hub.core.clocks)
    assert clock.now_us == 29_000_000
    assert clock.latest_us == (HOUR_US if pace == "real" else 29_000_000)
    async with rig.client() as client:
        since = wall_text(CREATED_US - 600_000_000)
        response = await client.get("/v1/streams/cam/events", params={"since": since})
        assert response.status_code == status
        late = await client.get("/v1/streams/cam/events", params={"since": wall_text(CREATED_US + 10_000_000)})
        assert late.json()["error"]["code"] == "time_in_future"


async def test_a_pushed_stream_is_real_unless_it_says_fast(rig: Any) -> None:
    async with rig.client() as client:
        response = await client.post("/v1/streams", json={"id": "cam", "source": {"push": True}})
        assert response.status_code == 201, response.text
        assert response.json()["source"]["pace"] == "real"
    assert rig.hub.registry.find("default", "cam").source.pace == "real"
