"""Perception's process: source threads, the media and percept rings and the window slab, tied to its stage."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from perception.build import build_stage, load_vision
from perception.config import PerceptionConfig
from perception.messages import (
    Barrier,
    CloseStream,
    Gap,
    OpenStream,
    Packet,
    Percept,
    RtspSource,
    SessionEnded,
    SessionStarted,
    Speech,
    StreamEnded,
    Unchanged,
    WipeWindow,
)
from perception.sources.base import Media
from perception.sources.guard import run_guarded
from perception.sources.inbox import SourceInbox
from perception.sources.open import open_reader
from perception.sources.turnstile import Turnstile
from perception.stage import PerceptionStage
from server.ipc.channel import Channel
from server.ipc.inlets import RingInlet, RingOutlet
from server.ipc.links import Inherited
from server.ipc.messages import Throttle
from server.ipc.ring import RingReader, RingWriter
from server.ipc.runtime import Deliberate, StageLoop
from server.ipc.slab import SlabWriter
from server.ipc.warn import RateLimitedWarning
from server.stages.clock import monotonic_us
from server.stages.describe import vetted

log = logging.getLogger(__name__)

_RECORDS = (Percept, Unchanged, Speech, Gap, StreamEnded, Barrier)
_OUTBOX = 256
"""Records that wait for room in the percept ring before something is given up or the stage waits."""
_JPEG_ROOM = 1024 * 1024


class SourcedStage:
    """The perception stage with its sources: opening a stream starts its thread, closing it stops that."""

    def __init__(
        self, stage: PerceptionStage, inbox: SourceInbox, window: SlabWriter, tell: Callable[[Throttle], bool]
    ) -> None:
        """tell: says whether a sender has to wait, before all that waits for room; False: it could not be said."""
        self._stage = stage
        self._inbox = inbox
        self._window = window
        self._tell = tell
        self._full: dict[str, bool] = {}
        self._stops: dict[str, threading.Event] = {}
        self._turnstile = Turnstile()
        self.live: set[str] = set()

    def submit(self, message: Any) -> None:
        """See the stage; a record of a source that was stopped meanwhile is dropped there."""
        if isinstance(message, OpenStream | CloseStream):
            self._stop(message.stream)
        if isinstance(message, WipeWindow):
            # The stage wipes the streams that are open; what a predecessor of this process saw of others goes here.
            self._window.wipe_stream(message.stream, message.since_us, message.until_us)
        self._stage.submit(message)
        if isinstance(message, OpenStream):
            self._start(message)
        elif isinstance(message, Packet):
            # While there is no room for what comes of it no step is taken, and the packets go on coming.
            self._look(message.stream)

    def step(self) -> list[Any]:
        """See the stage."""
        outputs: list[Any] = self._stage.step()
        for stream in self._full:
            self._look(stream)
        return outputs

    def has_work(self) -> bool:
        """See the stage."""
        return self._stage.has_work()

    def next_step_s(self) -> float:
        """See the stage, where it says so."""
        return self._stage.next_step_s() if isinstance(self._stage, Deliberate) else 0.0

    def close(self) -> list[Any]:
        """See the stage."""
        return self._stage.close()

    def stop_sources(self) -> None:
        """Read no more: what is in hand is all that will be perceived."""
        for stream in list(self._stops):
            self._stop(stream)

    def _start(self, opened: OpenStream) -> None:
        stream, source = opened.stream, opened.source
        pace = getattr(source, "pace", "real")
        if isinstance(source, RtspSource) or pace == "real":
            self.live.add(stream)
        reader = open_reader(opened, vetted, self._turnstile)
        if reader is not None or pace == "fast":
            self._full[stream] = False
        if reader is None:
            return
        stop = self._stops[stream] = threading.Event()
        threading.Thread(
            target=run_guarded, args=(reader, _Gate(self._inbox, stop), stop), name=f"source {stream}", daemon=True
        ).start()

    def _stop(self, stream: str) -> None:
        self.live.discard(stream)
        if self._full.get(stream, False):
            self._hold(stream, False)
        self._full.pop(stream, None)
        stop = self._stops.pop(stream, None)
        if stop is not None:
            stop.set()

    def _look(self, stream: str) -> None:
        """Have who sends a stream that can wait do so while it has no room."""
        full = not self._stage.room(stream)
        if self._full.get(stream, full) != full:
            self._hold(stream, full)

    def _hold(self, stream: str, full: bool) -> None:
        if stream in self._stops:
            self._inbox.set_full({stream: full})
        elif not self._tell(Throttle(stream, full)):
            return
        self._full[stream] = full


class _Gate:
    """A reader's way into the inbox: shut once its stream is closed, however long the reader takes to notice."""

    def __init__(self, inbox: SourceInbox, stop: threading.Event) -> None:
        self._inbox, self._stop = inbox, stop

    def put(self, record: Media) -> None:
        if not self._stop.is_set():
            self._inbox.put(record)

    def wait_for_room(self, stream: str, stop: threading.Event) -> None:
        self._inbox.wait_for_room(stream, stop)


class OverloadRule:
    """When memory is behind: the oldest percept of a live stream is dropped and a gap stands in its place."""

    def __init__(self, stage: SourcedStage) -> None:
        self._stage = stage
        self._dropped = RateLimitedWarning(log, "memory is behind: %d percepts dropped")

    def __call__(self, waiting: deque[Any]) -> None:
        """Give up the oldest of a live stream's, if there are any; else the stage has to wait."""
        gaps: dict[str, int] = {}
        for place, record in enumerate(waiting):
            if isinstance(record, Percept | Unchanged) and record.stream in self._stage.live:
                self._dropped()
                gap_at = gaps.get(record.stream)
                if isinstance(record, Percept) and gap_at is None:
                    waiting[place] = Gap(record.stream, record.media_us, record.media_us + 1, "overload")
                    gaps[record.stream] = place
                    continue
                if gap_at is not None:
                    waiting[gap_at] = Gap(record.stream, waiting[gap_at].start_us, record.media_us + 1, "overload")
                del waiting[place]
                return
            if isinstance(record, Gap) and record.reason == "overload":
                gaps[record.stream] = place
            elif hasattr(record, "stream"):
                # Something that must not be passed by stands between.
                gaps.pop(record.stream, None)


def build_loop(config: PerceptionConfig, inherited: Inherited, control: Channel) -> StageLoop:
    """Load the stage and tie its ends. Raises StartRefused."""
    vision = load_vision(config)
    payload = (vision.max_bytes if vision is not None else 0) + _JPEG_ROOM
    window = SlabWriter(inherited.fd("slab"), config.window.lanes, config.window.frames, payload)
    inbox = SourceInbox()
    stage = SourcedStage(build_stage(config, vision, window, monotonic_us, inbox.wake), inbox, window, control.send)
    media = RingInlet(
        RingReader(inherited.ring("media"), 0),
        Packet | SessionStarted | SessionEnded | Barrier,
        RateLimitedWarning(log, "%d pushed records were overwritten unread"),
    )
    percepts = RingOutlet(RingWriter(inherited.ring("percepts")), _RECORDS, _OUTBOX, OverloadRule(stage))
    return StageLoop(stage, control, inlets=[inbox, media], outlets=[percepts], on_drain=stage.stop_sources)
