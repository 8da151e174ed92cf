"""A server of one's own for a while: `omnilive serve` on a free port and a data folder, started, watched, stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from clients.api import ApiError

ROOT: Final = Path(__file__).resolve().parent.parent
_READY: Final = "ready "


class OwnServer:
    """`with OwnServer(folder) as server:` waits until it is ready. `folder` takes its data and its log.

    Raises ApiError not_started with what it said last. Leaving stops it, unless `keep` is set.
    """

    def __init__(self, folder: Path, patience_s: float = 300.0) -> None:
        self._folder = folder
        self._patience_s = patience_s
        self._log = folder / "server.log"
        self._said = ""
        self._ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.ready_s = 0.0
        self.keep = False

    def __enter__(self) -> Self:
        began = time.monotonic()
        held: list[int] = []
        mine = threading.current_thread() is threading.main_thread()
        if mine:
            # Whoever ends us ends what we started, so not before `stop` knows what that is.
            signal.signal(signal.SIGTERM, lambda number, frame: held.append(number))
        self._process = self._launch()
        try:
            if mine:
                # By default, SIGTERM would run no clean-up.
                signal.signal(signal.SIGTERM, _leave)
            if held:
                _leave(held[0], None)
            threading.Thread(target=self._listen, args=(self._process,), name="server-stdout", daemon=True).start()
            self._wait_ready(began + self._patience_s)
        except BaseException:
            self.stop()
            raise
        self.url, self.ready_s = self._said.removeprefix(_READY).strip(), time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self.keep or error is not None:
            self.stop()

    @property
    def pid(self) -> int | None:
        """Its process, None once it has stopped."""
        return None if self._process is None else self._process.pid

    def stop(self, patience_s: float = 15.0) -> int | None:
        """Ask it to stop; its exit code, None if it had to be killed. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def last_words(self) -> str:
        """The last line of its log."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it said nothing"

    def _launch(self) -> "subprocess.Popen[str]":
        serve = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", str(self._folder / "data")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "clients.cli.main", *serve],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        """Read stdout to its end: the one line that matters, and the end itself."""
        for line in process.stdout or ():
            if line.startswith(_READY):
                self._said = line
                self._ready.set()
        self._ready.set()

    def _wait_ready(self, deadline: float) -> None:
        if not self._ready.wait(max(0.0, deadline - time.monotonic())):
            raise ApiError("not_started", f"the server was not ready after {self._patience_s:.0f} s")
        if not self._said:
            raise ApiError("not_started", f"the server did not start: {self.last_words()}")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
