"""The store against a model, its index against its rows, damage, a full disk."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory import writing
from memory.events import Resume
from memory.index import VectorIndex
from memory.messages import FOREVER_US, GapRecord, MemoryOptions
from memory.retention import Budget, retain
from memory.rows import EventRow, Keyframe, Spoken, crc_of, row_crc, to_half
from memory.spans import Spans
from memory.store import FormatUnknown, Settings, Store
from memory.writer import Job, Writer

S = 1_000_000
DIM = 48
SETTINGS = Settings("{}", 0, MemoryOptions(), "UTC")


def keyframe(n: int, captured_us: int, picture: int, tools: Any) -> Keyframe:
    jpeg, vector = f"jpeg {picture}".encode() * 50, to_half(tools.vector_of(picture))
    return Keyframe(n, captured_us, picture, jpeg, vector, captured_us)


def row(seq: int, tools: Any, *, is_open: bool = False, text: str | None = None, frames: int = 2) -> EventRow:
    start, end = seq * 10 * S, seq * 10 * S + 9 * S
    kept = tuple(keyframe(n, start + n * S, seq * 10 + n, tools) for n in range(frames))
    speech = (Spoken(start, start + S, text),) if text else ()
    return EventRow(seq, f"e_{seq:06}", start, end, end, is_open, kept, speech, to_half(tools.vector_of(seq)))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store.create(tmp_path / "streams" / "t" / "cam", "t/cam", SETTINGS)
    yield made
    made.close()


def bare(event: EventRow) -> EventRow:
    """As it is read: without the bytes."""
    frames = tuple(msgspec.structs.replace(frame, jpeg=b"", vector=b"") for frame in event.frames)
    return EventRow(
        event.seq, event.id, event.start_us, event.end_us, event.observed_us, event.open, frames, event.speech, b""
    )  # fmt: skip


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("say"), st.integers(1, 12), st.integers(0, 30)),
        st.tuples(st.just("forget"), st.integers(0, 130), st.integers(1, 30)),
        st.tuples(st.just("forget_one"), st.integers(1, 12), st.just(0)),
        st.tuples(st.just("oldest"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("purge"), st.just(0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Model:
    """What the store should hold."""

    def __init__(self) -> None:
        self.rows: dict[int, EventRow] = {}
        self.born: set[int] = set()
        self.dead = Spans()

    def forget(self, gone: list[int], *spans: tuple[int, int]) -> None:
        """Events go, and from those that stay the pictures that were captured then."""
        for span in (*spans, *(self.rows[seq].span for seq in gone)):
            self.dead.add(*span)
        self.rows = {seq: row.without(self.dead.holds) for seq, row in self.rows.items() if seq not in gone}

    def apply(self, store: Store, op: str, a: int, b: Any, tools: Any) -> None:
        db = store.db
        db.execute("BEGIN IMMEDIATE")
        match op:
            case "put" if a in self.rows or a not in self.born:
                self.born.add(a)
                said = self.rows[a].speech if a in self.rows else ()
                event = row(a, tools, is_open=bool(b), frames=2 + a % 2)
                # It begins with the last picture of the event before it.
                shown = keyframe(9, a * 10 * S - 9 * S, a * 10 - 9, tools)
                shown = msgspec.structs.replace(shown, media_us=a * 10 * S)
                event = msgspec.structs.replace(event, frames=(shown, *event.frames), speech=said)
                self.rows[a] = event.without(self.dead.holds)
                writing.put_event(db, event)
            case "say":
                said = Spoken(a * 10 * S, a * 10 * S + (b + 1) * S, f"word{a}")
                writing.add_speech(db, a, said)
                if a in self.rows:
                    old = self.rows[a]
                    speech = tuple(sorted((*old.speech, said), key=lambda one: one.start_us))
                    self.rows[a] = msgspec.structs.replace(old, speech=speech)
            case "forget":
                forgot = writing.forget(db, None, a * S, (a + b) * S, [])
                expected = [s for s, r in sorted(self.rows.items()) if r.reach[0] < (a + b) * S and r.reach[1] > a * S]
                assert [one.seq for one in forgot.gone] == expected
                self.forget(expected, (a * S, (a + b) * S))
            case "forget_one":
                writing.forget(db, f"e_{a:06}", 0, 0, [])
                self.forget([a] if a in self.rows else [])
            case "oldest":
                gone = writing.delete_oldest(db, a, None)
                expected = [s for s in sorted(self.rows) if not self.rows[s].open][:a]
                assert [one.seq for one in gone] == expected
                self.rows = {s: r for s, r in self.rows.items() if s not in expected}
            case "purge":
                while writing.wipe(db, 2):
                    pass
        db.execute("COMMIT")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPS)
def test_it_holds_what_the_model_holds(tmp_path: Path, tools: Any, ops: Any) -> None:
    folder = tmp_path / os.urandom(4).hex() / "t" / "cam"
    store, model = Store.create(folder, "t/cam", SETTINGS), Model()
    for op, a, b in ops:
        if op == "reopen":
            store.close()
            store = Store(folder)
        else:
            model.apply(store, op, a, b, tools)
    check(store, model, tools)
    store.close()


def check(store: Store, model: Model, tools: Any) -> None:
    reader = store.reader
    read = {one.seq: one for one in reader.newest(-FOREVER_US, FOREVER_US, 1 << 40, 1000)}
    assert list(read) == sorted(model.rows, reverse=True)
    for seq, event in model.rows.items():
        known = read[seq]
        assert (known.id, known.start_us, known.end_us, known.open) == (
            event.id,
            event.start_us,
            event.end_us,
            event.open,
        )
        assert known.reach == event.reach
        assert known.speech == event.speech
        assert {(f.n, f.picture, f.captured_us) for f in known.frames} == {
            (f.n, f.picture, f.captured_us) for f in event.frames
        }
        for frame in event.frames:
            assert reader.jpeg(event.id, frame.n) == frame.jpeg
    totals = reader.totals()
    assert totals.events == len(model.rows)
    assert (totals.bytes > 0) == bool(model.rows)
    spoken = {seq for seq, event in model.rows.items() if event.speech}
    assert {seq for seq, _ in reader.matching([f"word{n}" for n in range(13)], 0, 1 << 40, 99)} == spoken
    check_index(store, model)
    for table in ("vectors", "pictures"):
        key = "picture" if table == "vectors" else "id"
        kept = {picture for (picture,) in store.db.execute(f"SELECT {key} FROM {table}")}
        doomed = store.db.execute("SELECT picture FROM frames WHERE event IN (SELECT event FROM doomed)")
        shown = {frame.picture for event in model.rows.values() for frame in event.frames}
        assert kept == {picture for (picture,) in doomed} | shown
    assert store.db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert not reader.corrupt


def check_index(store: Store, model: Model) -> None:
    index = VectorIndex(DIM, 1 << 30)
    while not index.ready:
        index.load(store.reader, 3)
    assert len(index) == sum(len(event.frames) for event in model.rows.values())
    for event in model.rows.values():
        for frame in event.frames:
            vector = np.frombuffer(frame.vector, np.float16).astype(np.float32)
            best = index.search(vector, 1)[0]
            assert frame.picture in {one.picture for one in model.rows[best.seq].frames if one.n == best.n}
            assert best.score == pytest.approx(1.0, abs=2e-3)


def commit(store: Store, *changes: Any) -> None:
    store.db.execute("BEGIN IMMEDIATE")
    for function, *values in changes:
        function(store.db, *values)
    store.db.execute("COMMIT")


def test_the_index_searches_ranges_and_forgets(store: Store, tools: Any) -> None:
    index = VectorIndex(DIM, 1)
    for seq in range(1, 200):
        index.add(seq, row(seq, tools).frames)
    query = tools.vector_of(1501)
    assert index.search(query, 5)[0].seq == 150
    assert {hit.seq for hit in index.search(query, 99, 10, 20)} == set(range(10, 20))
    index.remove([150])
    assert 150 not in {hit.seq for hit in index.search(query, 999)}
    mean = np.mean([tools.vector_of(10 * s + n) for s in range(1, 200) if s != 150 for n in range(2)], axis=0)
    assert np.allclose(index.mean * (len(index) + 8) / len(index), mean, atol=1e-3)
    index.forget_before(100)
    assert min(hit.seq for hit in index.search(query, 999)) == 100
    index.forget_before(190)
    assert len(index) == 2 * 10
    assert index.search(query[:10], 5) == []


def test_a_shared_picture_lasts_as_long_as_an_event_shows_it(store: Store, tools: Any) -> None:
    one = row(1, tools)
    shown = msgspec.structs.replace(one.frames[1], media_us=20 * S)
    two = EventRow(2, "e_2", 20 * S, 29 * S, 29 * S, False, (shown,), (), one.vector)
    three = EventRow(3, "e_3", 30 * S, 39 * S, 39 * S, False, (shown,), (), one.vector)
    commit(store, *((writing.put_event, event) for event in (one, two, three)))
    commit(store, (writing.forget, two.id, 0, 0, []), (writing.wipe, 5))
    assert store.reader.jpeg(one.id, 1) == store.reader.jpeg("e_3", 1) == shown.jpeg
    commit(store, (writing.delete_oldest, 1, None))
    assert store.reader.jpeg("e_3", 1) == shown.jpeg
    assert store.db.execute("SELECT count(*) FROM pictures").fetchone()[0] == 1


@pytest.mark.parametrize("by_range", [False, True])
@pytest.mark.parametrize("of_format_1", [False, True])
def test_a_picture_goes_with_the_moment_that_it_was_captured_at(
    store: Store, tools: Any, by_range: bool, of_format_1: bool
) -> None:
    one = row(1, tools)
    shown = msgspec.structs.replace(one.frames[1], media_us=20 * S)
    two = EventRow(2, "e_2", 20 * S, 29 * S, 29 * S, False, (shown, *row(2, tools).frames[:1]), (), one.vector)
    commit(store, (writing.put_event, one), (writing.put_event, two))
    if of_format_1:
        store.db.create_function("row_crc", -1, row_crc)
        store.db.execute("UPDATE frames SET captured_us = NULL, crc = row_crc(event, n, media_us, picture, NULL)")
    forget = (None, 0, 12 * S) if by_range else (one.id, 0, 0)
    store.db.execute("BEGIN IMMEDIATE")
    forgot = writing.forget(store.db, *forget, [])
    writing.put_event(store.db, two)
    store.db.execute("COMMIT")
    assert [(one.seq, one.n, one.event) for one in forgot.hidden] == [(2, 1, "e_2")]
    assert store.reader.jpeg("e_2", 1) is None
    assert store.reader.jpeg("e_2", 0) == two.frames[1].jpeg
    assert store.db.execute("SELECT event FROM event_vectors").fetchall() == []
    commit(store, (writing.wipe, 5))
    assert store.db.execute("SELECT id FROM pictures").fetchall() == [(20,)]


def test_numbers_and_time_go_on_after_everything_was_forgotten(store: Store, tools: Any) -> None:
    commit(store, (writing.put_event, row(7, tools)), (writing.put_gap, GapRecord(79 * S, 90 * S, "offline")))
    commit(store, (writing.forget, None, 0, 100 * S, []))
    assert store.resume() == Resume(8, 72, 90 * S)
    assert store.reader.gaps(0, FOREVER_US, 9) == []


def test_gaps_that_follow_each_other_are_one(store: Store) -> None:
    gaps = [(0, 1, "overload"), (S, S + 1, "overload"), (2 * S, 3 * S, "offline"), (90 * S, 91 * S, "offline")]
    commit(store, *((writing.put_gap, GapRecord(*gap)) for gap in gaps))
    found = store.reader.gaps(0, FOREVER_US, 9)
    assert [(g.start_us, g.end_us) for g in found] == [(0, S + 1), (2 * S, 3 * S), (90 * S, 91 * S)]


@pytest.mark.parametrize("kind", ["picture", "vector", "event", "frame"])
def test_damaged_rows_are_left_out_and_counted(store: Store, tools: Any, kind: str) -> None:
    commit(store, (writing.put_event, row(1, tools)), (writing.put_event, row(2, tools)))
    change = {
        "picture": "UPDATE pictures SET jpeg = zeroblob(length(jpeg)) WHERE id = 10",
        "vector": "UPDATE vectors SET vector = zeroblob(length(vector)) WHERE picture = 10",
        "event": "UPDATE events SET start_us = start_us + 1 WHERE seq = 1",
        "frame": "UPDATE frames SET picture = 11 WHERE event = 1 AND n = 0",
    }[kind]
    store.db.execute(change)
    index = VectorIndex(DIM, 1 << 30)
    index.load(store.reader, 100)
    seen = store.reader.newest(0, FOREVER_US, 1 << 40, 9)
    jpeg = store.reader.jpeg("e_000001", 0)
    assert len(index) == 4 - (kind == "vector")
    assert [one.seq for one in seen] == ([2] if kind == "event" else [2, 1])
    assert (jpeg is None) == (kind in {"picture", "frame", "event"})
    assert len(store.reader.corrupt) == 1


def test_checksums_tell_neighbours_and_none_apart() -> None:
    told = [("a", "b"), ("ab", ""), ("", "ab"), ("ab", None), (None, "ab"), (b"a", "bc")]
    assert len({crc_of(*parts) for parts in told}) == len(told)


@pytest.mark.parametrize(
    ("table", "column"), [("gaps", "end_us"), ("tombstones", "end_us"), ("meta", "value"), ("events", "seq")]
)
def test_a_damaged_number_is_not_believed(store: Store, tools: Any, table: str, column: str) -> None:
    commit(store, (writing.put_event, row(1, tools)), (writing.put_gap, GapRecord(20 * S, 30 * S, "offline")))
    commit(store, (writing.forget, None, 40 * S, 50 * S, []))
    store.db.execute(f"UPDATE {table} SET {column} = {column} + 1" + " WHERE key = 'end_us'" * (table == "meta"))
    if table == "meta":
        with pytest.raises(sqlite3.DatabaseError):
            store.resume()
        return
    found = (store.reader.gaps(0, FOREVER_US, 9), store.reader.tombstones(), store.reader.oldest(0, FOREVER_US, 9))
    assert [bool(one) for one in found] == [table != "gaps", table != "tombstones", table != "events"]
    assert len(store.reader.corrupt) == 1


@pytest.fixture
def lossy(tmp_path: Path, tools: Any) -> Iterator[Store]:
    """Of three events the index of ids has lost e_000002: there it has another letter."""
    folder = tmp_path / "t" / "cam"
    store = Store.create(folder, "t/cam", SETTINGS)
    commit(store, *((writing.put_event, row(seq, tools)) for seq in (1, 2, 3)))
    query = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1'"
    at = (store.db.execute(query).fetchone()[0] - 1) * 4096
    store.truncate_log()
    store.close()
    data = bytearray(store.file.read_bytes())
    assert data[at : at + 4096].count(b"e_000002") == 1
    data[at : at + 4096] = data[at : at + 4096].replace(b"e_000002", b"e_0000o2")
    store.file.write_bytes(data)
    store = Store(folder)
    yield store
    store.close()


def test_an_event_that_its_index_lost_is_found(lossy: Store) -> None:
    found = lossy.reader.by_id("e_000002")
    assert found is not None
    assert (found.seq, len(found.frames)) == (2, 2)
    assert lossy.reader.corrupt == {("event ids", 0)}
    assert lossy.reader.by_id("e_000009") is None


def test_an_event_that_its_index_lost_is_forgotten(lossy: Store, tmp_path: Path) -> None:
    writer = Writer(tmp_path, 0)
    told: list[Any] = []
    job = Job(lossy, lambda db: writing.forget(db, "e_000002", 0, 0, []), told.append, told.append)
    writer.put(job)
    writer.wait(30.0)
    writer.collect()
    writer.close()
    assert [one.seq for one in told[0].gone] == [2]
    assert lossy.reader.by_id("e_000002") is None
    assert [one.seq for one in lossy.reader.oldest(0, FOREVER_US, 9)] == [1, 3]
    assert lossy.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("text", [b"events_by_start ON", b"events_by_end ON", b"TRIGGER events_gone AFTER"])
def test_a_schema_that_is_no_text_is_damage(store: Store, text: bytes) -> None:
    store.truncate_log()
    file = store.file
    store.close()
    data = file.read_bytes()
    assert data.count(text) == 1
    # SQLite says near what it stumbled.
    file.write_bytes(data.replace(text, text[:-2] + b"\xa8" + text[-1:]))
    with pytest.raises(sqlite3.DatabaseError):
        Store(file.parent)


def test_words_that_cannot_be_searched_are_left_out_and_counted(store: Store, tools: Any) -> None:
    commit(store, (writing.put_event, row(1, tools, text="hello")))
    store.db.execute("UPDATE words_data SET block = x'ffffffffffffffffffff'")
    assert store.reader.matching(["hello"], 0, 99, 9) == []
    assert store.reader.corrupt == {("words", 0)}


def test_bit_flips_never_give_another_picture(tmp_path: Path, tools: Any) -> None:
    folder = tmp_path / "t" / "cam"
    store = Store.create(folder, "t/cam", SETTINGS)
    rows = [row(seq, tools, text=f"said {seq}") for seq in range(1, 12)]
    commit(store, *((writing.put_event, one) for one in rows))
    store.truncate_log()
    store.close()
    good = (folder / "memory.sqlite").read_bytes()
    known = {(one.id, frame.n): frame.jpeg for one in rows for frame in one.frames}
    told = {one.id: bare(one) for one in rows}
    drawn = np.random.default_rng(3)
    for _ in range(120):
        flipped = bytearray(good)
        flipped[int(drawn.integers(len(good)))] ^= 1 << int(drawn.integers(8))
        check_flipped(folder, bytes(flipped), known, told)


def check_flipped(folder: Path, data: bytes, known: dict[Any, bytes], told: dict[str, EventRow]) -> None:
    for stale in folder.iterdir():
        stale.unlink()
    (folder / "memory.sqlite").write_bytes(data)
    try:
        store = Store(folder)
    except (FormatUnknown, sqlite3.Error):
        return
    try:
        for (event, n), jpeg in known.items():
            assert store.reader.jpeg(event, n) in (None, jpeg)
        for one in store.reader.newest(0, FOREVER_US, 1 << 40, 99):
            known_row = told[one.id]
            assert (one.start_us, one.end_us, one.speech) == (known_row.start_us, known_row.end_us, known_row.speech)
    except sqlite3.Error:
        pass
    finally:
        store.close()


def test_age_waits_for_a_day_after_a_long_hole(store: Store, tools: Any) -> None:
    day = 86_400 * S
    old, new = row(1, tools), row(2, tools)
    new = EventRow(2, "e_new", 40 * day, 40 * day + S, 40 * day + S, False, new.frames, (), new.vector)
    commit(store, (writing.put_event, old), (writing.put_gap, GapRecord(20 * S, 40 * day, "offline")))
    commit(store, (writing.put_event, new))
    assert retain(store, store.db, Budget(1 << 40, day)).gone == []
    later = EventRow(3, "e_later", 41 * day + S, 41 * day + 2 * S, 41 * day + 2 * S, False, (), (), b"")
    commit(store, (writing.put_event, later))
    assert [one.seq for one in retain(store, store.db, Budget(1 << 40, day)).gone] == [1, 2]


def test_what_closed_in_a_crash_is_closed_as_it_is(tmp_path: Path, tools: Any) -> None:
    store = Store.create(tmp_path / "t" / "cam", "t/cam", SETTINGS)
    commit(store, (writing.put_event, row(1, tools, is_open=True)))
    commit(store, (writing.close_open_events,))
    (one,) = store.reader.newest(0, FOREVER_US, 1 << 40, 9)
    assert not one.open
    assert not store.reader.corrupt
    store.close()


def test_few_pages_stay_in_ram(store: Store) -> None:
    for db in (store.db, store._read_db):
        assert db.execute("PRAGMA cache_size").fetchone() == (-256,)


def test_a_store_survives_a_wrong_way_to_be_opened(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Store(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_faiss_of_one_thread_is_used() -> None:
    code = "import memory.index, faiss; print(faiss.omp_get_max_threads())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"


def test_all_free_pages_are_given_back_at_once(store: Store, tools: Any) -> None:
    commit(store, *((writing.put_event, row(n, tools)) for n in range(1, 200)))
    commit(store, (writing.delete_oldest, 190, None))
    assert store.free_bytes() > 50 * 4096
    assert store.give_back(1 << 30)
    assert store.free_bytes() == 0
