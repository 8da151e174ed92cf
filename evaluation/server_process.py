"""A real server for a benchmark: `omnilive serve`, a free port, a scratch folder; watched and always taken down."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from evaluation.hardware import ROOT

STAGES = ("perception", "memory", "reasoning")
CLOSE_S = 8.0
"""How long a server may take to end by itself when a benchmark is over, before it is killed."""

_READY = "ready "


class ServerFailed(RuntimeError):
    """The server did not start, died, or did not stop; the text ends with what it last said."""


@dataclass(frozen=True)
class Usage:
    """What the server's processes use at one moment. rss_mib by name (server and stages), the rest summed."""

    at_s: float
    rss_mib: dict[str, float]
    fds: int
    cpu_s: float

    @property
    def total_rss_mib(self) -> float:
        """Resident memory of all processes; what they share counts in each."""
        return sum(self.rss_mib.values())


class ServerProcess:
    """`with ServerProcess(["--model", folder]) as server:` starts and waits for the line `ready URL`.

    data: the data folder (default: a scratch folder that goes with the server). ready_s: the greatest patience.
    Raises ServerFailed.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        ready_s: float = 180.0,
    ) -> None:
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._patience_s = ready_s
        self._scratch = tempfile.TemporaryDirectory(prefix="omnilive-bench-")
        self.videos.mkdir()
        self._data = data or Path(self._scratch.name) / "data"
        self._log = Path(self._scratch.name) / "log"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said: list[str] = []
        self._told = threading.Condition()
        self._known: list[psutil.Process] = []
        self.url = ""
        self.ready_s = 0.0

    @property
    def videos(self) -> Path:
        """A folder from which the server may read files; it is deleted with the server."""
        return Path(self._scratch.name) / "videos"

    @property
    def pid(self) -> int:
        """The server's own process."""
        return self._running().pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start it and wait until it says that it is ready; `url` and `ready_s` are set then."""
        if self._process is not None:
            raise ServerFailed("the server runs already")
        serve = ["-m", "clients.cli.main", "serve", "--port", "0", "--data", str(self._data)]
        allowed = ["--allow-files", str(self.videos)]
        command = [sys.executable, "-m", "evaluation.tethered", sys.executable, *serve, *allowed, *self._arguments]
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._child_environment(), stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.url = self._wait_ready(began + self._patience_s)
        self.ready_s = time.monotonic() - began
        self._known = self._family()

    def stop(self, patience_s: float = 30.0) -> float:
        """Ask it to stop (SIGTERM) and wait until it and its children are gone: the seconds that took.

        Raises ServerFailed if it takes longer, exits with another status than 0 or leaves a process behind.
        """
        process, family = self._running(), self._family()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"not stopped after {patience_s:.0f} s: {self.log_tail()}") from None
        _, left = psutil.wait_procs(family, timeout=5)
        taken_s = time.monotonic() - began
        if left:
            raise ServerFailed(f"left {len(left)} process(es) behind")
        if status != 0:
            raise ServerFailed(f"stopped with status {status}: {self.log_tail()}")
        self._process = None
        return taken_s

    def close(self) -> None:
        """Take everything down, whatever state it is in, and delete the scratch folder."""
        if self._process is not None:
            self._kill_all(self._process)
            self._process = None
        if self._reader is not None:
            self._reader.join(5)
            self._reader = None
        self._scratch.cleanup()

    def _kill_all(self, process: "subprocess.Popen[str]") -> None:
        family = list({one.pid: one for one in [*self._known, *self._family()]}.values())
        for one in family:
            _resume(one)
        process.terminate()
        try:
            process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _, left = psutil.wait_procs(family, timeout=2)
        for one in left:
            _kill(one)

    # ------------------------------------------------------------ what it uses

    def stages(self) -> dict[str, psutil.Process]:
        """The stage processes by name, as the server itself names them."""
        answer = httpx.get(f"{self.url}/v1/server", timeout=10)
        answer.raise_for_status()
        processes = answer.json()["processes"]
        return {name: psutil.Process(processes[name]["pid"]) for name in STAGES}

    def usage(self) -> Usage:
        """Memory, descriptors and processor time of the server and its stages, now."""
        members = {"server": psutil.Process(self.pid), **self.stages()}
        rss = {name: member.memory_info().rss / 2**20 for name, member in members.items()}
        fds = sum(member.num_fds() for member in members.values())
        times = [member.cpu_times() for member in members.values()]
        return Usage(time.monotonic(), rss, fds, sum(one.user + one.system for one in times))

    def log_tail(self, lines: int = 3) -> str:
        """What it last wrote to stderr."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(it said nothing)"
        return " | ".join(text.strip().splitlines()[-lines:]) or "(it said nothing)"

    # ------------------------------------------------------------ inside

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise ServerFailed("the server does not run")
        return self._process

    def _child_environment(self) -> dict[str, str]:
        """Ours, without the settings that would change what is measured."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILIVE_")}
        kept["PYTHONPATH"] = os.pathsep.join(part for part in (str(ROOT), kept.get("PYTHONPATH", "")) if part)
        return {**kept, **self._environment}

    def _read(self, process: "subprocess.Popen[str]") -> None:
        """Collect stdout until it ends, so that the server never blocks on it."""
        if process.stdout is None:
            return
        with process.stdout as stdout:
            for line in stdout:
                with self._told:
                    self._said.append(line.rstrip("\n"))
                    self._told.notify_all()
        with self._told:
            self._told.notify_all()

    def _wait_ready(self, deadline: float) -> str:
        process = self._running()
        with self._told:
            while True:
                ready = [line for line in self._said if line.startswith(_READY)]
                if ready:
                    return ready[0].removeprefix(_READY).strip().rstrip("/")
                if process.poll() is not None:
                    raise ServerFailed(f"exited with status {process.returncode}: {self.log_tail()}")
                if time.monotonic() > deadline:
                    raise ServerFailed(f"not ready after {self._patience_s:.0f} s: {self.log_tail()}")
                self._told.wait(0.05)

    def _family(self) -> list[psutil.Process]:
        """All descendants that live now."""
        if self._process is None:
            return []
        try:
            return list(psutil.Process(self._process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


def _resume(process: psutil.Process) -> None:
    """A stopped process cannot see that it is asked to end."""
    try:
        if process.status() == psutil.STATUS_STOPPED:
            process.resume()
    except psutil.NoSuchProcess:
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
