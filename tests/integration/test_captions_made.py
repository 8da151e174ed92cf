"""Captions through the real process: made while nobody asks, told by the doors, found, counted, or left out."""

import re
from pathlib import Path
from typing import Any

import pytest

from training.world import World, write_video

KEPT = re.compile(r'omnilive_captions_total\{outcome="kept"\} (\d+)')


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of the world that the shipped model knows."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(World(4).script(10), path, 480, 360, 10, 23, sound=None)
    return path


def watch(client: Any, film: Path, until: Any) -> None:
    body = {"id": "film", "source": {"url": f"file://{film}", "pace": "fast"}}
    assert client.post("/v1/streams", json=body).status_code == 201
    until(lambda: client.get("/v1/streams/film").json()["state"] == "ended", 120)


def events(client: Any, **query: str) -> Any:
    return client.get("/v1/streams/film/events", params=query).json()["events"]


def test_events_get_captions_that_are_found_and_go_with_them(launch: Any, film: Path, until: Any) -> None:
    server = launch("--allow-files", str(film.parent), OMNILIVE_REASONING__CAPTIONS="true")
    with server.client() as client:
        watch(client, film, until)
        until(lambda: events(client) and all(one["caption"] for one in events(client)), 120)
        known = {one["id"]: one["caption"] for one in events(client)}
        count = KEPT.search(client.get("/metrics").text)
        assert count is not None
        assert int(count[1]) == len(known)
        [first, *_] = events(client, q=next(iter(known.values())))
        assert first["caption"] == next(iter(known.values()))
        assert client.delete(f"/v1/streams/film/events/{first['id']}").status_code in {200, 204}
        assert first["id"] not in {one["id"] for one in events(client)}


def test_none_is_made_where_the_setting_is_off(launch: Any, film: Path, until: Any) -> None:
    server = launch("--allow-files", str(film.parent), OMNILIVE_REASONING__CAPTIONS="false")
    with server.client() as client:
        watch(client, film, until)
        until(lambda: events(client), 60)
        # Whoever makes captions has begun by the time that a question is answered.
        client.post("/v1/streams/film/questions", json={"question": "What do you see?", "max_tokens": 4})
        assert all(one["caption"] is None for one in events(client))
        assert "omnilive_captions_total{" not in client.get("/metrics").text
