"""The full-text index: it does not wear out, keeps no forgotten word, and is made anew where it is damaged."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from memory import fulltext
from memory.messages import EventCommitted, EventPage, Forget, Forgotten, ListEvents
from memory.stage import MemoryStage
from memory.store import FILE_NAME, Store
from perception.messages import Speech, StreamEnded

S = 1_000_000
UNREADABLE = {
    "worn out": "UPDATE words_data SET block = x'000000008F5201AD3E' || zeroblob(4000) WHERE id = 10",
    "no structure": "DELETE FROM words_data WHERE id = 10",
    "nonsense": "UPDATE words_data SET block = x'ffffffffffffffffffff'",
}


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.execute("PRAGMA secure_delete = ON")
        opened.executescript(resources.files("memory").joinpath("schema.sql").read_text())
        yield opened


def test_forgetting_ever_again_does_not_wear_it_out(db: sqlite3.Connection) -> None:
    numbers = iter(range(1, 10_000))

    def hear(count: int) -> None:
        for seq in itertools.islice(numbers, count):
            fulltext.put(db, seq, f"heard{seq:020}", None)

    hear(1000)
    grown = []
    for seq in range(1, 150):
        hear(3)
        db.execute("DELETE FROM words WHERE rowid = ?", (seq,))
        fulltext.settle(db)
        grown.append(fulltext.levels(db))
    assert max(grown) < fulltext.MOST_LEVELS + 4
    assert min(grown[100:]) < 4 < min(grown[50:90])
    assert db.execute("SELECT rowid FROM words WHERE words MATCH ?", (f"heard{150:020}",)).fetchall() == [(150,)]
    assert not [seq for seq in range(1, 150) if f"heard{seq:020}".encode() in db.serialize()]


def found(stage: MemoryStage, tools: Any, word: str) -> list[str]:
    """Events that a search lists first by words, with that word in them."""
    page = tools.only(tools.drive(stage, ListEvents(tools.stream, 7, word, 0, 1 << 60, 50, None)), EventPage)
    return [one.id for one in page.events if word in (one.transcript or "")]


def told(stage: MemoryStage, tools: Any, at: int, word: str) -> str:
    """An event with a word, committed."""
    outputs = tools.drive(
        stage,
        tools.percept(at * S, "red", cut_us=at * S),
        Speech(tools.stream, at * S, at * S + 1, word),
        StreamEnded(tools.stream, (at + 1) * S, True),
    )
    return str(tools.only(outputs, EventCommitted).event.id)


def damage(folder: Path, how: str) -> Path:
    (file,) = folder.rglob(FILE_NAME)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(UNREADABLE[how])
    return file


@pytest.mark.parametrize("how", UNREADABLE)
def test_it_is_made_anew_when_it_cannot_be_opened(stage: MemoryStage, tools: Any, how: str, tmp_path: Path) -> None:
    tools.drive(stage, tools.opening())
    event = told(stage, tools, 1, "kettle")
    stage.close()
    file = damage(tmp_path, how)
    store = Store(file.parent)
    assert [seq for seq, _ in store.reader.matching(["kettle"], 0, 99, 9)] == [store.reader.by_id(event).seq]  # type: ignore[union-attr]
    assert not store.reader.corrupt
    assert store.db.execute("INSERT INTO words (words) VALUES ('integrity-check')").fetchall() == []
    store.close()


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_is_heard_after_it_was_damaged_is_kept(stage: MemoryStage, tools: Any, how: str, tmp_path: Path) -> None:
    tools.drive(stage, tools.opening())
    first = told(stage, tools, 1, "kettle")
    damage(tmp_path, how)
    second = told(stage, tools, 9, "parrot")
    assert found(stage, tools, "kettle") == [first]
    assert found(stage, tools, "parrot") == [second]


@pytest.mark.parametrize("how", UNREADABLE)
def test_forgetting_goes_on_after_it_was_damaged(stage: MemoryStage, tools: Any, how: str, tmp_path: Path) -> None:
    tools.drive(stage, tools.opening())
    event = told(stage, tools, 1, "kettle")
    file = damage(tmp_path, how)
    tools.only(tools.drive(stage, Forget(tools.stream, 3, event, 0, 0)), Forgotten)
    assert b"kettle" not in b"".join(path.read_bytes() for path in file.parent.iterdir())


def test_a_search_that_fails_has_it_made_anew(stage: MemoryStage, tools: Any, tmp_path: Path) -> None:
    tools.drive(stage, tools.opening())
    event = told(stage, tools, 1, "kettle")
    damage(tmp_path, "nonsense")
    assert found(stage, tools, "parrot") == []
    assert found(stage, tools, "kettle") == [event]


def test_a_posting_that_says_another_word_is_found_at_start(make_stage: Any, tools: Any, tmp_path: Path) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening())
    event = told(stage, tools, 1, "kettle")
    told(stage, tools, 9, "parrot")
    stage.close()
    (file,) = tmp_path.rglob(FILE_NAME)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        for row, block in other.execute("SELECT id, block FROM words_data WHERE id > 10").fetchall():
            other.execute("UPDATE words_data SET block = ? WHERE id = ?", (block.replace(b"ettl", b"ottl"), row))
        assert other.execute("SELECT * FROM words WHERE words MATCH 'kettle'").fetchall() == []
    again = make_stage()
    tools.drive(again)
    assert found(again, tools, "kettle") == [event]


def test_an_index_of_times_that_says_another_one_is_found_at_start(make_stage: Any, tools: Any, tmp_path: Path) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening())
    event = told(stage, tools, 70_000, "kettle")
    stage.close()
    (file,) = tmp_path.rglob(FILE_NAME)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events_by_end'").fetchone()
        (end_us,) = other.execute("SELECT reach_end_us FROM events").fetchone()
    data = bytearray(file.read_bytes())
    key = end_us.to_bytes(6, "big")
    at = data.index(key, (root - 1) * 4096)
    assert at < root * 4096
    data[at] ^= 0x80
    file.write_bytes(data)
    again = make_stage()
    tools.drive(again)
    page = tools.only(tools.drive(again, ListEvents(tools.stream, 7, None, 0, 1 << 60, 50, None)), EventPage)
    assert [one.id for one in page.events] == [event]
    again.close()
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
