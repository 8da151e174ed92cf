"""The ring: order, bounds, lapped readers, views, and a writer that dies at any store."""

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.ipc.ring import Overwritten, RecordTooLarge, RingFiles, RingReader, RingWriter, create_ring

pytestmark = pytest.mark.alone

SLOT = 64


@pytest.fixture
def files() -> Iterator[RingFiles]:
    made = create_ring("test", 8, SLOT, 2)
    yield made
    close(made)


def close(files: RingFiles) -> None:
    for fd in files.fds:
        os.close(fd)


def record(number: int, length: int) -> bytes:
    """Bytes that tell a torn record: all of them are the record's own."""
    return bytes([number % 251 + 1]) * length


def take_all(reader: RingReader) -> tuple[list[bytes], int]:
    """All records there are, and how many were missed."""
    records, missed = [], 0
    while (one := reader.take()) is not None:
        if isinstance(one, Overwritten):
            missed += one.records
        else:
            records.append(one)
    return records, missed


def test_records_come_in_order_and_whole(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    for lap in range(10):
        sent = [record(lap * 3 + i, length) for i, length in enumerate((0, 1, 3 * SLOT))]
        for one in sent:
            assert writer.try_put(one) is not None
        assert take_all(reader) == (sent, 0)


def test_parts_are_joined_without_a_copy_before(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    payload = memoryview(bytearray(range(100))).cast("B", (10, 10))
    writer.put(b"head", payload)
    assert reader.take() == b"head" + bytes(range(100))


def test_try_put_keeps_what_is_unread(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    sent = []
    while writer.try_put(record(len(sent), SLOT)) is not None:
        sent.append(record(len(sent), SLOT))
    assert len(sent) == 8
    assert reader.take() == sent[0]
    assert writer.try_put(record(8, SLOT)) is not None
    assert writer.try_put(record(9, SLOT)) is None
    assert take_all(reader) == ([*sent[1:], record(8, SLOT)], 0)


def test_try_put_does_not_wait_for_readers_that_may_be_lapped(files: RingFiles) -> None:
    writer, lossless, lapped = RingWriter(files), RingReader(files, 0), RingReader(files, 1)
    for number in range(30):
        assert writer.try_put(record(number, SLOT)) is not None
        assert lossless.take() == record(number, SLOT)
    records, missed = take_all(lapped)
    assert len(records) + missed == 30
    assert records == [record(number, SLOT) for number in range(30 - len(records), 30)]


def test_put_overwrites_the_oldest_and_the_reader_knows_how_many(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    for number in range(21):
        writer.put(record(number, SLOT))
    first = reader.take()
    assert isinstance(first, Overwritten)
    records, missed = take_all(reader)
    assert missed == 0
    assert first.records == 21 - len(records) > 0
    assert records[-1] == record(20, SLOT)


def test_a_record_of_more_than_half_the_ring_is_refused(files: RingFiles) -> None:
    writer = RingWriter(files)
    assert writer.try_put(bytes(4 * SLOT)) is not None
    with pytest.raises(RecordTooLarge):
        writer.put(bytes(4 * SLOT + 1))


def test_the_largest_record_always_finds_room_when_all_is_read(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    for number in range(40):
        small, large = record(number, 1), record(number, writer.max_record_bytes)
        assert writer.try_put(small) is not None
        assert take_all(reader) == ([small], 0)
        assert writer.try_put(large) is not None
        assert take_all(reader) == ([large], 0)


def test_a_view_says_whether_it_stayed_whole(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    writer.put(record(1, 100))
    view = reader.view()
    assert isinstance(view, memoryview)
    assert view.readonly
    assert bytes(view) == record(1, 100)
    assert reader.release()
    assert reader.view() is None

    writer.put(record(2, 100))
    view = reader.view()
    for number in range(3, 12):
        writer.put(record(number, SLOT))
    assert not reader.release()
    assert isinstance(reader.view(), Overwritten)


def test_a_restarted_reader_goes_on_where_its_predecessor_stopped(files: RingFiles) -> None:
    writer = RingWriter(files)
    for number in range(4):
        writer.try_put(record(number, 10))
    assert RingReader(files, 0).take() == record(0, 10)
    assert RingReader(files, 0).take() == record(1, 10)
    assert take_all(RingReader(files, 0)) == ([record(2, 10), record(3, 10)], 0)


def test_a_reader_that_died_before_it_moved_on_gets_the_record_again(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 0)
    writer.put(record(0, 10))
    for stores in range(3):
        with dying_after(reader, stores):
            reader.take()
        assert RingReader(files, 0).take() == (record(0, 10) if stores < 2 else None)
        if stores < 2:
            RingReader(files, 0)._words[reader._at] = 0


def test_a_reader_is_woken_once_for_what_it_has_not_seen(files: RingFiles) -> None:
    writer, reader = RingWriter(files), RingReader(files, 1)
    writer.put(b"a")
    writer.put(b"b")
    assert os.eventfd_read(reader.fileno()) == 2
    reader.clear_event()  # nothing to take: no error, no waiting
    assert take_all(reader) == ([b"a", b"b"], 0)


def test_a_foreign_file_is_no_ring() -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, 8192)
    with pytest.raises(ValueError, match="not a ring"):
        RingReader(RingFiles(fd, ()), 0)
    os.close(fd)


def test_a_reader_that_the_ring_does_not_have_is_refused(files: RingFiles) -> None:
    with pytest.raises(ValueError, match="no reader 2"):
        RingReader(files, 2)


# ---------------------------------------------------------------- against a model


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(1, 9),
    actions=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5 * SLOT)),
            st.tuples(st.just("try_put"), st.integers(0, 5 * SLOT)),
            st.tuples(st.just("take"), st.integers(0, 1)),
            st.tuples(st.just("restart"), st.integers(0, 2)),
        ),
        max_size=80,
    ),
)
def test_readers_see_a_subsequence_and_count_the_rest(slots: int, actions: list[tuple[str, int]]) -> None:
    files = create_ring("test", slots, SLOT, 2)
    writer, readers = RingWriter(files), [RingReader(files, 0), RingReader(files, 1)]
    sent: list[bytes] = []
    seen = [0, 0]
    for verb, value in actions:
        if verb == "restart":
            if value == 2:
                writer = RingWriter(files)
            else:
                readers[value] = RingReader(files, value)
        elif verb == "take":
            seen[value] += check_next(readers[value], sent, seen[value])
        elif value <= writer.max_record_bytes:
            one = record(len(sent), value)
            number = writer.put(one) if verb == "put" else writer.try_put(one)
            if number is not None:
                sent.append(one)
    for index, reader in enumerate(readers):
        while seen[index] < len(sent):
            seen[index] += check_next(reader, sent, seen[index])
        assert reader.take() is None
    close(files)


def check_next(reader: RingReader, sent: list[bytes], seen: int) -> int:
    """Take one: by how many records the reader has gone on."""
    one = reader.take()
    if one is None:
        return 0
    if isinstance(one, Overwritten):
        assert one.records > 0
        return one.records
    assert one == sent[seen]
    return 1


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(0, 4 * SLOT), max_size=60), pauses=st.lists(st.integers(0, 5), max_size=60))
def test_a_lossless_reader_misses_nothing(lengths: list[int], pauses: list[int]) -> None:
    files = create_ring("test", 8, SLOT, 1)
    writer, reader = RingWriter(files), RingReader(files, 0)
    waiting = deque(record(number, length) for number, length in enumerate(lengths))
    expected, got = list(waiting), []
    turns = iter(pauses)
    while waiting:
        if writer.try_put(waiting[0]) is not None:
            waiting.popleft()
            if next(turns, 1) > 1:
                continue
        if (one := reader.take()) is not None:
            got.append(one)
    records, missed = take_all(reader)
    assert (got + records, missed) == (expected, 0)
    close(files)


# ---------------------------------------------------------------- death at any store


class Died(BaseException):
    """Stands for kill -9."""


class DyingWords:
    """The ring's words; the store number `left` from now does not happen any more, nor what follows."""

    def __init__(self, words: memoryview, left: int) -> None:
        self._words, self._left = words, left

    def __getitem__(self, index: int) -> int:
        return int(self._words[index])

    def __setitem__(self, index: int, value: int) -> None:
        if self._left == 0:
            raise Died
        self._left -= 1
        self._words[index] = value


class dying_after:
    """Within, the ring's end dies at its store number `stores`."""

    def __init__(self, end: Any, stores: int) -> None:
        self._end, self._stores = end, stores

    def __enter__(self) -> None:
        self._words = self._end._words
        self._end._words = DyingWords(self._words, self._stores)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._end._words = self._words
        return kind is Died


@pytest.mark.parametrize("span", [1, 3, 4])
@pytest.mark.parametrize("before", range(0, 20, 3))
def test_a_writer_may_die_at_any_store(span: int, before: int) -> None:
    for stores in range(40):
        files = create_ring("test", 8, SLOT, 2)
        writer, reader, behind = RingWriter(files), RingReader(files, 0), RingReader(files, 1)
        sent = [record(number, SLOT) for number in range(before)]
        for one in sent:
            writer.put(one)
        take_all(reader)
        dying, after = record(100, span * SLOT), [record(101, 2 * SLOT), record(102, 5)]
        with dying_after(writer, stores):
            writer.put(dying)
        early, missed = take_all(reader)
        assert missed == 0
        assert early in ([], [dying])
        successor = RingWriter(files)
        for one in after:
            successor.put(one)
        # The record was there for its reader at once, or never.
        assert take_all(reader) == (after, 0)
        records, missed = take_all(behind)
        everything = [*sent, *early, *after]
        assert records == everything[len(everything) - len(records) :]
        assert missed == len(everything) - len(records)
        close(files)


def test_a_successor_of_a_dead_writer_leaves_nothing_torn_to_a_slow_reader() -> None:
    files = create_ring("test", 8, SLOT, 1)
    writer, reader = RingWriter(files), RingReader(files, 0)
    for number in range(8):
        writer.put(record(number, SLOT))
    view = reader.view()
    assert view is not None
    with dying_after(writer, 4):
        writer.put(record(9, 3 * SLOT))
    assert not reader.release()
    RingWriter(files)
    records, missed = take_all(reader)
    assert missed + len(records) == 8
    assert records == [record(number, SLOT) for number in range(8 - len(records), 8)]
    close(files)
