"""Forgetting: unreadable at once, told when nothing can come back, wiped from the files after that."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final

from memory import fulltext, writing
from memory.failpoints import reach
from memory.messages import Forget, Forgotten, MemoryOutput, Refused
from memory.rows import EventRow
from memory.spans import Spans
from memory.store import VACUUM_BYTES, Store
from memory.stream import Stream
from memory.writer import Job, Writer
from memory.writing import Forgot, Gone
from perception.messages import Fault

NO_EVENT: Final = Fault("event_not_found", "there is no such event: list the events of the stream", "event")
_WIPE_EVENTS: Final = 32
_RETRY_US: Final = 2_000_000


class Forgetter:
    """Sends work to the writer thread; `say` takes what is to be told once it is done."""

    def __init__(self, writer: Writer, clock: Callable[[], int], say: Callable[[MemoryOutput], None]) -> None:
        self._writer = writer
        self._clock = clock
        self._say = say

    def forget(self, stream: Stream, message: Forget) -> None:
        """Let go in RAM now, on disk at once; told when nothing can be read or come back any more."""
        since, until = message.since_us, min(message.until_us, max(stream.builder.end_us + 1, message.since_us))
        if message.event is None:
            until = message.until_us if message.until_us < 1 << 61 else until
            stream.forgotten.add(since, until)
            stream.builder.drop_waiting_speech(since, until)
        live = _take_live(stream, message.event, since, until)
        also = [(row.seq, row.start_us, max(row.end_us, row.observed_us + 1)) for row in live]

        def run(db: sqlite3.Connection) -> Forgot:
            return writing.forget(db, message.event, since, until, also)

        done = partial(self._forgotten, stream, message, live)
        self._writer.put(Job(stream.store, run, done, lambda fault: self._say(Refused(message.request, fault))))

    def _forgotten(self, stream: Stream, message: Forget, live: list[EventRow], forgot: Forgot) -> None:
        sizes = {one.seq: one.bytes for one in forgot.gone}
        in_ram = {row.seq: Gone(row.seq, row.id, *row.span, *row.reach, sizes.get(row.seq, 0)) for row in live}
        gone = list(({one.seq: one for one in forgot.gone} | in_ram).values())
        if not gone and message.event is not None:
            self._say(Refused(message.request, NO_EVENT))
            return
        changed = stream.drop_pictures(Spans(forgot.dead)) | {one.event for one in forgot.hidden}
        for span in forgot.dead:
            stream.forgotten.add(*span)
            stream.covered.remove(*span)
        stream.index.remove(one.seq for one in gone)
        stream.index.remove_frames((one.seq, one.n) for one in forgot.hidden)
        stream.status_due = True
        self.purge(stream)
        start = min((one.reach_start_us for one in gone), default=-1)
        end = max((one.reach_end_us - 1 for one in gone), default=-1)
        size = sum(one.bytes for one in gone)
        events = [one.id for one in gone]
        self._say(Forgotten(stream.key, message.request, events, size, start, end, sorted(changed)))

    # ------------------------------------------------------------ wiping

    def due(self, stream: Stream, now_us: int) -> bool:
        """Whether `tick` has something to do."""
        return stream.purge_at_us is not None and now_us >= stream.purge_at_us

    def tick(self, stream: Stream, now_us: int) -> None:
        """Try again to wipe what could not be."""
        if self.due(stream, now_us):
            self.purge(stream)

    def purge(self, stream: Stream) -> None:
        """Wipe what was forgotten from the files, piece by piece."""
        stream.purge_at_us = None

        def done(more: bool) -> None:
            if more:
                self.purge(stream)

        def failed(_: Fault) -> None:
            stream.purge_at_us = self._clock() + _RETRY_US

        self._writer.put(Job(stream.store, partial(_purge, stream.store), done, failed, alone=True))


def _take_live(stream: Stream, event: str | None, since_us: int, until_us: int) -> list[EventRow]:
    """Take events that go out of RAM; those whose commit is under way are found on disk, behind it."""

    def goes(row: EventRow) -> bool:
        start, end = row.reach
        return row.id == event if event is not None else start < until_us and end > since_us

    live = [row for row in stream.unsaved if goes(row)]
    for row in live:
        stream.unsaved.remove(row)
    open_row = stream.builder.row()
    if open_row is not None and goes(open_row):
        stream.builder.forget()
        live.append(open_row)
    for row in [row for row in stream.closing.values() if goes(row)]:
        # A commit that fails finds it gone, and is not tried again.
        live.append(stream.closing.pop(row.seq))
    return live


def _purge(store: Store, db: sqlite3.Connection) -> bool:
    """A piece of wiping; whether more is left. The last piece leaves neither pages nor log with a forgotten byte."""
    db.execute("BEGIN IMMEDIATE")
    try:
        more = writing.wipe(db, _WIPE_EVENTS)
        if not more:
            fulltext.settle(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    reach("trim")
    if more:
        store.truncate_log()
        return True
    if not store.give_back(VACUUM_BYTES) or store.free_bytes():
        return True
    writing.set_meta(db, "purge", "done")
    return False
