"""Signals before the server is there: they are asked for, not died of."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.stopping import Stopper

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
