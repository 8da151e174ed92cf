"""The real server: `omnilive serve` as a process of its own, on a free port and a folder of its own."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from surroundings import ROOT, environment
from waiting import wait_for

from reasoning.random_checkpoints import make_idefics3

READY_S = 150.0
_UNDISTURBED = {"OMNILIVE_REASONING__CAPTIONS": "false"}
"""Captions, made whenever nobody asks, would change events between two looks; their own tests turn them on."""
LAST_LINE = re.compile(r"omnilive: error\[([a-z_]+)\]: (.+)")


def command(*arguments: str) -> list[str]:
    """`omnilive serve`, told to end when the tests die."""
    serve = [sys.executable, "-m", "clients.cli.main", "serve", *arguments]
    return [sys.executable, "-m", "evaluation.tethered", *serve]


@dataclass
class Server:
    """A running server; `stdout` holds all lines that it said."""

    process: "subprocess.Popen[str]"
    log: Path
    stdout: list[str] = field(default_factory=list)
    url: str = ""
    told: threading.Condition = field(default_factory=threading.Condition)

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.told:
                self.stdout.append(line.rstrip("\n"))
                self.told.notify_all()
        with self.told:
            self.told.notify_all()

    def wait_ready(self) -> None:
        with self.told:
            self.told.wait_for(lambda: bool(self.stdout) or self.process.poll() is not None, READY_S)
        assert self.stdout, f"not ready: {self.errors()[-2000:]}"
        self.url = self.stdout[0].removeprefix("ready ")

    def errors(self) -> str:
        return self.log.read_text(errors="replace")

    def stages(self, **headers: str) -> dict[str, Any]:
        with self.client(**headers) as client:
            processes: dict[str, Any] = client.get("/v1/server").json()["processes"]
        return processes

    def open_questions(self) -> float:
        with self.client() as client:
            text = client.get("/metrics").text
        return float(text.split("\nomnilive_questions_in_flight ")[1].split()[0])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 40) -> int:
        return self.process.wait(seconds)

    def end(self) -> None:
        family = psutil.Process(self.pid).children(recursive=True) if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        _, left = psutil.wait_procs(family, timeout=5)
        for one in left:
            one.kill()


Launch = Callable[..., Server]


@pytest.fixture(scope="session")
def _launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    servers: list[Server] = []

    def launch(*arguments: str, data: Path | None = None, ready: bool = True, **variables: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        log = folder / "log"
        given = ["--port", "0", "--data", str(data or folder / "data"), *arguments]
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command(*given),
                cwd=ROOT,
                env=environment(**(_UNDISTURBED | variables)),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        server = Server(process, log)
        servers.append(server)
        threading.Thread(target=server.read, daemon=True).start()
        if ready:
            server.wait_ready()
        return server

    yield launch
    for server in servers:
        server.end()


@pytest.fixture
def launch(_launcher: Launch) -> Iterator[Launch]:
    """Starts servers of a test's own; they end with it."""
    started: list[Server] = []

    def go(*arguments: str, **options: Any) -> Server:
        started.append(_launcher(*arguments, **options))
        return started[-1]

    yield go
    for server in started:
        server.end()


@pytest.fixture(scope="session")
def server(_launcher: Launch, make_clip: Any) -> Server:
    """One server for all tests that only use its doors; files of the clips' folder are allowed."""
    return _launcher("--allow-files", str(make_clip().parent))


@pytest.fixture(scope="session")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint: it hardly ever ends by itself, so that an answer lasts as long as it may."""
    folder = make_idefics3(tmp_path_factory.mktemp("talkative") / "model", "small")
    return folder


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., tuple[str, str, float]]:
    """Runs a `serve` that must refuse: its code, its message and how long it took."""

    def run(*arguments: str, limit_s: float = 30, **variables: str) -> tuple[str, str, float]:
        given = list(arguments)
        for name, value in (("--port", "0"), ("--data", str(tmp_path / "data"))):
            if name not in given:
                given += [name, value]
        began = time.monotonic()
        done = subprocess.run(
            command(*given), cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=limit_s
        )
        took = time.monotonic() - began
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        last = LAST_LINE.fullmatch(done.stderr.rstrip("\n").splitlines()[-1])
        assert last is not None, done.stderr
        return last[1], last[2], took

    return run


@pytest.fixture(scope="session")
def omnilive(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a command to its end: `omnilive("ask", "cam", "What?", url=server.url)`; nothing to read on stdin."""
    folder = tmp_path_factory.mktemp("cwd")

    def run(*arguments: str, url: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        given = {**variables, "OMNILIVE_URL": url, "COLUMNS": "200", "XDG_DATA_HOME": str(folder)}
        return subprocess.run(
            [sys.executable, "-m", "clients.cli.main", *arguments],
            cwd=folder, env=environment(**given), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Polls until something holds: `until(lambda: ..., 10)` returns what it was."""
    return wait_for
