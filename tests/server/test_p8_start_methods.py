"""Bar P8: children are started afresh, from the main thread: nothing is forked, no multiprocessing."""

import ast
import threading
from pathlib import Path

import pytest

from server.ipc.links import Links
from server.ipc.process import StageProcess

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("perception", "memory", "reasoning", "server", "clients")
FORKS = {"fork", "forkpty", "preexec_fn"}


@pytest.mark.parametrize("package", PACKAGES)
def test_p8_nothing_forks(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            assert "multiprocessing" not in names, path
            assert getattr(node, "attr", None) not in FORKS, path
            assert getattr(node, "arg", None) not in FORKS, path


def test_p8_a_child_is_not_started_from_another_thread() -> None:
    """It would die with that thread."""
    raised: list[BaseException] = []

    def start() -> None:
        try:
            StageProcess("memory", Links.__new__(Links))
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(raised) == 1
