"""A stream's memory over HTTP: out as one file, in again, and what is refused on the way."""

from typing import Any

from memory.messages import DropMemory
from perception.messages import OpenStream

PUSH = {"push": True, "pace": "real"}
ARCHIVE = "/v1/streams/cam/memory"
COPY = "/v1/streams/copy/memory"


def code(response: Any) -> str:
    found: str = response.json()["error"]["code"]
    return found


async def test_out_and_in_again(rig: Any) -> None:
    async with rig.client() as client:
        await client.post("/v1/streams", json={"id": "cam", "source": PUSH})
        out = await client.get(ARCHIVE)
        assert (out.status_code, out.content) == (200, rig.host.archive)
        assert out.headers["content-length"] == str(len(rig.host.archive))
        made = await client.put(COPY, content=out.content)
        assert made.status_code == 201
        assert (made.json()["id"], made.json()["state"], made.json()["source"]["push"]) == ("copy", "offline", True)
        assert "copy" in [one["id"] for one in (await client.get("/v1/streams")).json()["streams"]]
        assert [one.stream for one in rig.host.of(OpenStream)][-1] == "default/copy"
        assert list(rig.hub.archives._folder.iterdir()) == []


async def test_refused(make_rig: Any) -> None:
    rig = make_rig(limits={"archive_bytes": 20_000})
    async with rig.client() as client:
        await client.post("/v1/streams", json={"id": "cam", "source": PUSH})
        wrong = await client.put(COPY, content=b"something else")
        assert (wrong.status_code, code(wrong)) == (400, "archive_invalid")
        assert (await client.get("/v1/streams/copy")).status_code == 404
        there = await client.put(ARCHIVE, content=rig.host.archive)
        assert (there.status_code, code(there)) == (409, "stream_exists")
        bad = await client.put("/v1/streams/.x/memory", content=rig.host.archive)
        assert bad.status_code == 400
        assert (await client.get("/v1/streams/none/memory")).status_code == 404
        large = await client.put(COPY, content=3 * rig.host.archive)
        assert (large.status_code, code(large)) == (413, "too_large")
        assert list(rig.hub.archives._folder.iterdir()) == []
    assert "default/copy" in [one.stream for one in rig.host.of(DropMemory)]
