"""Signals before the server is there: they are asked for, not died of."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.stopping import Reloader, Stopper

ROOT = Path(__file__).resolve().parents[2]

AT_IMPORT = """
import os, signal, sys

class Asked:
    def find_spec(self, name, path, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), getattr(signal, number))

number, module, *arguments = sys.argv[1:]
sys.meta_path.insert(0, Asked())
sys.argv = ["omnilive", *arguments]
from clients.cli.main import main
main()
"""
"""Runs the command line and sends a signal to itself just before a module is imported."""


@pytest.fixture
def stopper() -> Iterator[Stopper]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Stopper()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("module", ["typer", "server.config", "server.run", "server.models"])
def test_asked_to_stop_while_modules_are_imported(tmp_path: Path, number: str, module: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILIVE_")}
    done = subprocess.run(
        [sys.executable, "-c", AT_IMPORT, number, module, "serve", "--port", "0", "--data", str(tmp_path / "data")],
        cwd=ROOT, env={**kept, "XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_who_comes_to_listen_later_is_told_as_well(stopper: Stopper) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    told: list[int] = []
    with stopper.telling(lambda: told.append(stopper.asked)):
        assert told == [1]
        os.kill(os.getpid(), signal.SIGINT)
    assert told == [1, 2]
    os.kill(os.getpid(), signal.SIGINT)
    assert (told, stopper.asked) == ([1, 2], 3)


def test_once_it_is_over_signals_change_nothing(stopper: Stopper) -> None:
    stopper.finish()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert stopper.asked == 0


WAIT_FOR_ONE = """
import signal
from server.stopping import reloader, stopper

stopper.install()
reloader.install()
print("ready", flush=True)
while not stopper.asked + reloader.asked:
    signal.pause()
print(stopper.asked, reloader.asked, flush=True)
"""


@pytest.mark.parametrize(("hung_up", "asked"), [(False, "0 1"), (True, "1 0")])
def test_a_hangup_of_its_terminal_stops_and_any_other_reads_again(hung_up: bool, asked: str) -> None:
    ours, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", WAIT_FOR_ONE], cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE, text=True
    ) as waiting:
        os.close(terminal)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        if hung_up:
            os.close(ours)
        waiting.send_signal(signal.SIGHUP)
        assert waiting.stdout.read() == f"{asked}\n"
    if not hung_up:
        os.close(ours)


def test_hangups_before_somebody_listens_are_told_later() -> None:
    before = signal.getsignal(signal.SIGHUP)
    reloader = Reloader()
    reloader.install()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        told: list[int] = []
        with reloader.telling(lambda: told.append(reloader.asked)):
            assert told == [1]
    finally:
        signal.signal(signal.SIGHUP, before)
