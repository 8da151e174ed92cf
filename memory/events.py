"""From percepts to events: where one ends and the next begins, and which frames represent it. Knows no database."""

import secrets
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memory.messages import EventRecord, FrameRef, GapRecord, SpeechSpan
from perception.messages import Gap, Percept, Speech, StreamEnded, Unchanged

Vector = NDArray[np.float32]

_PAUSE_US: Final = 2_000_000
"""Speech that ends closes an event that was opened at least this long before."""


@dataclass
class Keyframe:
    """A frame that stands for its event."""

    n: int
    media_us: int
    jpeg: bytes
    vector: Vector


@dataclass
class OpenEvent:
    """The event that is going on. `dirty`: something of it is not in the store yet."""

    id: str
    stream: str
    start_us: int
    end_us: int
    keyframes: list[Keyframe] = field(default_factory=list)
    speech: list[SpeechSpan] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    stored: int = 0
    dirty: bool = True

    @property
    def transcript(self) -> str | None:
        """What was said, if anything was understood."""
        return " ".join(self.words) or None

    def record(self, *, is_open: bool) -> EventRecord:
        """The event as others see it."""
        frames = [FrameRef(one.n, one.media_us) for one in self.keyframes]
        return EventRecord(
            self.id, self.stream, self.start_us, self.end_us, None, self.transcript, list(self.speech), 1, frames,
            is_open,
        )  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """What a record did: events that are closed now, a gap to keep."""

    closed: list[OpenEvent] = field(default_factory=list)
    gap: GapRecord | None = None


class EventBuilder:
    """One stream's events, one after the other, never overlapping.

    An event ends at a cut, at its greatest length, when speech ends in it, at a gap, and with the session. Its first
    frame always represents it; the others are those that differ most from one another, `keyframes` in all.
    """

    def __init__(self, stream: str, max_event_us: int, keyframes: int) -> None:
        self.stream = stream
        self.max_event_us = max_event_us
        self._keyframes = keyframes
        self.current: OpenEvent | None = None
        self._speech_ended_us: int | None = None
        self._later_speech: list[tuple[SpeechSpan, str | None]] = []

    def take(self, record: Percept | Unchanged | Speech | Gap | StreamEnded) -> Changes:
        """Work a record in."""
        match record:
            case Percept():
                return self._percept(record)
            case Unchanged():
                return self._unchanged(record)
            case Speech():
                return self._speech(record)
            case Gap():
                closed = self._close(min(record.start_us, self._end_or(record.start_us)))
                return Changes(closed, GapRecord(record.start_us, record.end_us, record.reason))
            case StreamEnded():
                return Changes(self._close(self._end_or(record.media_us)))

    def drop(self) -> OpenEvent | None:
        """Forget the event that is going on."""
        dropped, self.current = self.current, None
        return dropped

    def _end_or(self, media_us: int) -> int:
        return self.current.end_us if self.current is not None else media_us

    def _percept(self, percept: Percept) -> Changes:
        closed: list[OpenEvent] = []
        start_us = percept.media_us
        if self.current is not None:
            if percept.cut and percept.cut_us > self.current.start_us:
                start_us = percept.cut_us
                closed = self._close(percept.cut_us)
            elif self._is_over(percept.media_us):
                closed = self._close(percept.media_us)
        if self.current is None:
            self.current = self._open(start_us)
        self._represent(self.current, percept)
        self.current.end_us = max(self.current.end_us, percept.media_us)
        return Changes(closed)

    def _unchanged(self, record: Unchanged) -> Changes:
        current = self.current
        if current is None:
            return Changes()
        current.end_us = max(current.end_us, record.media_us)
        if record.media_us - current.start_us < self.max_event_us:
            return Changes()
        # A still scene goes on: the next event begins with the picture that the last one ended with.
        last = current.keyframes[-1]
        closed = self._close(record.media_us)
        self.current = self._open(record.media_us)
        self.current.keyframes.append(Keyframe(0, record.media_us, last.jpeg, last.vector))
        return Changes(closed)

    def _is_over(self, media_us: int) -> bool:
        current = self.current
        assert current is not None
        if media_us - current.start_us >= self.max_event_us:
            return True
        ended = self._speech_ended_us
        return ended is not None and ended - current.start_us >= _PAUSE_US

    def _speech(self, record: Speech) -> Changes:
        if self.current is not None:
            self.current.speech.append(SpeechSpan(record.start_us, record.end_us))
            self.current.words += [record.transcript] if record.transcript else []
            self.current.dirty = True
            self._speech_ended_us = record.end_us
        else:
            self._later_speech.append((SpeechSpan(record.start_us, record.end_us), record.transcript))
        return Changes()

    def _open(self, start_us: int) -> OpenEvent:
        self._speech_ended_us = None
        event = OpenEvent(f"e_{secrets.token_hex(8)}", self.stream, start_us, start_us)
        for span, words in self._later_speech:
            event.speech.append(span)
            event.words += [words] if words else []
        self._later_speech = []
        return event

    def _close(self, end_us: int) -> list[OpenEvent]:
        current, self.current = self.current, None
        if current is None:
            return []
        current.end_us = max(current.start_us, end_us)
        current.dirty = True
        return [current]

    def _represent(self, event: OpenEvent, percept: Percept) -> None:
        """Keep the frame if there is room, or if it is further from its likes than the least telling one kept."""
        vector = np.frombuffer(percept.vector, np.float32)
        frames = event.keyframes
        n = max((one.n for one in frames), default=-1) + 1
        new = Keyframe(n, percept.media_us, percept.jpeg, vector)
        if len(frames) < self._keyframes:
            frames.append(new)
            event.dirty = True
            return
        if len(frames) == 1:
            return
        spread = [_nearest(one, frames) for one in frames[1:]]
        least = int(np.argmin(spread)) + 1
        others = [one for place, one in enumerate(frames) if place != least]
        if _nearest(new, others) > spread[least - 1] + 1e-4:
            event.keyframes = [*others, new]
            event.dirty = True


def _nearest(one: Keyframe, frames: list[Keyframe]) -> float:
    """Distance (1 - cosine) to the most similar other frame."""
    return min((1.0 - float(one.vector @ other.vector) for other in frames if other is not one), default=2.0)
