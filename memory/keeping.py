"""Getting a stream's outcomes onto the disk: commits and retention; what follows when they are done."""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec

from memory import retention, writing
from memory.config import MemoryConfig
from memory.events import AddSpeech, Outcome
from memory.messages import (
    BarrierReached,
    EventCommitted,
    GapRecord,
    MemoryOutput,
    MemoryStatus,
)
from memory.rows import EventRow
from memory.store import Settings, Store, put_settings
from memory.stream import Stream
from memory.writer import FULL, Job, Writer
from perception.messages import Fault

log = logging.getLogger(__name__)

UNREADABLE: Final = Fault("internal_error", "the stream's memory cannot be read: look at the disk and the server's log")
_RETRY_US: Final = 2_000_000
_STATUS_US: Final = 1_000_000
_UNSAVED: Final = 8
_BACKLOG_BYTES: Final = 256 * 2**20


class Keeper:
    """Sends work to the writer thread; `say` takes what is to be told once it is done."""

    def __init__(
        self, config: MemoryConfig, writer: Writer, clock: Callable[[], int], say: Callable[[MemoryOutput], None]
    ) -> None:
        self._config = config
        self._writer = writer
        self._clock = clock
        self._say = say

    def verify(self, stream: Stream) -> None:
        """When a store is taken up or a search in it failed: rows have checksums, what they are found by has none."""
        store = stream.store
        job = Job(store, lambda _: store.verify_indexes(), lambda _: None, partial(self._failed, stream), alone=True)
        self._writer.put(job)

    # ------------------------------------------------------------ events

    def keep(self, stream: Stream, outcomes: Iterable[Outcome]) -> None:
        """Commit what the event builder gave."""
        for outcome in outcomes:
            match outcome:
                case EventRow(open=True):
                    self.save_open(stream)
                case EventRow():
                    self._save_closed(stream, outcome)
                case GapRecord():
                    self._put(stream, partial(_with, writing.put_gap, outcome))
                case AddSpeech():
                    self._add_speech(stream, outcome)

    def save_open(self, stream: Stream) -> None:
        """Commit the open event as it stands."""
        row = stream.builder.row()
        if row is None or row == stream.saved or self._writer.backlog_bytes > _BACKLOG_BYTES:
            return
        stream.saved, stream.saved_at_us = row, self._clock()
        known = stream.saved_frames if stream.saved_seq == row.seq else frozenset()
        growth = sum(len(frame.jpeg) for frame in row.frames if frame.picture not in known)
        stream.saved_seq, stream.saved_frames = row.seq, frozenset(frame.picture for frame in row.frames)

        def failed(fault: Fault) -> None:
            stream.saved, stream.saved_seq = None, 0
            self._failed(stream, fault)

        run = partial(_with, writing.put_event, row)
        self._writer.put(Job(stream.store, run, lambda _: self._stored(stream, room=True), failed, growth + 1))

    def _save_closed(self, stream: Stream, row: EventRow) -> None:
        stream.covered.add(*row.span)
        if self._writer.backlog_bytes > _BACKLOG_BYTES:
            self._lose(stream, row, "overload")
            return
        stream.closing[row.seq] = row

        def done(_: object) -> None:
            # What was forgotten meanwhile is taken out of the index behind this, and never told.
            known = stream.closing.pop(row.seq, None)
            stream.index.add(row.seq, (known or row).frames)
            self._stored(stream, room=True)
            if known is not None:
                self._say(EventCommitted(known.record(stream.key)))

        def failed(fault: Fault) -> None:
            known = stream.closing.pop(row.seq, None)
            if known is not None:
                stream.unsaved.append(known)
            self._failed(stream, fault)

        growth = sum(len(frame.jpeg) for frame in row.frames) + 1
        self._writer.put(Job(stream.store, partial(_with, writing.put_event, row), done, failed, growth))
        self._retain(stream)

    def _failed(self, stream: Stream, fault: Fault) -> None:
        if stream.fault != fault:
            log.error("a stream's memory cannot be stored: %s", fault.code, extra={"stream": stream.key})
        stream.fault = fault
        stream.status_due = True
        if stream.retry_at_us is None:
            stream.retry_at_us = self._clock() + _RETRY_US
        while len(stream.unsaved) > _UNSAVED:
            self._lose(stream, stream.unsaved.popleft(), fault.code)

    def _lose(self, stream: Stream, row: EventRow, reason: str) -> None:
        """An event that has no place: what of it is on disk already stays, the rest of its time becomes a gap."""
        stream.covered.remove(*row.span)
        seq, span = row.seq, row.span
        # On a disk that stays bad these wait for ever, one for each event: without its pictures.
        frames = [msgspec.structs.replace(frame, jpeg=b"") for frame in row.frames]

        def done(kept: writing.Kept | None) -> None:
            if kept is not None:
                stream.covered.add(span[0], kept.end_us)
                stream.index.add(seq, (frame for frame in frames if frame.n in kept.numbers))

        self._put(stream, partial(_with, writing.give_up, seq, GapRecord(*span, reason)), done)

    def _stored(self, stream: Stream, *, room: bool) -> None:
        """Something came to the disk. What little fits on a full one is no sign of room."""
        stream.status_due = True
        waiting = stream.unsaved or stream.again
        if not waiting and (room or stream.fault != FULL):
            stream.fault = UNREADABLE if stream.unreadable else None

    def unreadable(self, stream: Stream, error: sqlite3.Error) -> None:
        """A part of its store cannot be read: what can goes on."""
        if not stream.unreadable:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            log.error("a stream's memory cannot be read: %s", code, extra={"stream": stream.key})
            stream.status_due = True
        stream.unreadable, stream.fault = True, UNREADABLE

    def _put(
        self, stream: Stream, run: Callable[[sqlite3.Connection], Any], follow: Callable[[Any], None] = lambda _: None
    ) -> None:
        """Commit a small change, now or when it can be."""

        def done(result: Any) -> None:
            self._stored(stream, room=False)
            follow(result)

        def failed(fault: Fault) -> None:
            stream.again.append((run, follow))
            self._failed(stream, fault)

        self._writer.put(Job(stream.store, run, done, failed))

    def _add_speech(self, stream: Stream, late: AddSpeech) -> None:
        def done(known: bool) -> None:
            if known:
                return
            for n, row in enumerate(stream.unsaved):
                if row.seq == late.seq:
                    stream.unsaved[n] = row.saying(late.spoken)
            if late.seq in stream.closing:
                self._add_speech(stream, late)

        self._put(stream, partial(_with, writing.add_speech, late.seq, late.spoken), done)

    # ------------------------------------------------------------ barriers, settings

    def barrier(self, stream: Stream, barrier: int) -> None:
        """Commit everything, then say so."""
        self.save_open(stream)

        def failed(fault: Fault) -> None:
            self._say(BarrierReached(stream.key, barrier, fault))

        def done(_: object) -> None:
            self._say(BarrierReached(stream.key, barrier, stream.fault))

        self._writer.put(Job(stream.store, lambda _: None, done, failed))

    def settings(self, stream: Stream, settings: Settings) -> None:
        """Keep changed settings; a smaller budget is held to at once."""
        if settings != stream.settings:
            stream.configure(settings, self._config)
            # Whenever it is done, it is the newest that counts.
            self._put(stream, lambda db: put_settings(db, stream.settings))
        self._retain(stream)

    # ------------------------------------------------------------ retention

    def _retain(self, stream: Stream) -> None:
        budget = stream.budget

        def done(retained: retention.Retained) -> None:
            for merged in retained.merged:
                stream.index.replace(merged.row.seq, merged.gone, merged.row.frames)
                stream.status_due = True
            if retained.gone:
                stream.index.forget_before(max(one.seq for one in retained.gone) + 1)
                for one in retained.gone:
                    stream.covered.remove(one.start_us, one.end_us)
                stream.status_due = True
            if retained.more:
                self._retain(stream)
            elif retained.loose:
                self._shrink(stream)

        run = partial(_retain, stream.store, budget)
        self._writer.put(Job(stream.store, run, done, partial(self._failed, stream)))

    def _shrink(self, stream: Stream) -> None:
        """Give back what retention left free, piece by piece."""

        def done(more: bool) -> None:
            if more:
                self._shrink(stream)

        # Where it fails, the next event that goes leads here again.
        run = partial(_shrink, stream.store)
        self._writer.put(Job(stream.store, run, done, lambda _: None, alone=True))

    # ------------------------------------------------------------ by the clock

    def due(self, stream: Stream, now_us: int) -> bool:
        """Whether `tick` has something to do."""
        return (
            self._open_is_old(stream, now_us)
            or self._may_tell(stream, now_us)
            or self._may_retry(stream, now_us)
            or _words_are_lost(stream)
        )

    def tick(self, stream: Stream, now_us: int) -> None:
        """Commit an open event that has changed, try again what failed, mend what can be, say how much there is."""
        if self._may_retry(stream, now_us):
            self._retry(stream)
        if _words_are_lost(stream):
            # Once: where the disk itself is bad, they would be damaged again and again.
            stream.words_mended = True
            self.verify(stream)
        if self._open_is_old(stream, now_us):
            self.save_open(stream)
        if self._may_tell(stream, now_us):
            self._tell(stream, now_us)

    def _retry(self, stream: Stream) -> None:
        stream.retry_at_us = None
        unsaved, stream.unsaved = list(stream.unsaved), type(stream.unsaved)()
        again, stream.again = stream.again, []
        for row in unsaved:
            self._save_closed(stream, row)
        for run, follow in again:
            self._put(stream, run, follow)

    def _open_is_old(self, stream: Stream, now_us: int) -> bool:
        if now_us - stream.saved_at_us < self._config.commit_us:
            return False
        row = stream.builder.row()
        return row is not None and row != stream.saved

    def _may_retry(self, stream: Stream, now_us: int) -> bool:
        waiting = bool(stream.unsaved or stream.again)
        return waiting and stream.retry_at_us is not None and now_us >= stream.retry_at_us

    def _may_tell(self, stream: Stream, now_us: int) -> bool:
        at = stream.status_at_us
        return stream.status_due and (at is None or now_us - at >= _STATUS_US)

    def _tell(self, stream: Stream, now_us: int) -> None:
        stream.status_due, stream.status_at_us = False, now_us
        try:
            stream.totals = stream.store.reader.totals()
        except sqlite3.Error as error:
            self.unreadable(stream, error)
        totals = stream.totals
        self._say(
            MemoryStatus(
                stream.key, totals.events, totals.start_us, totals.end_us, totals.bytes, totals.gaps, stream.fault,
                len(stream.store.reader.corrupt),
            )
        )  # fmt: skip


def _with(function: Callable[..., object], *rest_and_db: object) -> object:
    """Call `function(db, *rest)`: the connection comes last from a job."""
    *rest, db = rest_and_db
    return function(db, *rest)


def _words_are_lost(stream: Stream) -> bool:
    return stream.store.reader.words_are_damaged and not stream.words_mended


def _retain(store: Store, budget: retention.Budget, db: sqlite3.Connection) -> retention.Retained:
    return retention.retain(store, db, budget)


def _shrink(store: Store, _: sqlite3.Connection) -> bool:
    return retention.shrink(store)
