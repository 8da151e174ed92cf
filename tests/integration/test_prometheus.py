"""A real Prometheus with the files of `docker/`: alerts fire when they should, numbers come with a key."""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from server.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "docker" / "prometheus.yml"
ALERTS = ROOT / "docker" / "alerts.yml"

pytestmark = pytest.mark.debian("prometheus")


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_valid() -> None:
    promtool("check", "config", "--syntax-only", str(CONFIG))
    promtool("check", "rules", str(ALERTS))


def test_alerts_are_about_metrics_that_there_are() -> None:
    named = set(re.findall(r"\bomnilive_[a-z_]+", ALERTS.read_text()))
    assert named
    assert named <= set(re.findall(r"^# TYPE (\S+)", Metrics().text().decode(), re.MULTILINE))


def test_alerts_fire_when_they_should_and_no_sooner() -> None:
    promtool("test", "rules", str(ROOT / "tests" / "docker" / "alerts.yml"))


@pytest.fixture
def scraped(launch: Any, omnilive: Any, tmp_path: Path) -> Any:
    """A server with keys, its address put where the file names the server's; `key` holds one that may only look."""
    server = launch("--create-key", data=tmp_path / "data")
    made = omnilive("keys", "create", "prometheus", "--scopes", "view", "--data", str(tmp_path / "data"))
    (tmp_path / "key").write_text(made.stdout)
    config = CONFIG.read_text().replace("server:8000", urlsplit(server.url).netloc)
    config = config.replace("/keys/prometheus", str(tmp_path / "key")).replace("15s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    (tmp_path / ALERTS.name).write_text(ALERTS.read_text())
    return server


@pytest.fixture
def prometheus(scraped: Any, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder, file = tmp_path / "numbers", tmp_path / "prometheus.yml"
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://{address}"
        process.terminate()


def test_it_scrapes_with_its_key(prometheus: str, until: Any) -> None:
    def value(query: str) -> str | None:
        try:
            found = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]
        except (httpx.TransportError, ValueError, KeyError):
            return None
        return str(found[0]["value"][1]) if found else None

    until(lambda: value("up{job='omnilive'}") == "1", 60)
    assert value("omnilive_questions_in_flight") == "0"
    rules = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
