"""The now window in shared memory: a slab of lanes x frames entries, written by perception, copied by reasoning.

A slab and not a ring: a busy stream cannot push a quiet one's frames out. Each entry has a generation (odd while it is
being written); a reader copies and looks again. The writer sizes the entries once the model is loaded; the memory of a
lane is reserved when its first frame comes.
"""

import mmap
import os
from typing import Final

import msgspec

from perception.window import WindowFrame
from server.ipc.memory_file import map_memory_file, reserve

_MAGIC: Final = 0x31424C5357454E4F
_PAGE: Final = 4096
_W_MAGIC, _W_LANES, _W_FRAMES, _W_ENTRY_BYTES = range(4)
# Words of an entry's header; its payload follows.
_GENERATION, _LENGTH, _ORDINAL, _MEDIA, _ARRIVAL = range(5)
_HEADER_BYTES: Final = 64
_TRIES: Final = 100

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WindowFrame)


class EntryTooLarge(ValueError):
    """A frame's visual tokens do not fit an entry: the model gave more than it had announced."""


class SlabWriter:
    """Perception's end: implements `perception.window.WindowSink`."""

    def __init__(self, memory: int, lanes: int, frames: int, payload_bytes: int) -> None:
        """Lay the slab out, or go on with it where a predecessor left one of the same layout."""
        self._memory = memory
        self._frames = frames
        entry_bytes = -(-(payload_bytes + _HEADER_BYTES) // _PAGE) * _PAGE
        self._entry_bytes = entry_bytes
        size = _PAGE + lanes * frames * entry_bytes
        layout = [_MAGIC, lanes, frames, entry_bytes]
        if not self._has_layout(layout, size):
            os.ftruncate(memory, 0)
            os.ftruncate(memory, size)
            reserve(memory, 0, _PAGE)
        self._map = map_memory_file(memory, populate=False)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        for word, value in enumerate(layout):
            self._words[word] = value
        self._ordinals: dict[int, int] = {}

    def push(self, lane: int, frame: WindowFrame) -> None:
        """See `WindowSink.push`."""
        payload = _encoder.encode(frame)
        room = self._entry_bytes - _HEADER_BYTES
        if len(payload) > room:
            payload = _encoder.encode(msgspec.structs.replace(frame, jpeg=b""))
        if len(payload) > room:
            raise EntryTooLarge(f"{len(payload)} bytes of visual tokens, an entry has {room}")
        ordinal = self._next_ordinal(lane)
        entry = self._entry(lane, ordinal % self._frames)
        word = entry // 8
        self._words[word + _GENERATION] |= 1
        self._words[word + _LENGTH] = len(payload)
        self._words[word + _ORDINAL] = ordinal
        self._words[word + _MEDIA] = frame.media_us
        self._words[word + _ARRIVAL] = frame.arrival_us
        start = entry + _HEADER_BYTES
        self._bytes[start : start + len(payload)] = payload
        self._words[word + _GENERATION] += 1

    def renew(self, lane: int, media_us: int, arrival_us: int) -> None:
        """See `WindowSink.renew`."""
        newest = self._ordinals.get(lane, 0)
        if newest == 0:
            return
        word = self._entry(lane, newest % self._frames) // 8
        if self._words[word + _LENGTH] == 0:
            return
        self._words[word + _GENERATION] |= 1
        self._words[word + _MEDIA] = media_us
        self._words[word + _ARRIVAL] = arrival_us
        self._words[word + _GENERATION] += 1

    def wipe(self, lane: int, since_us: int, until_us: int) -> None:
        """See `WindowSink.wipe`."""
        if lane not in self._ordinals:
            return
        for slot in range(self._frames):
            entry = self._entry(lane, slot)
            word = entry // 8
            if not self._words[word + _LENGTH] or not since_us <= self._words[word + _MEDIA] < until_us:
                continue
            self._words[word + _GENERATION] |= 1
            self._words[word + _LENGTH] = 0
            start = entry + _HEADER_BYTES
            self._bytes[start : entry + self._entry_bytes] = bytes(self._entry_bytes - _HEADER_BYTES)
            self._words[word + _GENERATION] += 1

    def _next_ordinal(self, lane: int) -> int:
        """Entries of a lane are numbered from 1; the first frame reserves the lane and finds where to go on."""
        if lane not in self._ordinals:
            reserve(self._memory, self._entry(lane, 0), self._frames * self._entry_bytes)
            words = (self._entry(lane, slot) // 8 for slot in range(self._frames))
            self._ordinals[lane] = max(self._words[word + _ORDINAL] for word in words)
        self._ordinals[lane] += 1
        return self._ordinals[lane]

    def _entry(self, lane: int, slot: int) -> int:
        return _PAGE + (lane * self._frames + slot) * self._entry_bytes

    def _has_layout(self, layout: list[int], size: int) -> bool:
        if os.fstat(self._memory).st_size != size:
            return False
        header = memoryview(os.pread(self._memory, 8 * len(layout), 0)).cast("Q")
        return header.tolist() == layout


class SlabReader:
    """Reasoning's end: implements `perception.window.WindowSource`; maps the slab lazily, anew when it changed."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._map: mmap.mmap | None = None
        self._bytes = memoryview(b"")
        self._words = self._bytes.cast("Q")

    def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
        """See `WindowSource.snapshot`."""
        if not self._refresh():
            return []
        lanes, frames = self._words[_W_LANES], self._words[_W_FRAMES]
        if lane >= lanes:
            return []
        found = [self._copy(lane * frames + slot) for slot in range(frames)]
        present = sorted((one for one in found if one is not None), key=lambda one: one[0])
        return [frame for _, frame in present if frame.stream == stream]

    def _refresh(self) -> bool:
        size = os.fstat(self._memory).st_size
        if size <= _PAGE:
            return False
        if self._map is None or self._map.size() != size or len(self._map) != size:
            self._map = map_memory_file(self._memory, populate=False)
            self._bytes = memoryview(self._map)
            self._words = self._bytes.cast("Q")
        return self._words[_W_MAGIC] == _MAGIC

    def _copy(self, entry: int) -> tuple[int, WindowFrame] | None:
        """Ordinal and frame of one entry, or None where it is empty; again while the writer is at it."""
        entry_bytes = self._words[_W_ENTRY_BYTES]
        start = _PAGE + entry * entry_bytes
        word = start // 8
        for _ in range(_TRIES):
            generation = self._words[word + _GENERATION]
            length = self._words[word + _LENGTH]
            if generation == 0 or length == 0:
                return None
            if generation % 2 or length > entry_bytes - _HEADER_BYTES:
                os.sched_yield()
                continue
            payload = bytes(self._bytes[start + _HEADER_BYTES : start + _HEADER_BYTES + length])
            ordinal, media_us = self._words[word + _ORDINAL], self._words[word + _MEDIA]
            arrival_us = self._words[word + _ARRIVAL]
            if self._words[word + _GENERATION] == generation:
                frame = msgspec.structs.replace(_decoder.decode(payload), media_us=media_us, arrival_us=arrival_us)
                return ordinal, frame
        # The writer died in the middle of this entry: it is not whole, and stays so until it is written again.
        return None
