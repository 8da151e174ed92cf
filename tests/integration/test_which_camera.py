"""One question to several streams, through the doors: the one that shows it gives the proof, and is named."""

from pathlib import Path
from typing import Any

import pytest

from training.world import World, write_video

SEEDS = {"north": 7, "south": 13}
LENGTH_S = 8.0


@pytest.fixture(scope="module")
def cameras(_launcher: Any, until: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two streams of films in which other things are seen."""
    folder: Path = tmp_path_factory.mktemp("cameras")
    server = _launcher(
        "--allow-files",
        str(folder),
        OMNILIVE_REASONING__RECALL_TIMEOUT_MS="60000",
    )
    with server.client() as client:
        for name, seed in SEEDS.items():
            film = folder / f"{name}.mp4"
            write_video(World(seed).script(LENGTH_S), film, 480, 360, 10, 23, sound=None)
            start = "2026-01-01T00:00:00Z"
            body = {"id": name, "source": {"url": f"file://{film}", "pace": "fast", "start": start}}
            assert client.post("/v1/streams", json=body).status_code == 201
        for name in SEEDS:
            until(lambda stream=name: client.get(f"/v1/streams/{stream}").json()["state"] == "ended", 120)
            until(lambda stream=name: client.get(f"/v1/streams/{stream}/events").json()["events"], 60)
    return server


def things(name: str) -> set[str]:
    return {visit.thing.name for visit in World(SEEDS[name]).script(LENGTH_S).visits}


def asked(client: Any, question: str) -> Any:
    response = client.post("/v1/questions", json={"question": question, "max_tokens": 8})
    assert response.status_code == 200, response.text
    return response.json()


def test_the_best_evidence_is_of_the_camera_that_saw_it(cameras: Any) -> None:
    with cameras.client() as client:
        for name, other in (("north", "south"), ("south", "north")):
            for thing in sorted(things(name) - things(other)):
                answer = asked(client, f"Which camera saw the {thing}?")
                assert sorted(answer["streams"]) == ["north", "south"]
                best = max(answer["evidence"], key=lambda one: one["score"])
                assert best["stream"] == name, thing


def test_a_count_over_all_cameras_names_the_one_that_saw_it(cameras: Any) -> None:
    with cameras.client() as client:
        for name, other in (("north", "south"), ("south", "north")):
            thing = min(things(name) - things(other))
            text = asked(client, f"How many times was there a {thing}?")["answer"]
            assert f"({name})" in text
            assert f"({other})" not in text
