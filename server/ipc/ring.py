"""A queue of records in shared memory: one writer, several readers, no locks, safe against kill -9 of either end.

A memfd holds a header page, one header for each slot, and the slots. A record takes as many consecutive slots as it
needs and never wraps. Slot numbers grow for ever; slot `n` lies at `n % slots`. The writer

1. claims: moves `claimed` past the record's slots and zeroes their generations,
2. copies the record,
3. publishes: sets the first slot's generation to its number plus one, then moves `published`.

A reader copies a record and then looks again: if the generation is another, or `claimed` has come round to the record,
what it copied is torn and it goes on with the oldest whole one. Records are counted, so it knows how many it missed. A
writer that dies between 1 and 3 leaves a claim that its successor takes back. Words are 8 bytes and aligned; x86-64
keeps the order of stores, which is what the protocol rests on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from server.ipc.memory_file import create_memory_file, map_memory_file

Buffer = bytes | bytearray | memoryview

_MAGIC: Final = 0x31474E49524C4D4F
_PAGE: Final = 4096
_PAD: Final = 2**64 - 1
"""Length of a filler record: from here to the end of the buffer nothing follows."""
_REWIND_BYTES: Final = 1024 * 1024
"""How much of the buffer is used before a writer whose readers are idle starts over."""
# Words of the header page.
_W_MAGIC, _W_SLOTS, _W_SLOT_BYTES, _W_READERS, _W_CLAIMED, _W_PUBLISHED, _W_RECORDS, _W_RECORDS_BEFORE = range(8)
_W_CURSORS: Final = 16
# Words of a slot's header.
_GENERATION, _LENGTH, _ORDINAL, _SLOT_WORDS = range(4)


@dataclass(frozen=True)
class RingFiles:
    """The descriptors of a ring, for children to inherit: the memory, and one eventfd for each reader."""

    memory: int
    events: tuple[int, ...]

    @property
    def fds(self) -> tuple[int, ...]:
        """All of them."""
        return (self.memory, *self.events)


@dataclass(frozen=True)
class Overwritten:
    """The reader was too slow: `records` were lost to it."""

    records: int


class RecordTooLarge(ValueError):
    """A record is larger than half the ring: it might never find room."""


def create_ring(name: str, slots: int, slot_bytes: int, readers: int) -> RingFiles:
    """Make a ring; the creator keeps the descriptors open and hands them to both ends."""
    fd = create_memory_file(name, _data_offset(slots) + slots * slot_bytes)
    words = memoryview(map_memory_file(fd, populate=False)).cast("Q")
    words[_W_SLOTS], words[_W_SLOT_BYTES], words[_W_READERS] = slots, slot_bytes, readers
    words[_W_MAGIC] = _MAGIC
    events = tuple(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(readers))
    return RingFiles(fd, events)


def _data_offset(slots: int) -> int:
    headers = slots * _SLOT_WORDS * 8
    return _PAGE + -(-headers // _PAGE) * _PAGE


class _Ring:
    """What both ends share: the mapping and where things lie in it."""

    def __init__(self, memory: int, populate: bool) -> None:
        self._bytes = memoryview(map_memory_file(memory, populate=populate))
        self._words = self._bytes.cast("Q")
        if self._words[_W_MAGIC] != _MAGIC:
            raise ValueError("not a ring")
        self.slots = self._words[_W_SLOTS]
        self.slot_bytes = self._words[_W_SLOT_BYTES]
        self.readers = self._words[_W_READERS]
        self._data = _data_offset(self.slots)

    @property
    def max_record_bytes(self) -> int:
        """The largest record that is taken: it surely fits, wherever the last one ended."""
        return (self.slots + 1) // 2 * self.slot_bytes

    def _header(self, number: int) -> int:
        """Index of the first header word of slot `number`."""
        return _PAGE // 8 + (number % self.slots) * _SLOT_WORDS

    def _offset(self, number: int) -> int:
        """Byte offset of slot `number`."""
        return self._data + (number % self.slots) * self.slot_bytes

    def _cursor(self, reader: int) -> int:
        return _W_CURSORS + 2 * reader


class RingWriter(_Ring):
    """The one writer. A second one, after the first has died, goes on where it stopped.

    populate: fault all of it in now, for a steady speed; else a ring that is seldom full costs little resident memory.
    """

    def __init__(self, files: RingFiles, *, populate: bool = True) -> None:
        super().__init__(files.memory, populate)
        self._events = files.events
        self._rewind = max(1, min(self.slots // 4, _REWIND_BYTES // self.slot_bytes))
        self._take_back_claim()

    def _take_back_claim(self) -> None:
        published, claimed = self._words[_W_PUBLISHED], self._words[_W_CLAIMED]
        if claimed == published:
            return
        for number in range(published, claimed):
            self._words[self._header(number) + _GENERATION] = 0
        # The predecessor may have counted the record, and died before it published it.
        self._words[_W_RECORDS] = self._words[_W_RECORDS_BEFORE]
        self._words[_W_CLAIMED] = published

    def put(self, *parts: Buffer) -> int:
        """Append a record, overwriting the oldest where there is no room; its slot number."""
        number, span, length = self._place(parts)
        self._write(number, span, length, parts)
        return number

    def try_put(self, *parts: Buffer, lossless: Sequence[int] = (0,)) -> int | None:
        """Append a record unless it would overwrite what a reader in `lossless` has not read: then None."""
        number, span, length = self._place(parts)
        for reader in lossless:
            if number + span - self._words[self._cursor(reader)] > self.slots:
                return None
        self._write(number, span, length, parts)
        return number

    def _place(self, parts: Sequence[Buffer]) -> tuple[int, int, int]:
        """First slot, number of slots and length of the next record.

        It starts over where it would wrap, and where everything is read: the beginning is in the cache.
        """
        length = sum(len(part) if isinstance(part, bytes | bytearray) else part.nbytes for part in parts)
        if length > self.max_record_bytes:
            raise RecordTooLarge(f"a record of {length} bytes, in a ring for {self.max_record_bytes}")
        span = max(1, -(-length // self.slot_bytes))
        number = self._words[_W_PUBLISHED]
        position = number % self.slots
        left = self.slots - position
        start_over = span > left or (self._rewind <= position >= span and self._all_read(number))
        return (number + left if start_over else number), span, length

    def _all_read(self, number: int) -> bool:
        return all(self._words[self._cursor(reader)] == number for reader in range(self.readers))

    def _write(self, number: int, span: int, length: int, parts: Sequence[Buffer]) -> None:
        start = self._words[_W_PUBLISHED]
        self._claim(number, span)
        if number != start:
            self._publish_slot(start, _PAD)
        offset = self._offset(number)
        for part in parts:
            view = memoryview(part).cast("B")
            self._bytes[offset : offset + view.nbytes] = view
            offset += view.nbytes
        self._publish_slot(number, length)
        self._words[_W_RECORDS] += 1
        self._words[_W_PUBLISHED] = number + span
        for event in self._events:
            os.eventfd_write(event, 1)

    def _claim(self, number: int, span: int) -> None:
        self._words[_W_RECORDS_BEFORE] = self._words[_W_RECORDS]
        self._words[_W_CLAIMED] = number + span
        for slot in range(number, number + span):
            self._words[self._header(slot) + _GENERATION] = 0

    def _publish_slot(self, number: int, length: int) -> None:
        header = self._header(number)
        self._words[header + _LENGTH] = length
        self._words[header + _ORDINAL] = self._words[_W_RECORDS]
        self._words[header + _GENERATION] = number + 1


class RingReader(_Ring):
    """One of the readers. Its place is kept in the ring, so that a successor goes on where it stopped."""

    def __init__(self, files: RingFiles, reader: int, *, populate: bool = True) -> None:
        super().__init__(files.memory, populate)
        if reader >= self.readers:
            raise ValueError(f"a ring of {self.readers} readers has no reader {reader}")
        self._event = files.events[reader] if files.events else -1
        self._at = self._cursor(reader)
        self._held: _Place | None = None

    def fileno(self) -> int:
        """An eventfd that is readable when there is something new; `clear_event` before reading."""
        return self._event

    def clear_event(self) -> None:
        """Take the wake-up note."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return

    def take(self) -> bytes | Overwritten | None:
        """The next record, copied; `Overwritten` where some were missed; None where there is nothing new."""
        while True:
            found = self._find()
            if not isinstance(found, _Place):
                return found
            record = self._copy(found)
            if self._intact(found.number):
                self._pass(found)
                return record

    def view(self) -> memoryview | Overwritten | None:
        """The next record in place, without a copy. Call `release` after use: it says whether it was still whole."""
        found = self._find()
        if not isinstance(found, _Place):
            return found
        self._held = found
        offset = self._offset(found.number)
        return self._bytes[offset : offset + found.length].toreadonly()

    def release(self) -> bool:
        """Go past the record of `view`; False: it was overwritten while it was used."""
        held, self._held = self._held, None
        if held is None or not self._intact(held.number):
            return False
        self._pass(held)
        return True

    def take_at(self, number: int) -> bytes | None:
        """The record that begins at slot `number`, going past all before it; None: it is not there any more."""
        header = self._header(number)
        place = _Place(number, self._words[header + _LENGTH], self._words[header + _ORDINAL])
        if not self._intact(number):
            return None
        record = self._copy(place)
        if not self._intact(number):
            return None
        self._pass(place)
        return record

    def skip_all(self) -> None:
        """Go past everything there is; it does not count as missed."""
        self._words[self._at + 1] = self._words[_W_RECORDS]
        self._words[self._at] = self._words[_W_PUBLISHED]

    def _find(self) -> "_Place | Overwritten | None":
        """The next record. What was missed shows in its ordinal, and is told first."""
        while True:
            number = self._words[self._at]
            if number >= self._words[_W_PUBLISHED]:
                return None
            header = self._header(number)
            place = _Place(number, self._words[header + _LENGTH], self._words[header + _ORDINAL])
            if not self._intact(number):
                self._words[self._at] = self._oldest(number)
            elif place.length == _PAD:
                self._words[self._at] = number + self.slots - number % self.slots
            elif (missed := place.ordinal - self._words[self._at + 1]) > 0:
                self._words[self._at + 1] = place.ordinal
                return Overwritten(missed)
            else:
                return place

    def _oldest(self, number: int) -> int:
        """Where to go on when the record at `number` is lost. Some slack keeps the writer from lapping us at once."""
        slack = self.slots // 8
        published = self._words[_W_PUBLISHED]
        oldest = max(number, self._words[_W_CLAIMED] - self.slots + slack)
        while oldest < published and self._words[self._header(oldest) + _GENERATION] != oldest + 1:
            oldest += 1
        return oldest

    def _copy(self, place: "_Place") -> bytes:
        offset = self._offset(place.number)
        return bytes(self._bytes[offset : offset + place.length])

    def _intact(self, number: int) -> bool:
        """Whether the record at `number` is whole, and what was read of it before this call is too."""
        generation = self._words[self._header(number) + _GENERATION]
        return generation == number + 1 and self._words[_W_CLAIMED] - number <= self.slots

    def _pass(self, place: "_Place") -> None:
        # The count goes first: killed in between, a successor gets the record once more instead of missing it.
        self._words[self._at + 1] = place.ordinal + 1
        self._words[self._at] = place.number + max(1, -(-place.length // self.slot_bytes))


class _Place(NamedTuple):
    """Where a record lies, and the how-many-eth it is."""

    number: int
    length: int
    ordinal: int
