"""The health check: ready or not, and nothing that keeps it waiting."""

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clients import health
from clients.health import connection

ROOT = Path(__file__).resolve().parents[2]


class Door(BaseHTTPRequestHandler):
    """Answers `/readyz` with the status of the day."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_it_says_what_the_server_says(
    port: int, status: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Door, "status", status)
    monkeypatch.setenv("OMNILIVE_PORT", str(port))
    monkeypatch.setenv("OMNILIVE_HOST", "0.0.0.0")
    assert health.main() == code
    assert capsys.readouterr().out == ("" if code == 0 else "not ready: 503\n")


def test_nobody_is_not_ready(port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OMNILIVE_PORT", "1")
    assert health.main() == 1
    monkeypatch.setenv("OMNILIVE_PORT", "none")
    assert health.main() == 1
    assert capsys.readouterr().out.count("not ready: ") == 2


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("[::]", "::1"), ("localhost", "localhost"), ("10.0.0.7", "10.0.0.7")],
)
def test_it_asks_where_the_server_listens(host: str, asked: str) -> None:
    assert connection({"OMNILIVE_HOST": host, "OMNILIVE_PORT": "81"}).host == asked
    assert connection({"OMNILIVE_PORT": "tcp://10.0.0.1:80"}).port == 8000
    assert isinstance(connection({"OMNILIVE_TLS__CERT": "c"}), http.client.HTTPSConnection)


def test_it_imports_next_to_nothing() -> None:
    """It runs every few seconds beside a server that needs the processors."""
    heavy = "'httpx', 'typer', 'pydantic', 'numpy', 'asyncio', 'server', 'torch'"
    script = f"import sys, clients.health; sys.exit(str([m for m in ({heavy},) if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"
