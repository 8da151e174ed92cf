"""The now window in shared memory: a slab of lanes x frames entries, written by perception, copied by reasoning.

A slab and not a ring: a busy stream cannot push a quiet one's frames out. Each entry has a generation (odd while it is
being written), and so has the layout; a reader copies and looks again. The writer sizes the entries once the model is
loaded; the memory of a lane is reserved when its first frame comes.
"""

import hashlib
import logging
import mmap
import os
import time
from typing import Final

import msgspec

from perception.window import WindowFrame
from server.ipc.memory_file import map_memory_file, reserve
from server.ipc.warn import RateLimitedWarning

log = logging.getLogger(__name__)

_MAGIC: Final = 0x32424C5357454E4F
_PAGE: Final = 4096
# Words of the header page; behind them a byte for each lane: whether it is reserved.
_W_MAGIC, _W_EPOCH, _W_LANES, _W_FRAMES, _W_ENTRY_BYTES = range(5)
_LANE_FLAGS: Final = 64
MAX_LANES: Final = _PAGE - _LANE_FLAGS
# Words of an entry's header; its payload follows.
_GENERATION, _LENGTH, _ORDINAL, _MEDIA, _ARRIVAL, _STREAM = range(6)
_HEADER_BYTES: Final = 64
_TRIES: Final = 50
_STEADY_TRIES: Final = 4
_YIELDS: Final = 10
_PAUSE_S: Final = 0.0005

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WindowFrame)


class SlabWriter:
    """Perception's end: implements `perception.window.WindowSink`. A successor keeps what its predecessor wrote."""

    def __init__(self, memory: int, lanes: int, frames: int, slot_bytes: int) -> None:
        """Lay the slab out, or go on with it where it has this layout. slot_bytes: the most that a frame takes.

        Raises SharedMemoryExhausted, ValueError for more than MAX_LANES lanes.
        """
        if lanes > MAX_LANES:
            raise ValueError(f"{lanes} lanes, a slab has {MAX_LANES} at most")
        self._memory = memory
        self._lanes, self._frames = lanes, frames
        self._entry_bytes = -(-(slot_bytes + _HEADER_BYTES) // _PAGE) * _PAGE
        size = _PAGE + lanes * frames * self._entry_bytes
        if os.fstat(memory).st_size < size:
            # Never made smaller: a reader that has it mapped would die of SIGBUS.
            os.ftruncate(memory, size)
        reserve(memory, 0, _PAGE)
        self._map = map_memory_file(memory, populate=False)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._too_large = RateLimitedWarning(log, "%d frames have more visual tokens than the window has room for")
        self._ordinals: dict[int, int] = {}
        self._streams: dict[int, str] = {}
        layout = [_MAGIC, lanes, frames, self._entry_bytes]
        found = [self._words[word] for word in (_W_MAGIC, _W_LANES, _W_FRAMES, _W_ENTRY_BYTES)]
        if found == layout and self._words[_W_EPOCH] % 2 == 0:
            self._adopt()
        else:
            self._lay_out()

    def push(self, lane: int, frame: WindowFrame) -> None:
        """See `WindowSink.push`. Raises SharedMemoryExhausted."""
        payload = self._fitting(frame)
        if payload is None:
            return
        ordinal = self._next_ordinal(lane, frame.stream)
        entry = self._entry(lane, ordinal % self._frames)
        word = entry // 8
        self._words[word + _GENERATION] |= 1
        self._words[word + _LENGTH] = len(payload)
        self._words[word + _ORDINAL] = ordinal
        self._words[word + _MEDIA] = frame.media_us
        self._words[word + _ARRIVAL] = frame.arrival_us
        self._words[word + _STREAM] = _stream_word(frame.stream)
        start = entry + _HEADER_BYTES
        self._bytes[start : start + len(payload)] = payload
        self._words[word + _GENERATION] += 1

    def _fitting(self, frame: WindowFrame) -> bytes | None:
        """The frame as an entry holds it, without its JPEG or else its tokens where it is too large; None: not at all.

        Whoever reads it without tokens encodes the JPEG.
        """
        room = self._entry_bytes - _HEADER_BYTES
        payload = _encoder.encode(frame)
        if len(payload) > room:
            payload = _encoder.encode(msgspec.structs.replace(frame, jpeg=b""))
        if len(payload) > room:
            # The model gave more than it had announced.
            self._too_large()
            payload = _encoder.encode(msgspec.structs.replace(frame, tokens=None))
        return payload if len(payload) <= room else None

    def renew(self, lane: int, media_us: int, arrival_us: int) -> None:
        """See `WindowSink.renew`."""
        if lane not in self._ordinals:
            return
        word = self._entry(lane, self._ordinals[lane] % self._frames) // 8
        if self._words[word + _LENGTH] == 0:
            return
        self._words[word + _GENERATION] |= 1
        self._words[word + _MEDIA] = media_us
        self._words[word + _ARRIVAL] = arrival_us
        self._words[word + _GENERATION] += 1

    def wipe(self, lane: int, since_us: int, until_us: int) -> None:
        """See `WindowSink.wipe`."""
        for entry in self._written(lane):
            if since_us <= self._words[entry // 8 + _MEDIA] < until_us:
                self._erase(entry)

    def wipe_stream(self, stream: str, since_us: int, until_us: int) -> None:
        """Erase a stream's entries of [since_us, until_us) wherever they lie: in a lane of a predecessor's too."""
        own = _stream_word(stream)
        for lane in self._ordinals:
            for entry in self._written(lane):
                words = self._words[entry // 8 : entry // 8 + _STREAM + 1]
                if words[_STREAM] == own and since_us <= words[_MEDIA] < until_us:
                    self._erase(entry)

    def _lay_out(self) -> None:
        """Start with an empty slab: whatever lay in it is given back to the system."""
        self._words[_W_EPOCH] |= 1
        self._map.madvise(mmap.MADV_REMOVE, _PAGE, len(self._map) - _PAGE)
        self._bytes[_LANE_FLAGS:_PAGE] = bytes(_PAGE - _LANE_FLAGS)
        self._words[_W_MAGIC] = _MAGIC
        self._words[_W_LANES], self._words[_W_FRAMES] = self._lanes, self._frames
        self._words[_W_ENTRY_BYTES] = self._entry_bytes
        self._words[_W_EPOCH] += 1

    def _adopt(self) -> None:
        """Go on with what a predecessor left; an entry that it died over is erased."""
        for lane in range(self._lanes):
            if not self._bytes[_LANE_FLAGS + lane]:
                continue
            entries = [self._entry(lane, slot) for slot in range(self._frames)]
            for entry in entries:
                if self._words[entry // 8 + _GENERATION] % 2:
                    self._erase(entry)
            self._ordinals[lane] = max(self._words[entry // 8 + _ORDINAL] for entry in entries)

    def _next_ordinal(self, lane: int, stream: str) -> int:
        """Number the lane's next entry; its first one reserves the lane, another stream's entries are erased."""
        if lane not in self._ordinals:
            reserve(self._memory, self._entry(lane, 0), self._frames * self._entry_bytes)
            self._bytes[_LANE_FLAGS + lane] = 1
            self._ordinals[lane] = 0
        if self._streams.get(lane) != stream:
            for entry in self._written(lane):
                if self._words[entry // 8 + _STREAM] != _stream_word(stream):
                    self._erase(entry)
            self._streams[lane] = stream
        self._ordinals[lane] += 1
        return self._ordinals[lane]

    def _written(self, lane: int) -> list[int]:
        """Offsets of the lane's entries that hold a frame."""
        if lane not in self._ordinals:
            return []
        entries = [self._entry(lane, slot) for slot in range(self._frames)]
        return [entry for entry in entries if self._words[entry // 8 + _LENGTH]]

    def _erase(self, entry: int) -> None:
        word = entry // 8
        self._words[word + _GENERATION] |= 1
        self._words[word + _LENGTH] = 0
        self._bytes[entry + _HEADER_BYTES : entry + self._entry_bytes] = bytes(self._entry_bytes - _HEADER_BYTES)
        self._words[word + _GENERATION] += 1

    def _entry(self, lane: int, slot: int) -> int:
        return _PAGE + (lane * self._frames + slot) * self._entry_bytes


def _stream_word(stream: str) -> int:
    """A stream's mark in the headers of its entries."""
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")


class SlabReader:
    """Reasoning's end: implements `perception.window.WindowSource`; maps the slab lazily, anew when it has grown."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._map: mmap.mmap | None = None
        self._bytes = memoryview(b"")
        self._words = self._bytes.cast("Q")

    def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
        """See `WindowSource.snapshot`. An entry that the writer died over is left out."""
        for attempt in range(_TRIES):
            if not self._refresh():
                return []
            epoch = self._words[_W_EPOCH]
            lanes, frames, entry_bytes = (self._words[word] for word in (_W_LANES, _W_FRAMES, _W_ENTRY_BYTES))
            if epoch % 2 or _PAGE + lanes * frames * entry_bytes > len(self._bytes):
                time.sleep(_PAUSE_S)
                continue
            if lane >= lanes or not self._bytes[_LANE_FLAGS + lane]:
                return []
            entries = [_PAGE + (lane * frames + slot) * entry_bytes for slot in range(frames)]
            before = [self._words[entry // 8 + _GENERATION] for entry in entries]
            found = [self._copy(entry, entry_bytes) for entry in entries]
            after = [self._words[entry // 8 + _GENERATION] for entry in entries]
            # Each frame is whole in any case; a writer that never rests may leave a hole between two of them.
            if self._words[_W_EPOCH] == epoch and (before == after or attempt >= _STEADY_TRIES):
                present = sorted((one for one in found if one is not None), key=lambda one: one[0])
                return [frame for _, frame in present if frame.stream == stream]
        return []

    def _refresh(self) -> bool:
        """Map what there is; False: nothing yet."""
        size = os.fstat(self._memory).st_size
        if size < _PAGE:
            return False
        if size != len(self._bytes):
            self._map = map_memory_file(self._memory, populate=False)
            self._bytes = memoryview(self._map)
            self._words = self._bytes.cast("Q")
        return self._words[_W_MAGIC] == _MAGIC

    def _copy(self, entry: int, entry_bytes: int) -> tuple[int, WindowFrame] | None:
        """Ordinal and frame of one entry, or None where it is empty; again while the writer is at it."""
        word, start = entry // 8, entry + _HEADER_BYTES
        for attempt in range(_TRIES):
            generation = self._words[word + _GENERATION]
            length = self._words[word + _LENGTH]
            if generation % 2 or length > entry_bytes - _HEADER_BYTES:
                # Copying an entry takes a writer a millisecond, more when it has lost the processor meanwhile.
                time.sleep(0 if attempt < _YIELDS else _PAUSE_S)
                continue
            if generation == 0 or length == 0:
                return None
            payload = bytes(self._bytes[start : start + length])
            ordinal, media_us = self._words[word + _ORDINAL], self._words[word + _MEDIA]
            arrival_us = self._words[word + _ARRIVAL]
            if self._words[word + _GENERATION] == generation:
                frame = msgspec.structs.replace(_decoder.decode(payload), media_us=media_us, arrival_us=arrival_us)
                return ordinal, frame
        return None
