"""SIGHUP to a real server: cameras and limits of its file are taken over, a broken file changes nothing."""

import signal
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def film(make_clip: Any) -> Path:
    clip: Path = make_clip()
    return clip


def declared(folder: Path, **clips: Path) -> str:
    streams = "".join(
        f'[[streams]]\nid = "{name}"\n[streams.source]\nurl = "file://{clip}"\npace = "real"\n'
        for name, clip in clips.items()
    )
    return f'allow_files = ["{folder}"]\n{streams}'


def test_a_hangup_has_the_file_read_again(launch: Any, film: Path, tmp_path: Path, until: Any) -> None:
    other = film.with_name("other-" + film.name)
    other.write_bytes(film.read_bytes())
    file = tmp_path / "omnilive.toml"
    file.write_text(declared(film.parent, first=film))
    server = launch("--config", str(file), "--host", "127.0.0.1")
    stages = server.stages()

    with server.client() as client:

        def stream(name: str) -> Any:
            return client.get(f"/v1/streams/{name}").json()

        until(lambda: stream("first")["memory"]["events"] > 0, 60)
        seen = client.get("/v1/streams/first/events").json()["events"][0]["media_end_us"]

        file.write_text("[[streams]]\nid = ")
        server.signal(signal.SIGHUP)
        until(lambda: "all settings stay as they were" in server.errors(), 20)
        assert stream("first")["source"]["url"] == f"file://{film}"

        more = "[limits]\nquestions = 3\n[sample]\nfps = 3\n"
        file.write_text(declared(film.parent, first=other, second=film) + more)
        server.signal(signal.SIGHUP)
        until(lambda: "streams added second, changed first, refused none" in server.errors(), 20)
        until(lambda: "only at the next start: sample.fps" in server.errors(), 20)
        assert client.get("/v1/server").json()["limits"]["questions"] == 3
        assert stream("first")["source"]["url"] == f"file://{other}"
        until(lambda: stream("second")["memory"]["events"] > 0, 60)
        until(lambda: client.get("/v1/streams/first/events").json()["events"][0]["media_start_us"] > seen, 60)

    assert {name: one["pid"] for name, one in server.stages().items()} == {
        name: one["pid"] for name, one in stages.items()
    }
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
