"""What a store keeps, as plain structs: events with their keyframes and speech, and their checksums."""

import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from memory.messages import EventRecord, FrameRef, SpeechSpan

Vector = NDArray[np.float32]

PAGE_BYTES = 4096
EVENT_BYTES = 1024
"""What an event takes beside its pictures and words: its row, index entries, its frames' rows."""


class Spoken(msgspec.Struct, frozen=True, array_like=True):
    """Someone spoke in [start_us, end_us); text where a recogniser ran."""

    start_us: int
    end_us: int
    text: str | None


class Keyframe(msgspec.Struct, frozen=True):
    """A kept frame. picture: by which its bytes and vector are stored; vector: float16 bytes.

    A frame that is only there because it was shown to somebody (`is_aside`) has its picture under a negative number and
    no vector. captured_us: when its picture was taken: before `media_us` where an event before it showed it already.
    """

    n: int
    media_us: int
    picture: int
    jpeg: bytes
    vector: bytes
    captured_us: int

    @property
    def is_aside(self) -> bool:
        """Whether it does not stand for its event: it is served at its address, and neither found nor listed."""
        return self.picture < 0


class EventRow(msgspec.Struct, frozen=True):
    """An event at one moment of its life. observed_us: the last moment at which something of it was seen."""

    seq: int
    id: str
    start_us: int
    end_us: int
    observed_us: int
    open: bool
    frames: tuple[Keyframe, ...]
    speech: tuple[Spoken, ...]
    vector: bytes
    caption: str | None = None
    merged: int = 1

    @property
    def span(self) -> tuple[int, int]:
        """[start, end) that it covers."""
        return self.start_us, max(self.end_us, self.start_us + 1)

    @property
    def reach(self) -> tuple[int, int]:
        """[start, end) of all that it holds."""
        return reach_of(self.start_us, max(self.end_us, self.observed_us + 1), self.speech)

    @property
    def transcript(self) -> str | None:
        """What was said, None where no recogniser ran or nothing was."""
        return transcript_of(self.speech)

    def saying(self, said: Spoken) -> "EventRow":
        """With something more that was said."""
        return msgspec.structs.replace(self, speech=with_speech(self.speech, said))

    def without(self, is_dead: Callable[[int], bool]) -> "EventRow":
        """Without the pictures that were captured at a dead moment, and without the vector that they had a part in."""
        frames = tuple(frame for frame in self.frames if not is_dead(frame.captured_us))
        return self if len(frames) == len(self.frames) else msgspec.structs.replace(self, frames=frames, vector=b"")

    def without_aside(self) -> "EventRow":
        """With the frames alone that stand for it."""
        return msgspec.structs.replace(self, frames=tuple(frame for frame in self.frames if not frame.is_aside))

    def record(self, stream: str, score: float | None = None) -> EventRecord:
        """As it is told."""
        refs = (FrameRef(frame.n, frame.media_us) for frame in self.without_aside().frames)
        frames = sorted(refs, key=lambda ref: ref.media_us)
        spans = [SpeechSpan(said.start_us, said.end_us) for said in self.speech]
        return EventRecord(
            self.id, stream, self.start_us, self.end_us, self.caption, self.transcript, spans, self.merged, frames,
            self.open, score,
        )  # fmt: skip


def reach_of(start_us: int, end_us: int, speech: tuple[Spoken, ...]) -> tuple[int, int]:
    """The range of an event and of what was said in it."""
    return (
        min([start_us, *(said.start_us for said in speech)]),
        max([end_us, start_us + 1, *(said.end_us for said in speech)]),
    )


def with_speech(speech: tuple[Spoken, ...], said: Spoken) -> tuple[Spoken, ...]:
    """Speech and something more, in time order."""
    return tuple(sorted((*speech, said), key=lambda spoken: spoken.start_us))


def transcript_of(speech: tuple[Spoken, ...]) -> str | None:
    """The spoken texts, in order, as one."""
    return " ".join(said.text for said in speech if said.text) or None


def pack_speech(speech: tuple[Spoken, ...]) -> bytes:
    """Speech as a blob."""
    return msgspec.msgpack.encode(speech)


def unpack_speech(blob: bytes) -> tuple[Spoken, ...]:
    """Speech of a blob. Raises msgspec.MsgspecError."""
    return msgspec.msgpack.decode(blob, type=tuple[Spoken, ...])


def row_crc(*values: bytes | str | int | None) -> int:
    """CRC-32 over a row's values, their kinds included."""
    return zlib.crc32(msgspec.msgpack.encode(values))


EVENT_COLUMNS: Final = "seq, id, start_us, end_us, reach_start_us, reach_end_us, open, merged, caption, speech, crc"
"""A row of `events` as it is read and checked: its number, what `event_crc` is of, the checksum."""


def event_crc(seq: int, event: Sequence[int | str | bytes | None]) -> int:
    """Of an event's number, id, start, end, both reaches, open, merged, caption, speech."""
    return row_crc(seq, *event)


def is_whole(number: int, blob: object, crc: int) -> bool:
    """Whether a blob that is stored under a number is what it was when its checksum was made."""
    if not isinstance(blob, bytes):
        return False
    # `crc_of(number, blob)` in one piece: an index of 100 000 vectors asks this as often.
    digits = b"%d" % number
    return zlib.crc32(blob, zlib.crc32(b"False%d:%bFalse%d:" % (len(digits), digits, len(blob)))) == crc


def crc_of(*parts: bytes | str | int | None) -> int:
    """CRC-32 over values, each told apart from its neighbours and from None."""
    crc = 0
    for part in parts:
        data = b"" if part is None else part if isinstance(part, bytes) else str(part).encode()
        crc = zlib.crc32(data, zlib.crc32(f"{part is None}{len(data)}:".encode(), crc))
    return crc


def to_half(vector: Vector) -> bytes:
    """Float16 bytes of a vector."""
    return vector.astype(np.float16).tobytes()


def from_half(blob: bytes) -> Vector:
    """The vector of float16 bytes."""
    return np.frombuffer(blob, dtype=np.float16).astype(np.float32)


def unit(vector: Vector) -> Vector:
    """The vector at length 1; a zero vector as it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector


def stored_bytes(jpeg: int, vector: int) -> int:
    """What a stored picture takes on disk, by the lengths of its JPEG and its vector: pages of the one, the other."""
    return -(-jpeg // PAGE_BYTES) * PAGE_BYTES + vector + 64


def text_bytes(row: EventRow) -> int:
    """What an event's words take, in its row and in the full-text index."""
    return len((row.caption or "") + (row.transcript or "")) * 2
