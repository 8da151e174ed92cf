"""The demo as a user runs it: a real process that starts a real server; its exit code, and what it leaves behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, patience_s: float = 240.0) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    command = [sys.executable, "-m", "clients.cli.main", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience_s, check=False)


@pytest.mark.timeout(300)
def test_the_demo_works_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run("--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("The film", "truth", "answer", "moments", "first token", "Checked", "all of it worked"):
        assert said in done.stdout
    assert not list(tmp_path.glob("omnilive-demo-*"))


@pytest.mark.timeout(60)
def test_the_demo_says_what_is_wrong_when_no_server_answers() -> None:
    done = run("--url", "http://127.0.0.1:9", patience_s=60)
    assert done.returncode == 1
    assert "error[unreachable]" in done.stdout


@pytest.mark.timeout(120)
def test_who_stops_the_demo_stops_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "clients.cli.main", "demo"]
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = wait_for(lambda: psutil.Process(demo.pid).children(recursive=True))
    demo.terminate()
    assert demo.wait(30) == 143
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert not list(tmp_path.glob("omnilive-demo-*"))


def wait_for(seen: Callable[[], list[psutil.Process]], patience_s: float = 60.0) -> list[psutil.Process]:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = seen()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("the demo started no server")
