"""schemathesis finds nothing on the OpenAPI document: real requests, made from the document, good ones and bad ones."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
REPLACED = "positive_data_acceptance,not_a_server_error"
"""By checks of `openapi_hooks` that know what the document cannot say."""


def fuzz(url: str, folder: Path, examples: int, *more: str, patience_s: float = 150) -> str:
    """Run all checks; what it said. The phases: borders of every field, random requests, and requests in turn."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", "all",
        "--exclude-checks", REPLACED, "--max-examples", str(examples), "--seed", "1", "--request-timeout", "30",
        "--no-color", "--generation-database", "none", *more,
    ]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=patience_s, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def healthy(server: Any, **headers: str) -> None:
    """No process died of it, and nothing unexpected was met."""
    for name, stage in server.stages(**headers).items():
        assert stage["restarts"] == 0, f"{name} died"
    assert "Traceback" not in server.errors()


def cases(said: str) -> int:
    found = re.search(r"(\d+) generated", said)
    assert found is not None, said[-2000:]
    return int(found[1])


def test_nothing_is_found_with_a_key(launch: Any, tmp_path: Path) -> None:
    key = "ol_for-the-fuzzer"
    server = launch(OMNILIVE_API_KEY=key)
    said = fuzz(server.url, tmp_path, 4, "--max-time", "25", "-H", f"Authorization: Bearer {key}")
    assert cases(said) > 200
    assert key not in server.errors()
    healthy(server, Authorization=f"Bearer {key}")


@pytest.mark.slow
@pytest.mark.timeout(1900)
def test_nothing_is_found_in_a_long_search(launch: Any, tmp_path: Path) -> None:
    server = launch()
    fuzz(server.url, tmp_path, 300, "--max-time", "1500", patience_s=1800)
    healthy(server)
