"""The CPU image, really built and really started: it answers a question there, writes to its data folder alone, stops.

Needs a script, named by OMNILIVE_CONTAINER, that does without a container engine: `SCRIPT base NAME` makes a base
image, `SCRIPT build TAG ARGUMENTS` builds with buildah, `SCRIPT run TAG -v HOST:PATH -- COMMAND` runs with a root that
is read-only, as a user of no rights, on the host's network.
"""

import errno
import functools
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
import yaml

from clients.api import Api
from clients.live import Live
from clients.media import media_units

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = os.environ.get("OMNILIVE_CONTAINER", "")
STORAGE = {"STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "vfs")}
STOP_S = 35.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not SCRIPT, reason="needs OMNILIVE_CONTAINER, a script that builds and runs images"),
]


@dataclass(frozen=True)
class Image:
    """A built image and what it says of itself."""

    tag: str
    config: dict[str, Any]

    @property
    def env(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.config["Env"])

    @property
    def command(self) -> list[str]:
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    @property
    def health(self) -> list[str]:
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return [str(one) for one in command]

    def start(self, command: list[str], data: Path, port: int, **options: Any) -> "subprocess.Popen[str]":
        """Run a command in a fresh container of this image, with the image's own environment."""
        given = [SCRIPT, "run", self.tag, "-v", f"{data}:/data", "--", *command]
        env = {**self.env, "OMNILIVE_PORT": str(port), **STORAGE}
        return subprocess.Popen(given, env=env, stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def torch_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Where a CPU build of torch is installed here, an index with that wheel alone; else the Dockerfile's own index."""
    installed = version("torch")
    if not installed.endswith("+cpu"):
        yield []
        return
    folder = tmp_path_factory.mktemp("index")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "torch")]
    subprocess.run([*fetch, f"torch=={installed}"], check=True, timeout=600)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ["--build-arg", f"TORCH_INDEX=http://127.0.0.1:{server.server_address[1]}"]
        server.shutdown()


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Whom pip is told to trust here, it trusts there."""
    authorities = os.environ.get("PIP_CERT")
    if authorities is None:
        return []
    settings = tmp_path_factory.mktemp("pip") / "pip.conf"
    settings.write_text("[global]\ncert = /etc/pip-authorities.crt\n")
    return ["-v", f"{settings}:/etc/pip.conf:ro", "-v", f"{authorities}:/etc/pip-authorities.crt:ro"]


@pytest.fixture(scope="module")
def image(torch_index: list[str], trust: list[str]) -> Iterator[Image]:
    base, tag = (f"localhost/omnilive-test-{kind}-{uuid4().hex[:8]}" for kind in ("base", "cpu"))
    try:
        script("base", base)
        arguments = ["--format", "docker", "--file", "docker/Dockerfile", "--build-arg", f"BASE={base}"]
        script("build", tag, *arguments, *torch_index, *trust, ".")
        said = subprocess.run(
            ["buildah", "inspect", "--type", "image", tag],
            env={**os.environ, **STORAGE}, check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        yield Image(tag, json.loads(said.stdout)["Docker"]["config"])
    finally:
        for one in (tag, base):
            subprocess.run(["buildah", "rmi", one], env={**os.environ, **STORAGE}, capture_output=True, check=False)


def script(*arguments: str) -> None:
    """A step of the script; its last words where it fails."""
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.2)


class Container:
    """A running server, seen from outside: its processes, its root, its data folder."""

    def __init__(self, image: Image, data: Path) -> None:
        self.port = free_port()
        self.image, self.data = image, data
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = data.with_name("log")
        with self._log.open("wb") as log:
            self.script = image.start(image.command, data, self.port, stderr=log)
        assert self.script.stdout is not None
        said = self.script.stdout.readline()
        assert said == f"ready {self.url}\n", self.log()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def key(self) -> str:
        return (self.data / "first-key").read_text().strip()

    @property
    def init(self) -> psutil.Process:
        family = psutil.Process(self.script.pid).children(recursive=True)
        return next(one for one in family if one.cmdline()[:1] == self.image.command[:1])

    @property
    def main(self) -> psutil.Process:
        [child] = self.init.children()
        return child

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.init.pid}/root")

    def healthy(self) -> bool:
        """What the image's own health check says; it runs in a container beside this one, on the same network."""
        asking = self.image.start(self.image.health, self.data, self.port)
        asking.communicate(timeout=120)
        return asking.returncode == 0

    def stages(self, name: str) -> list[psutil.Process]:
        return [one for one in self.main.children() if one.cmdline()[-1:] == [name]]


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    data = tmp_path_factory.mktemp("container") / "data"
    data.mkdir(0o700)
    running = Container(image, data)
    yield running
    if running.script.poll() is None:
        running.init.send_signal(signal.SIGTERM)
        running.script.wait(STOP_S)


def test_the_image_says_how_it_is_run(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    assert image.command == ["tini", "--", "omnilive", "serve"]
    assert list(image.config["Volumes"]) == ["/data"]
    check = image.config["Healthcheck"]
    assert check["Retries"] * (check["Interval"] + check["Timeout"]) <= 40e9


def test_the_first_key_is_in_the_data_folder(container: Container) -> None:
    file = container.data / "first-key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "first key is in /data/first-key" in container.log()
    assert container.key not in container.log()
    assert httpx.get(f"{container.url}/v1/streams").status_code == 401
    assert httpx.get(f"{container.url}/readyz").status_code == 200


def test_it_answers_a_question(container: Container, make_clip: Any) -> None:
    with Api(container.url, container.key) as api:
        api.add("door", {"push": True, "pace": "fast"})
        with Live(container.url, "door", container.key) as live:
            live.announce(0, "h264")
            for unit in media_units(make_clip()):
                live.send(unit.track, unit.data, unit.pts_us)
            live.ask("a1", "What is there?", max_tokens=16)
            assert live.wait("a1").text
        answer = api.ask("door", "What was there at the beginning?", max_tokens=16)
        assert (bool(answer["answer"]), answer["coverage"]["covered"]) == (True, "full")
        assert api.events("door")


def test_it_watches_the_camera_of_the_compose_file(container: Container, tmp_path: Path) -> None:
    entrypoint = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["camera"]["entrypoint"]
    port = free_port()
    camera = container.image.start([*entrypoint, "--port", str(port)], tmp_path, container.port)
    assert camera.stdout is not None
    try:
        assert camera.stdout.readline().startswith("ready rtsp://")
        with Api(container.url, container.key) as api:
            api.add("camera", {"url": f"rtsp://127.0.0.1:{port}/live"})
            wait_for(lambda: api.stream("camera")["frames"]["encoded"] > 0, 120)
            assert api.ask("camera", "What is in the middle?", max_tokens=16)["answer"]
            api.remove("camera")
    finally:
        init = next(one for one in psutil.Process(camera.pid).children(recursive=True) if one.name() == "tini")
        init.terminate()
        camera.wait(STOP_S)


def test_a_key_for_prometheus_is_made_beside_it_once(container: Container, tmp_path: Path) -> None:
    """By the command of the compose file, with a folder of the data folder in the place of /keys."""
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["prometheus-key"]
    keys = container.data / "for-prometheus"
    keys.mkdir(0o700)
    [said] = service["command"]
    for _ in range(2):
        command = [*service["entrypoint"], said.replace("/keys/", "/data/for-prometheus/")]
        making = container.image.start(command, container.data, container.port)
        making.communicate(timeout=120)
        assert making.returncode == 0
    key = (keys / "prometheus").read_text().strip()
    assert ((keys / "prometheus").stat().st_mode & 0o777, key[:3]) == (0o640, "ol_")
    bearer = {"Authorization": f"Bearer {key}"}
    wait_for(lambda: httpx.get(f"{container.url}/metrics", headers=bearer).status_code == 200, 30)
    pushed = {"id": "x", "source": {"push": True, "pace": "real"}}
    assert httpx.post(f"{container.url}/v1/streams", headers=bearer, json=pushed).status_code == 403
    (keys / "prometheus").unlink()
    keys.rmdir()


def test_its_command_line_knows_the_data_folder(container: Container) -> None:
    listing = container.image.start(["omnilive", "keys", "list"], container.data, container.port)
    said, _ = listing.communicate(timeout=120)
    assert (listing.returncode, said.split()[:2]) == (0, ["first", "default"])


def test_nothing_but_the_data_folder_can_be_written(container: Container) -> None:
    mounts = [line.split() for line in (container.root.parent / "mountinfo").read_text().splitlines()]
    assert next(one[5] for one in mounts if one[4] == "/").split(",")[0] == "ro"
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        (container.root / "opt" / "file").write_text("x")
    assert list((container.root / "dev/shm").iterdir()) == []
    everything = [container.data, *container.data.rglob("*")]
    assert [one for one in everything if one.stat().st_mode & 0o077] == []


def test_it_has_no_privileges_and_one_listener(container: Container) -> None:
    status = (container.root.parent / "status").read_text()
    assert "CapEff:\t0000000000000000" in status
    family = [container.main, *container.main.children(recursive=True)]
    listening = {one.laddr.port for process in family for one in process.net_connections() if one.status == "LISTEN"}
    assert listening == {container.port}


def is_replaced(container: Container, killed: psutil.Process) -> bool:
    """Whether another is in its place, and then whether the server is whole again: in this order."""
    others = [one for one in container.stages("reasoning") if one != killed]
    return bool(others) and httpx.get(f"{container.url}/readyz", timeout=30).status_code == 200


def test_who_is_killed_leaves_no_zombie_and_is_replaced(container: Container) -> None:
    [killed] = container.stages("reasoning")
    killed.kill()
    wait_for(lambda: is_replaced(container, killed), 180)
    family = [container.init, *container.init.children(recursive=True)]
    assert [one for one in family if one.status() == psutil.STATUS_ZOMBIE] == []


def test_its_health_check_tells_a_hanging_server(container: Container) -> None:
    wait_for(container.healthy, 120)
    container.main.suspend()
    try:
        assert not container.healthy()
    finally:
        container.main.resume()
    wait_for(container.healthy, 120)


def test_it_stops_when_asked(container: Container) -> None:
    family = [container.main, *container.main.children(recursive=True)]
    container.init.send_signal(signal.SIGTERM)
    assert container.script.wait(STOP_S) == 0, container.log()[-2000:]
    assert [one for one in family if one.is_running()] == []
