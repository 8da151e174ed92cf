"""Damage to one stream's store, and jobs that raise what nobody expects: the other streams go on."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    BarrierReached,
    Context,
    EventPage,
    Forget,
    Forgotten,
    ListEvents,
    MemoryOpened,
    MemoryStatus,
    Recall,
    Refused,
    StreamRestored,
)
from memory.stage import MemoryStage
from perception.messages import Barrier, Speech

S = 1_000_000
OTHER = "default/other"
TABLES = (
    "events", "events_by_start", "events_by_end", "totals", "frames", "frames_by_picture", "pictures", "vectors",
    "meta", "gaps", "tombstones", "doomed", "event_vectors", "words_data", "sqlite_schema",
)  # fmt: skip


def listing(stream: str) -> ListEvents:
    return ListEvents(stream, 7, None, 0, FOREVER_US, 50, None)


def damage(file: Path, table: str, filler: int) -> None:
    """Overwrite 64 bytes at the start of a table's root page."""
    db = sqlite3.connect(file)
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone() or (1,)
    db.close()
    data = bytearray(file.read_bytes())
    at = (root - 1) * 4096
    data[at : at + 64] = bytes([filler]) * 64
    file.write_bytes(data)


@pytest.mark.parametrize("filler", [0, 0xFF])
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_page_stops_no_other_stream(
    make_stage: Any, config: MemoryConfig, clock: Any, tools: Any, table: str, filler: int
) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), tools.opening(OTHER), *(tools.percept(n * S, str(n)) for n in range(3)))
    tools.drive(first, Speech(tools.stream, 0, S, "a word"), tools.percept(5 * S, "red", cut_us=5 * S))
    first.close()
    damage(Path(config.streams_folder) / "default" / "cam" / "memory.sqlite", table, filler)
    stage = make_stage()
    clock.now_us += 5 * S
    restored = [one.stream for one in tools.drive(stage) if isinstance(one, StreamRestored)]
    assert OTHER in restored
    answers = tools.drive(
        stage, tools.opening(), tools.percept(20 * S, "blue"), Barrier(tools.stream, 1), Barrier(OTHER, 2),
        listing(tools.stream), Forget(tools.stream, 8, None, 0, S),
        Recall(9, [OTHER], "what was it?", None, None, [0], 4),
    )  # fmt: skip
    told = {type(one) for one in answers}
    assert {MemoryOpened, BarrierReached, Context} <= told
    assert BarrierReached(OTHER, 2) in answers
    assert sum(isinstance(one, EventPage | Refused) for one in answers if getattr(one, "request", 0) == 7) == 1
    assert sum(isinstance(one, Forgotten | Refused) for one in answers if getattr(one, "request", 0) == 8) == 1


def test_a_stream_of_which_not_all_can_be_read_says_so(stage: MemoryStage, clock: Any, tools: Any) -> None:
    tools.drive(stage, tools.percept(0, "red"), Barrier(tools.stream, 1))
    store = stage._streams[tools.stream].store
    store.db.execute("DELETE FROM totals")
    clock.now_us += 5 * S
    outputs = tools.drive(stage, tools.percept(S, "blue"), Barrier(tools.stream, 2))
    status = [one for one in outputs if isinstance(one, MemoryStatus)][-1]
    assert status.fault is not None
    assert status.fault.code == "internal_error"
    assert tools.only(tools.drive(stage, Barrier(tools.stream, 3)), BarrierReached).fault == status.fault


def test_an_index_that_cannot_be_loaded_is_not_waited_for(
    make_stage: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), tools.percept(0, "red"), Barrier(tools.stream, 1))
    first.close()

    def fail(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("memory.reading.Reader.vectors", fail)
    stage = make_stage()
    answers = tools.drive(stage, Recall(9, [tools.stream], "what was it?", None, None, [S], 4))
    assert len(tools.only(answers, Context).evidence) == 1
    assert stage._streams[tools.stream].fault is not None


@pytest.mark.parametrize("error", [OSError(5, "I/O"), ValueError("what nobody expects")])
def test_the_writer_goes_on_whatever_a_job_raises(
    disk_stage: MemoryStage, disk: Any, clock: Any, tools: Any, error: Any
) -> None:
    disk.error = error
    outputs = tools.drive(disk_stage, tools.percept(0, "red"), Barrier(tools.stream, 1))
    assert tools.only(outputs, BarrierReached).fault.code == "internal_error"
    disk.error = None
    assert tools.only(tools.drive(disk_stage, Barrier(tools.stream, 2)), BarrierReached).fault is None
    assert len(tools.only(tools.drive(disk_stage, Forget(tools.stream, 3, None, 0, S)), Forgotten).events) == 1


def test_a_writer_that_dies_ends_the_stage(make_stage: Any, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise MemoryError

    rung: list[bool] = []
    stage = make_stage(notify=lambda: rung.append(True))
    tools.drive(stage, tools.opening())
    monkeypatch.setattr("memory.writer._groups", die)
    stage.submit(tools.percept(0, "red"))
    stage.step()
    stage._writer._thread.join()
    assert rung
    assert stage.has_work()
    with pytest.raises(RuntimeError, match="MemoryError"):
        stage.step()
    stage._writer._died = None
    stage._writer._outstanding = 0
    stage._streams.clear()
