"""A real Prometheus with the file of `docker/`: it is valid, and with a key that may only look it gets its numbers."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

CONFIG = Path(__file__).resolve().parents[2] / "docker" / "prometheus.yml"

pytestmark = pytest.mark.debian("prometheus")


def test_the_file_is_valid() -> None:
    checking = ["promtool", "check", "config", "--syntax-only", str(CONFIG)]
    done = subprocess.run(checking, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def scraped(launch: Any, omnilive: Any, tmp_path: Path) -> Any:
    """A server with keys, its address put where the file names the server's; `key` holds one that may only look."""
    server = launch("--create-key", data=tmp_path / "data")
    made = omnilive("keys", "create", "prometheus", "--scopes", "view", "--data", str(tmp_path / "data"))
    (tmp_path / "key").write_text(made.stdout)
    config = CONFIG.read_text().replace("server:8000", urlsplit(server.url).netloc)
    config = config.replace("/keys/prometheus", str(tmp_path / "key")).replace("15s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
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
