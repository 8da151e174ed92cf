"""A stream out as one file and in again; files that no export wrote; forgetting beside an export."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    Context,
    DropMemory,
    Dropped,
    EventPage,
    Exported,
    ExportMemory,
    Forget,
    Forgotten,
    FrameFound,
    GetFrame,
    Imported,
    ImportMemory,
    ListEvents,
    Recall,
    Refused,
    StreamRestored,
)
from memory.stage import MemoryStage
from perception.messages import Barrier, Gap, Speech

S = 1_000_000
COPY = "default/copy"
DECLARED = '{"id": "copy", "tenant": "default", "start_wall_us": 0, "created_wall_us": 5, "url": null}'


@pytest.fixture
def lived(stage: MemoryStage, tools: Any) -> MemoryStage:
    """Six scenes, something said, a gap, one event forgotten, one still open."""
    for n in range(6):
        scene = ["red", "green", "blue"][n % 3]
        data = tools.picture(((n * 40) % 255, 30, 30), "JPEG")
        at = 10 * n * S
        tools.drive(stage, tools.percept(at, scene, data, cut_us=at if n else None))
    tools.drive(stage, Speech(tools.stream, 21 * S, 22 * S, "a secret word"), Speech(tools.stream, 1 * S, 2 * S, "hi"))
    tools.drive(stage, Gap(tools.stream, 60 * S, 70 * S, "offline"), Barrier(tools.stream, 1))
    tools.drive(stage, Forget(tools.stream, 4, None, 20 * S, 30 * S - 1))
    return stage


def listed(stage: MemoryStage, tools: Any, stream: str) -> list[Any]:
    page = tools.only(tools.drive(stage, ListEvents(stream, 7, None, 0, FOREVER_US, 500, None)), EventPage)
    return list(page.events)


def exported(stage: MemoryStage, tools: Any) -> Path:
    return Path(tools.only(tools.drive(stage, ExportMemory(tools.stream, 5)), Exported).path)


def taken_in(stage: MemoryStage, tools: Any, path: Path, stream: str = COPY) -> Any:
    outputs = tools.drive(stage, ImportMemory(stream, 6, str(path), DECLARED))
    return next(one for one in outputs if isinstance(one, Imported | Refused))


def test_a_stream_comes_back_as_it_was(lived: MemoryStage, make_stage: Any, tools: Any) -> None:
    before = listed(lived, tools, tools.stream)
    path = exported(lived, tools)
    made = taken_in(lived, tools, path)
    told = msgspec.json.decode(made.declaration)
    assert (told["start_wall_us"], told["time_zone"], told["id"]) == (1_772_618_400_000_000, "Europe/Berlin", "copy")
    assert made.end_us == lived._streams[tools.stream].store.resume().end_us
    after = listed(lived, tools, COPY)
    assert [msgspec.structs.replace(one, stream=tools.stream, open=False) for one in after] == [
        msgspec.structs.replace(one, open=False) for one in before
    ]
    for one in before:
        for frame in one.frames:
            frames = [
                tools.only(tools.drive(lived, GetFrame(key, 5, one.id, frame.n)), FrameFound).jpeg
                for key in (tools.stream, COPY)
            ]
            assert frames[0] == frames[1]
    recalls = [
        tools.drive(lived, Recall(9, [key], "was it green?", None, None, [80 * S], 4)) for key in (tools.stream, COPY)
    ]
    assert [one.event for one in recalls[0][0].evidence] == [one.event for one in recalls[1][0].evidence]
    assert lived._streams[COPY].store.reader.gaps(0, FOREVER_US, 9) == lived._streams[tools.stream].store.reader.gaps(
        0, FOREVER_US, 9
    )
    lived.close()
    again = [one.stream for one in tools.drive(make_stage()) if isinstance(one, StreamRestored)]
    assert sorted(again) == [tools.stream, COPY]


def test_what_is_kept_aside_comes_along(stage: MemoryStage, tools: Any) -> None:
    def see(n: int) -> Any:
        return tools.percept(n * S, str(n), tools.picture((9 * n, 30, 30), "JPEG"))

    tools.drive(stage, *(see(n) for n in range(3)), Barrier(tools.stream, 1))
    asked = Recall(1, [tools.stream], "what was there before", None, None, [3 * S], 4)
    shown = tools.only(tools.drive(stage, asked), Context).evidence
    tools.drive(stage, *(see(n) for n in range(3, 20)), Gap(tools.stream, 20 * S, 30 * S, "offline"))
    assert isinstance(taken_in(stage, tools, exported(stage, tools)), Imported)
    [event] = listed(stage, tools, COPY)
    assert {one.n for one in shown} - {frame.n for frame in event.frames}
    for one in shown:
        found = tools.only(tools.drive(stage, GetFrame(COPY, 2, one.event, one.n)), FrameFound)
        assert found.jpeg == one.jpeg


def test_an_archive_holds_nothing_that_is_not_to_be_in_it(lived: MemoryStage, tools: Any) -> None:
    tools.drive(lived, tools.opening())
    path = exported(lived, tools)
    content = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert b"secret" not in content
    assert b'"id": "cam"' not in content
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM events").fetchone() == (5,)


def test_what_is_forgotten_while_an_archive_is_written_is_not_in_it(lived: MemoryStage, tools: Any) -> None:
    lived.submit(ExportMemory(tools.stream, 5))
    lived.submit(Forget(tools.stream, 8, None, 0, 10 * S - 1))
    outputs = tools.drive(lived)
    tools.only(outputs, Forgotten)
    found = [one for one in outputs if isinstance(one, Exported | Refused)]
    assert len(found) == 1
    if isinstance(found[0], Exported):
        with sqlite3.connect(found[0].path) as db:
            assert db.execute("SELECT count(*) FROM events").fetchone() == (4,)
    assert len(list(Path(lived._archives._archivist.folder).iterdir())) == isinstance(found[0], Exported)


def test_refusals(lived: MemoryStage, tools: Any) -> None:
    path = exported(lived, tools)
    assert taken_in(lived, tools, path, tools.stream).fault.code == "stream_exists"
    refused = tools.only(tools.drive(lived, ExportMemory("default/none", 5)), Refused)
    assert refused.fault.code == "stream_not_found"
    assert isinstance(taken_in(lived, tools, path), Imported)
    assert taken_in(lived, tools, path).fault.code == "stream_exists"
    tools.only(tools.drive(lived, DropMemory(COPY, 9)), Dropped)
    assert isinstance(taken_in(lived, tools, path), Imported)


CHANGES = [
    "UPDATE archive SET value = 'x' WHERE key = 'sha256'",
    "UPDATE archive SET value = '2' WHERE key = 'format'",
    "UPDATE archive SET value = 'soon' WHERE key = 'start_wall_us'",
    "DELETE FROM archive",
    "DELETE FROM events WHERE seq = 2",
    "UPDATE pictures SET jpeg = vector",
    "CREATE VIEW more AS SELECT * FROM events",
    "CREATE TRIGGER more AFTER INSERT ON events BEGIN DELETE FROM events; END",
    "CREATE TABLE more (a)",
    "PRAGMA application_id = 1",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_no_export_wrote_leaves_nothing(
    lived: MemoryStage, config: MemoryConfig, tools: Any, change: str
) -> None:
    path = exported(lived, tools)
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute(change)
    assert taken_in(lived, tools, path).fault.code == "archive_invalid"
    assert list(Path(config.streams_folder).rglob("*copy*")) == []
    assert [one for one in Path(config.streams_folder).iterdir() if one.name.startswith(".new")] == []


def forged(path: Path, **changed: Any) -> None:
    """The same archive with its first event changed, and a checksum that fits."""
    from memory import archive

    with sqlite3.connect(path, isolation_level=None) as db:
        seq, blob = db.execute("SELECT seq, row FROM events ORDER BY seq LIMIT 1").fetchone()
        event = msgspec.msgpack.decode(blob, type=archive.ArchivedEvent)
        db.execute(
            "UPDATE events SET row = ? WHERE seq = ?",
            (msgspec.msgpack.encode(msgspec.structs.replace(event, **changed)), seq),
        )
        db.execute("UPDATE archive SET value = ? WHERE key = 'sha256'", (archive._digest(db),))


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "../../etc"},
        {"id": "e_"},
        {"start_us": -1},
        {"end_us": 1 << 62},
        {"merged": 0},
        {"start_us": 5, "end_us": 4},
        {"end_us": 15 * S},
        {"frames": ((0, 0, 999, 0),)},
        {"frames": ((-1, 0, 1, 0),)},
        {"frames": ((0, 0, 1, 0), (0, 0, 1, 0))},
        {"vector": b"x"},
        {"vector": np.array([np.inf], np.float16).tobytes()},
        {"vector": bytes(1 << 20)},
    ],
)
def test_a_forged_event_is_refused_though_its_checksum_fits(
    lived: MemoryStage, tools: Any, changed: dict[str, Any]
) -> None:
    path = exported(lived, tools)
    forged(path, **changed)
    assert taken_in(lived, tools, path).fault.code == "archive_invalid"
    assert COPY not in lived._streams


def test_a_forgery_that_changes_nothing_is_taken(lived: MemoryStage, tools: Any) -> None:
    path = exported(lived, tools)
    forged(path)
    assert isinstance(taken_in(lived, tools, path), Imported)


def test_no_bit_of_an_archive_can_be_flipped(lived: MemoryStage, tools: Any, tmp_path: Path) -> None:
    good = exported(lived, tools)
    dice = np.random.default_rng(5)
    data = good.read_bytes()
    for n in range(30):
        flipped = bytearray(data)
        flipped[int(dice.integers(len(data)))] ^= 1 << int(dice.integers(8))
        file = tmp_path / f"flipped{n}"
        file.write_bytes(flipped if n % 3 else data[: int(dice.integers(len(data)))])
        made = taken_in(lived, tools, file)
        if isinstance(made, Imported):
            # A byte that no row uses: what was taken in is what was sent.
            assert {one.id for one in listed(lived, tools, COPY)} == {
                one.id for one in listed(lived, tools, tools.stream)
            }
            tools.drive(lived, DropMemory(COPY, 9))
        else:
            assert made.fault.code == "archive_invalid"


def test_archives_that_were_left_go_at_the_next_start(
    lived: MemoryStage, make_stage: Any, config: MemoryConfig, tools: Any
) -> None:
    path = exported(lived, tools)
    shutil.copy(path, path.with_name("left"))
    lived.close()
    make_stage()
    assert not path.parent.exists()
