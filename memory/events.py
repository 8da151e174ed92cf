"""Percepts in, events out: where one ends and the next begins, which frames stand for it. Pure, on media time."""

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from memory.keyframes import Keyframes
from memory.messages import GapRecord
from memory.rows import EventRow, Keyframe, Spoken, Vector, from_half, to_half, unit
from memory.spans import Spans
from perception.messages import Gap, Percept, Speech, StreamEnded, Unchanged

RESTART_GAP_US: Final = 5_000_000
"""More than this between what is stored and what comes first after a start is a gap, whoever caused it."""
JUMP_US: Final = 600_000_000
"""Consecutive records further apart than this are no sparse sampling: the stream's clock has jumped."""
_NEAR_US: Final = 5_000_000
_WAITING_SPEECH: Final = 16
_RECENT_EVENTS: Final = 8


@dataclass(frozen=True)
class AddSpeech:
    """Speech of a closed event, known only after it was closed."""

    seq: int
    spoken: Spoken


Outcome = EventRow | GapRecord | AddSpeech
"""What is to be committed."""


@dataclass(frozen=True)
class Bounds:
    """Of an event's length, in media time, and of its keyframes."""

    max_event_us: int
    min_event_us: int
    speech_event_us: int
    keyframes: int


@dataclass(frozen=True)
class Resume:
    """Where a store goes on: free numbers, and where stored media time ends (0: a new store)."""

    next_seq: int = 1
    next_picture: int = 1
    end_us: int = 0


@dataclass
class _Shown:
    """The picture that was encoded last: it lasts while frames are found unchanged."""

    captured_us: int
    picture: int
    jpeg: bytes
    half: bytes
    vector: Vector
    suspect: bool


@dataclass
class _Open:
    """An event that goes on."""

    seq: int
    id: str
    start_us: int
    last_us: int
    frames: Keyframes
    speech: list[Spoken] = field(default_factory=list)
    total: Vector | None = None

    def see(self, media_us: int, shown: _Shown) -> None:
        """A frame belongs to it."""
        self.last_us = media_us
        self.frames.offer(media_us, shown.picture, shown.jpeg, shown.half, shown.captured_us, suspect=shown.suspect)
        self.total = shown.vector.copy() if self.total is None else self.total + shown.vector

    def drop(self, is_dead: Callable[[int], bool]) -> bool:
        """Let go of pictures that were captured at a dead moment; whether there were any."""
        dropped = self.frames.drop(is_dead)
        if dropped:
            kept = [from_half(frame.vector) for frame in self.frames.frames if not frame.is_aside]
            self.total = np.sum(kept, axis=0) if kept else None
        return dropped

    def row(self, end_us: int, *, is_open: bool) -> EventRow:
        """As it stands, ending at `end_us`."""
        vector = to_half(unit(self.total)) if self.total is not None else b""
        return EventRow(
            self.seq, self.id, self.start_us, end_us, self.last_us, is_open, self.frames.frames, tuple(self.speech),
            vector,
        )  # fmt: skip


def new_event_id() -> str:
    """Unique among all streams."""
    return f"e_{secrets.token_hex(10)}"


class EventBuilder:
    """The events of one stream. `take` gives what is to be committed; the open event is read by `row`.

    Events never overlap and follow each other in time. `forgotten` holds ranges whose late records are dropped.
    """

    def __init__(
        self, bounds: Bounds, resume: Resume, forgotten: Spans, new_id: Callable[[], str] = new_event_id
    ) -> None:
        self.bounds = bounds
        self.forgotten = forgotten
        self.dropped = 0
        self._next_seq = resume.next_seq
        self._next_picture = resume.next_picture
        self._newest_us = resume.end_us if resume.end_us > 0 else -1
        self._fresh = resume.end_us > 0
        self._new_id = new_id
        self._open: _Open | None = None
        self._shown: _Shown | None = None
        self._last_cut_us: int | None = None
        self._speech_over = False
        self._waiting: deque[Spoken] = deque(maxlen=_WAITING_SPEECH)
        self._recent: deque[tuple[int, int, int]] = deque(maxlen=_RECENT_EVENTS)

    # ------------------------------------------------------------ what is open

    @property
    def end_us(self) -> int:
        """The newest moment of which anything is known, -1 before the first."""
        return self._newest_us

    def row(self) -> EventRow | None:
        """The open event as it stands."""
        return self._open.row(self._open.last_us, is_open=True) if self._open is not None else None

    def pin(self, event: str, numbers: list[int]) -> None:
        """Frames that were shown to somebody stay at their addresses."""
        if self._open is not None and self._open.id == event:
            self._open.frames.pin(numbers)

    def restore(self, event: str, frame: Keyframe) -> None:
        """A frame that was shown to somebody after it was let go of comes back, and stays."""
        if self._open is not None and self._open.id == event:
            self._open.frames.restore(frame)

    def forget(self) -> None:
        """Let go of the open event and of the picture on show."""
        self._open, self._shown = None, None

    def drop_pictures(self, is_dead: Callable[[int], bool]) -> str | None:
        """Let go of pictures that were captured at a dead moment; the open event's id, if it showed one."""
        if self._shown is not None and is_dead(self._shown.captured_us):
            self._shown = None
        return self._open.id if self._open is not None and self._open.drop(is_dead) else None

    def drop_waiting_speech(self, since_us: int, until_us: int) -> None:
        """Speech without an event yet goes too when its time is forgotten."""
        kept = [said for said in self._waiting if said.end_us <= since_us or said.start_us >= until_us]
        self._waiting = deque(kept, maxlen=_WAITING_SPEECH)

    # ------------------------------------------------------------ records

    def take(self, record: Percept | Unchanged | Speech | Gap | StreamEnded) -> list[Outcome]:
        """Go on by one record."""
        match record:
            case Percept():
                return list(self._percept(record))
            case Unchanged():
                return list(self._unchanged(record))
            case Speech():
                return list(self._speech(record))
            case Gap():
                return list(self._gap(record))
            case StreamEnded():
                return list(self._ended(record))

    def close(self) -> list[Outcome]:
        """Close the open event where it stands."""
        return list(self._close(self._open.last_us)) if self._open is not None else []

    def _percept(self, percept: Percept) -> Iterator[Outcome]:
        if self._is_late(percept.media_us):
            return
        yield from self._hole(percept.media_us)
        vector = np.frombuffer(percept.vector, dtype=np.float32)
        boundary = self._boundary(percept.media_us, percept.cut_us if percept.cut else None)
        half, suspect = to_half(vector), percept.suspect
        self._shown = _Shown(percept.media_us, self._next_picture, percept.jpeg, half, vector, suspect)
        self._next_picture += 1
        yield from self._see(percept.media_us, boundary)

    def _unchanged(self, unchanged: Unchanged) -> Iterator[Outcome]:
        if self._shown is None or self._is_late(unchanged.media_us):
            return
        yield from self._hole(unchanged.media_us)
        yield from self._see(unchanged.media_us, self._boundary(unchanged.media_us, None), renewed=True)

    def _see(self, media_us: int, boundary: int | None, *, renewed: bool = False) -> Iterator[Outcome]:
        """The picture on show is seen at a moment: of the open event, or of a new one that begins at the boundary."""
        assert self._shown is not None
        self._newest_us = media_us
        if self._open is not None and boundary is not None:
            yield from self._close(boundary)
        if self._open is None:
            start = media_us if boundary is None else boundary
            yield from self._begin(start, media_us)
        elif renewed:
            self._open.last_us = media_us
        else:
            self._open.see(media_us, self._shown)

    def _begin(self, start_us: int, media_us: int) -> Iterator[Outcome]:
        assert self._shown is not None
        self._open = _Open(self._next_seq, self._new_id(), start_us, media_us, Keyframes(self.bounds.keyframes))
        self._next_seq += 1
        self._open.see(media_us, self._shown)
        self._open.speech.extend(said for said in self._waiting if said.end_us > start_us - _NEAR_US)
        self._waiting.clear()
        if self._last_cut_us is None:
            self._last_cut_us = start_us
        yield self._open.row(media_us, is_open=True)

    def _boundary(self, media_us: int, cut_us: int | None) -> int | None:
        """Where the open event ends before this moment, None where it goes on."""
        event = self._open
        if event is None:
            return None
        if cut_us is not None:
            cut_us = min(max(cut_us, event.last_us), media_us)
            if self._last_cut_us is None or cut_us - self._last_cut_us >= self.bounds.min_event_us:
                self._last_cut_us = cut_us
                return self._at_longest(event, cut_us, media_us)
        speech_over, self._speech_over = self._speech_over, False
        if speech_over and media_us - event.start_us >= self.bounds.speech_event_us:
            return self._at_longest(event, media_us, media_us)
        return self._at_longest(event, None, media_us)

    def _at_longest(self, event: _Open, boundary: int | None, media_us: int) -> int | None:
        """The boundary, or the moment at which the event has its greatest length if that comes first."""
        longest = max(event.start_us + self.bounds.max_event_us, event.last_us)
        if boundary is not None and boundary <= longest:
            return boundary
        return longest if media_us >= longest > event.start_us else boundary

    def _close(self, end_us: int) -> Iterator[Outcome]:
        event, self._open = self._open, None
        if event is None:
            return
        self._speech_over = False
        row = event.row(max(end_us, event.last_us), is_open=False)
        if self._shown is not None and self._shown.captured_us == event.last_us == row.end_us:
            # It was captured in this event, however long it lasts: not at the first moment of the next one.
            self._shown.captured_us = max(row.start_us, row.end_us - 1)
        self._recent.append((row.seq, row.start_us, max(row.end_us, row.start_us + 1)))
        yield row

    def _is_late(self, media_us: int) -> bool:
        late = media_us < self._newest_us or self.forgotten.holds(media_us)
        self.dropped += late
        return late

    def _hole(self, media_us: int) -> Iterator[Outcome]:
        """The first record after a start tells how much was missed; later ones, whether the clock has jumped."""
        fresh, self._fresh = self._fresh, False
        missed_us = media_us - self._newest_us if self._newest_us >= 0 else 0
        if missed_us > (RESTART_GAP_US if fresh else JUMP_US):
            yield from self.close()
            yield GapRecord(self._newest_us, media_us, "restart" if fresh else "clock")

    # ------------------------------------------------------------ speech

    def _speech(self, speech: Speech) -> Iterator[Outcome]:
        if speech.start_us >= speech.end_us or self.forgotten.touches(speech.start_us, speech.end_us):
            return
        said = Spoken(speech.start_us, speech.end_us, speech.transcript)
        seq = self._event_of(said)
        if seq is None:
            self._waiting.append(said)
        elif self._open is not None and seq == self._open.seq:
            self._open.speech.append(said)
        else:
            yield AddSpeech(seq, said)
        self._speech_over = said.end_us - said.start_us >= self.bounds.speech_event_us

    def _event_of(self, said: Spoken) -> int | None:
        """The event that holds most of what was said, or is near enough."""
        candidates = list(self._recent)
        if self._open is not None:
            candidates.append((self._open.seq, self._open.start_us, max(self._open.last_us, said.end_us) + 1))
        best, most = None, -_NEAR_US
        for seq, start, end in candidates:
            overlap = min(end, said.end_us) - max(start, said.start_us)
            if overlap > most:
                best, most = seq, overlap
        return best

    # ------------------------------------------------------------ breaks

    def _gap(self, gap: Gap) -> Iterator[Outcome]:
        if gap.start_us >= gap.end_us:
            return
        self._fresh = False
        if self._open is not None:
            yield from self._close(min(max(gap.start_us, self._open.last_us), gap.end_us))
        self._newest_us = max(self._newest_us, gap.end_us - 1)
        self._last_cut_us = None
        yield GapRecord(gap.start_us, gap.end_us, gap.reason)

    def _ended(self, ended: StreamEnded) -> Iterator[Outcome]:
        if self._open is not None:
            near = ended.media_us if ended.media_us - self._open.last_us <= _NEAR_US else self._open.last_us
            yield from self._close(near)
        self._newest_us = max(self._newest_us, ended.media_us if ended.media_us > 0 else self._newest_us)
        self._shown = None
        self._last_cut_us = None
