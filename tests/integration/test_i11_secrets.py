"""Bar I11: a camera's password is kept in files that are the owner's alone, and is nowhere to be read again."""

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakecam.films import world_film
from fakecam.scripted import refusing, scripted

from clients.api import Api, ApiError
from clients.live import Live
from evaluation.rtsp_camera import RtspCamera

USER, PASSWORD, DECODED, TOKEN = "oper.ator", "pw-7f3aZ%40q", "pw-7f3aZ@q", "tok-55c1d9"
BASIC = base64.b64encode(f"{USER}:{DECODED}".encode()).decode()
CANARIES = (PASSWORD, DECODED, TOKEN, BASIC, f"{USER}:")


def with_secrets(port: int) -> str:
    return f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{port}/live?token={TOKEN}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def own(launch: Any, folder: Path) -> Any:
    """A server of its own: its log and its folder are looked through."""
    return launch(data=folder)


@pytest.fixture
def cameras() -> Iterator[dict[str, str]]:
    """One camera for each way to fail, and one that works: names and addresses."""
    with (
        RtspCamera(world_film(), user=USER, password=DECODED) as good,
        RtspCamera(world_film(), user=USER, password="another") as wrong,
        RtspCamera(world_film(), behaviour="mute") as mute,
        RtspCamera(world_film(), behaviour="slam") as slam,
        scripted(refusing("302 Found", "Location: rtsp://127.0.0.1:9/")) as redirect,
        scripted(refusing("500 Error")) as broken,
        RtspCamera(world_film()) as dead,
    ):
        dead.stop()
        ports = {"good": good.port, "wrong": wrong.port, "mute": mute.port, "slam": slam.port, "dead": dead.port}
        ports |= {"redirect": redirect.port, "broken": broken.port}
        yield {name: with_secrets(port) for name, port in ports.items()}


def test_i11_a_password_is_shown_at_no_door_and_written_to_no_log(
    own: Any, folder: Path, cameras: dict[str, str], until: Any, tmp_path: Path
) -> None:
    with Api(own.url) as api:
        told: list[Any] = [api.add(name, {"url": url}) for name, url in cameras.items()]
        until(lambda: all(api.stream(name)["error"] for name in cameras if name != "good"), 60)
        until(lambda: api.stream("good")["memory"]["events"], 60)
        told.append(refused(lambda: api.add("good", {"url": cameras["good"]})))
        told.append(refused(lambda: api.add("odd", {"url": cameras["good"].replace("rtsp:", "rtmp:")})))
        told.append(refused(lambda: api.add("odd", {"url": cameras["good"] + " "})))
        told += [everything(api, own), export(api, tmp_path / "archive"), command_lines(own), own.errors()]
        with Live(own.url, "wrong") as live:
            told += [one for one in live.told(2.0) if one["type"] == "state"]
    assert found(told) == []
    assert modes(folder) <= {0o600, 0o700}
    assert any(PASSWORD.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file()), (
        "it is kept, so that the camera is there after a restart"
    )


@pytest.mark.timeout(600)
def test_i11_a_password_survives_a_restart_and_stays_hidden(launch: Any, folder: Path, until: Any) -> None:
    with RtspCamera(world_film(), user=USER, password=DECODED) as camera:
        first = launch(data=folder)
        with Api(first.url) as api:
            api.add("good", {"url": with_secrets(camera.port)})
            until(lambda: api.stream("good")["state"] == "live", 60)
        first.end()
        again = launch(data=folder)
        with Api(again.url) as api:
            until(lambda: api.stream("good")["state"] == "live", 60)
            told = [everything(api, again), again.errors(), first.errors()]
            # What it says of a camera that is lost after a restart is hidden too.
            camera.stop()
            until(lambda: api.stream("good")["error"], 60)
            told += [api.stream("good"), again.errors()]
        assert found(told) == []
        assert modes(folder) <= {0o600, 0o700}


def refused(call: Any) -> str:
    with pytest.raises(ApiError) as caught:
        call()
    return f"{caught.value.code}: {caught.value.message}"


def everything(api: Api, server: Any) -> list[Any]:
    """What can be read at the doors."""
    answer = api.ask("good", "What do you see?", max_tokens=4)
    told: list[Any] = [answer, api.get(f"/v1/questions/{answer['id']}/explain"), api.events("good")]
    told += [api.get("/v1/streams"), api.get("/v1/server"), api.get("/openapi.json")]
    with server.client() as client:
        told += [client.get(path).text for path in ("/metrics", "/readyz", "/", "/docs", "/v1/streams/wrong")]
    return told


def export(api: Api, path: Path) -> bytes:
    with path.open("wb") as file:
        api.export("good", file)
    return path.read_bytes()


def command_lines(server: Any) -> list[str]:
    """Of the server and its children, with their environment."""
    pids = [server.pid, *(one["pid"] for one in server.stages().values())]
    return [Path(f"/proc/{pid}/{what}").read_text(errors="replace") for pid in pids for what in ("cmdline", "environ")]


def found(told: list[Any]) -> list[str]:
    texts = [
        one.decode("latin-1") if isinstance(one, bytes) else one if isinstance(one, str) else json.dumps(one)
        for one in flattened(told)
    ]
    return [canary for canary in CANARIES for text in texts if canary in text]


def flattened(told: list[Any]) -> Iterator[Any]:
    for one in told:
        if isinstance(one, list):
            yield from flattened(one)
        else:
            yield one


def modes(folder: Path) -> set[int]:
    """Of the folder and all that is in it."""
    return {stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}
