"""Stores as earlier versions wrote them: each is opened, brought up to date and says what it said."""

import gzip
import sqlite3
from pathlib import Path

import pytest

from memory.messages import FOREVER_US, GapRecord
from memory.rows import crc_of
from memory.store import FORMAT, FormatUnknown, Store

S = 1_000_000
STORES = Path(__file__).parent / "stores"


@pytest.fixture(params=sorted(STORES.iterdir()), ids=lambda path: path.name.split(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of an old store: events 1, 2 and 4 of ten seconds, the third forgotten, a gap behind them."""
    (tmp_path / "memory.sqlite").write_bytes(gzip.decompress(request.param.read_bytes()))
    return tmp_path


def test_an_old_store_says_what_it_said(old: Path) -> None:
    for _ in range(2):
        store = Store(old)
        reader = store.reader
        assert store.db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        rows = reader.oldest(0, FOREVER_US, 9)
        assert [(one.seq, one.start_us, one.end_us) for one in rows] == [
            (n, n * 10 * S, n * 10 * S + 9 * S) for n in (1, 2, 4)
        ]
        assert [one.transcript for one in rows] == ["word1", None, None]
        assert reader.jpeg("e_000002", 1) == b"jpeg 21" * 20
        assert reader.gaps(0, FOREVER_US, 9) == [GapRecord(50 * S, 60 * S, "offline")]
        assert [start for start, _ in reader.tombstones()] == [30 * S]
        assert len(reader.vectors((-1, -1), 99, 48, 99).keys) == 6
        settings = store.settings()
        assert (settings.start_wall_us, settings.time_zone) == (1_772_618_400_000_000, "Europe/Berlin")
        assert store.resume().end_us == 60 * S
        assert not reader.corrupt
        store.close()


def test_an_event_that_was_damaged_before_stays_damaged(old: Path) -> None:
    db = sqlite3.connect(old / "memory.sqlite")
    db.execute("UPDATE events SET start_us = start_us + 1 WHERE seq = 2")
    db.commit()
    db.close()
    store = Store(old)
    assert [one.seq for one in store.reader.oldest(0, FOREVER_US, 9)] == [1, 4]
    assert store.reader.corrupt == {("event", 2)}
    store.close()


def test_a_store_of_a_later_version_is_left_as_it_is(old: Path) -> None:
    db = sqlite3.connect(old / "memory.sqlite")
    db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    before = crc_of((old / "memory.sqlite").read_bytes())
    with pytest.raises(FormatUnknown):
        Store(old)
    assert crc_of((old / "memory.sqlite").read_bytes()) == before
