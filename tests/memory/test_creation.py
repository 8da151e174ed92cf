"""A store that is being made when its process is killed or the disk is full: it is whole, or it is not there."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memory.config import MemoryConfig
from memory.messages import MemoryOpened
from memory.stage import MemoryStage

KILLED = """
import os, sys
from pathlib import Path
from memory import store, writing
from memory.messages import MemoryOptions
module = {{"os": os, "writing": writing, "store": store}}["{module}"]
setattr(module, "{name}", lambda *_: os._exit(9))
store.Store.create(Path(sys.argv[1]) / "default" / "cam", "default/cam", store.Settings("", 0, MemoryOptions(), "UTC"))
"""


@pytest.mark.parametrize("at", ["store.writing_pragmas", "writing.set_meta", "store.put_settings", "os.rename"])
def test_a_store_that_was_being_made_at_a_kill_is_made_again(
    make_stage: Any, config: MemoryConfig, tools: Any, at: str
) -> None:
    module, name = at.split(".")
    root = Path(config.streams_folder)
    code = KILLED.format(module=module, name=name)
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False).returncode == 9
    stage = make_stage()
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert tools.only(tools.drive(stage, tools.opening()), MemoryOpened) == MemoryOpened(tools.stream, 0, None)


@pytest.mark.parametrize("empty", [False, True])
def test_what_an_unfinished_creation_left_in_its_place_stops_nobody(
    make_stage: Any, config: MemoryConfig, tools: Any, empty: bool
) -> None:
    file = Path(config.streams_folder) / "default" / "cam" / "memory.sqlite"
    file.parent.mkdir(parents=True)
    file.touch()
    if not empty:
        db = sqlite3.connect(file)
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
        assert file.stat().st_size > 0
    stage = make_stage()
    assert tools.only(tools.drive(stage, tools.opening()), MemoryOpened) == MemoryOpened(tools.stream, 0, None)


@pytest.mark.parametrize(
    "failing", ["memory.store.put_settings", "memory.store.os.rename", "memory.store.Store.__init__"]
)
def test_a_creation_that_fails_leaves_nothing(
    make_stage: Any, config: MemoryConfig, tools: Any, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "no space")

    stage: MemoryStage = make_stage()
    with monkeypatch.context() as patched:
        patched.setattr(failing, fail)
        opened = tools.only(tools.drive(stage, tools.opening()), MemoryOpened)
    assert opened.fault.code == "storage_full"
    assert [path for path in Path(config.streams_folder).rglob("*") if path.is_file()] == []
    assert tools.only(tools.drive(stage, tools.opening()), MemoryOpened).fault is None


def test_a_database_that_is_no_store_is_left_alone(make_stage: Any, config: MemoryConfig, tools: Any) -> None:
    file = Path(config.streams_folder) / "default" / "cam" / "memory.sqlite"
    file.parent.mkdir(parents=True)
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE mine (x)")
    db.close()
    data = file.read_bytes()
    stage = make_stage()
    assert tools.only(tools.drive(stage, tools.opening()), MemoryOpened).fault.code == "internal_error"
    assert file.read_bytes() == data
