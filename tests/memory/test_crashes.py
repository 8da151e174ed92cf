"""Processes that die while they remember and forget: what was acknowledged is there, what was forgotten is not."""

import sqlite3
import subprocess
from pathlib import Path

import pytest

from evaluation.hardware import ROOT
from evaluation.micro.durable.audit import Acknowledged, audit
from evaluation.micro.durable.crashes import ALL_PLACES, SIZE, command, failpoint_cycles, kill_cycles
from evaluation.micro.durable.feeder import mark_of
from memory import failpoints


def quiet(_: str) -> None:
    return


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    outcome = kill_cycles(tmp_path, 5, seed=1, progress=quiet)
    assert outcome.faults == []
    assert outcome.kept > 5
    assert outcome.forgot > 0
    assert outcome.ready_s < 10


@pytest.mark.parametrize("place", ALL_PLACES)
def test_a_death_at_each_step_leaves_old_or_new(tmp_path: Path, place: str) -> None:
    outcome = failpoint_cycles(tmp_path, [place], 2, quiet)
    assert (outcome.faults, outcome.not_reached) == ([], 0)


def test_an_unknown_place_cannot_be_armed() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        failpoints.arm("nowhere")


def killed(folder: Path) -> Acknowledged:
    """A folder in which a process remembered and forgot; what it said."""
    done = subprocess.run(command(folder, "--events", "9"), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    said = Acknowledged()
    said.take(done.stdout.splitlines(keepends=True))
    assert audit(folder, said, SIZE) == []
    return said


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DELETE FROM events WHERE seq = 5", "lost"),
        ("UPDATE frames SET picture = picture + 1 WHERE event = 5", "rows are damaged"),
        ("DELETE FROM words WHERE rowid = 5", "not found by its words"),
        ("DELETE FROM vectors WHERE picture IN (SELECT picture FROM frames WHERE event = 5)", "index and the rows"),
    ],
)
def test_the_audit_sees_what_is_lost(tmp_path: Path, change: str, fault: str) -> None:
    said = killed(tmp_path)
    db = sqlite3.connect(tmp_path / "streams/default/cam/memory.sqlite")
    db.execute(change)
    db.commit()
    db.close()
    assert any(fault in one for one in audit(tmp_path, said, SIZE))


def test_the_audit_sees_what_is_left(tmp_path: Path) -> None:
    said = killed(tmp_path)
    assert said.forgot
    (tmp_path / "left").write_bytes(b"..." + mark_of(said.kept[min(said.forgot)][0]))
    assert any("bytes" in one for one in audit(tmp_path, said, SIZE))
