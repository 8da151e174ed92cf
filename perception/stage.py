"""The perception stage: control messages and media in; percepts, window entries and stream states out."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from perception.config import PerceptionConfig
from perception.encoders import ImageEncoder, VisionHalf
from perception.evidence import Stored
from perception.lane import Item, Lane, Sample
from perception.messages import (
    Barrier,
    CloseStream,
    OpenStream,
    Packet,
    Percept,
    PerceptionInput,
    PerceptionOutput,
    SessionEnded,
    SessionStarted,
    SetSampling,
    StreamClosed,
    StreamEnded,
    StreamStatus,
    Unchanged,
    WindowWiped,
    WipeWindow,
)
from perception.scribe import Scribe, Transcribe
from perception.sound import SpeechSpan
from perception.sparing import Sparing, Spent
from perception.window import VisualTokens, WindowFrame, WindowSink

log = logging.getLogger(__name__)

Clock = Callable[[], int]

_STEP_US: Final = 200_000
"""Work that a step does before it hands out what came of it; it may take as long as one more message."""
_MOST_SAMPLES: Final = 64
"""Frames that are encoded at once."""
_FIRST_GUESS_US: Final = 50_000
"""What encoding a frame costs, until it has been measured."""
_STATUS_US: Final = 1_000_000
_MOST_THREADS: Final = 8


class _Rate:
    """Frames a second since the last look."""

    def __init__(self) -> None:
        self._count, self._at_us, self._rate = 0, 0, 0.0

    def look(self, count: int, now_us: int) -> float:
        if now_us - self._at_us >= _STATUS_US:
            elapsed = (now_us - self._at_us) / 1e6
            self._rate = (count - self._count) / elapsed if self._at_us else 0.0
            self._count, self._at_us = count, now_us
        return round(self._rate, 2)


class _Watched:
    """A stream with what is needed to report on it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.received, self.sampled = _Rate(), _Rate()
        self.told: tuple[object, ...] = ()
        self.told_at_us = 0
        self.owes = False
        """Something has happened that no status tells yet."""
        self.keyframes_us = self.rest_us = 0
        """What decoding took since the last look at the load."""

    def spent(self) -> Spent:
        """What decoding took; it is counted afresh from now on."""
        spent = Spent(self.keyframes_us, self.rest_us, self.lane.out.decoded == "all")
        self.keyframes_us = self.rest_us = 0
        return spent

    def status_due(self, now_us: int) -> bool:
        """When the state changed, and once a second while frames come."""
        return self.owes and (self.state != self.told or now_us - self.told_at_us >= _STATUS_US)

    @property
    def state(self) -> tuple[object, ...]:
        """What is told at once."""
        out = self.lane.out
        return (out.state, out.fault, out.codec, out.width, out.height, out.decoded)


class PerceptionStage:
    """Decodes every stream a little in turn, encodes what was sampled in one batch across streams, hands it on.

    encoder: vectors for recall. vision: visual tokens for the now window, None where the model is a remote one.
    """

    def __init__(
        self,
        config: PerceptionConfig,
        encoder: ImageEncoder,
        vision: VisionHalf | None,
        window: WindowSink,
        transcribe: Transcribe | None,
        clock: Clock,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """wake: called from a thread when there is work again; without it speech is transcribed within a step."""
        self._config = config
        self._encoder, self._vision, self._window = encoder, vision, window
        self._scribe = Scribe(transcribe, wake)
        self._clock = clock
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "evidence")
        self._streams: dict[str, _Watched] = {}
        self._first: str | None = None
        """The stream whose turn it is when the next step begins."""
        self._encoding_us = float(_FIRST_GUESS_US)
        """What a frame has cost lately."""
        self._sparing, self._worked_us = Sparing(), 0
        self._answers: list[PerceptionOutput] = []

    def room(self, stream: str) -> bool:
        """Whether a source that can wait should send more packets of this stream now."""
        watched = self._streams.get(stream)
        return watched is None or watched.lane.room

    def submit(self, message: PerceptionInput) -> None:
        """Take a message; media of streams that are not open is ignored, barriers are answered all the same."""
        match message:
            case OpenStream():
                self._drop(message.stream)
                config = self._config
                lane = Lane(message, config.sample, config.sound, self._pool)
                self._streams[message.stream] = _Watched(lane)
            case CloseStream(stream):
                self._drop(stream)
                self._answers.append(StreamClosed(stream))
            case SetSampling(stream, fps):
                if stream in self._streams:
                    self._streams[stream].lane.set_fps(fps)
            case WipeWindow():
                self._wipe(message)
            case Packet() | SessionStarted() | SessionEnded() | Barrier():
                if message.stream in self._streams:
                    self._streams[message.stream].lane.take(message)
                elif isinstance(message, Barrier):
                    self._answers.append(message)

    def _drop(self, stream: str) -> None:
        """Watch no more; who waits behind media that nobody will see waits no longer."""
        self._answers.extend(self._scribe.give_up(stream))
        watched = self._streams.pop(stream, None)
        if watched is not None:
            self._answers.extend(watched.lane.barriers())

    def has_work(self) -> bool:
        """Whether media waits or an answer is to be given."""
        if self._answers or self._scribe.ready or any(map(self._may_advance, self._streams.values())):
            return True
        now_us = self._clock()
        return any(watched.status_due(now_us) for watched in self._streams.values())

    def step(self) -> list[PerceptionOutput]:
        """Decode a piece of each stream, encode what came of it."""
        began_us = self._clock()
        self._keep_up(began_us)
        outputs, self._answers = self._answers, []
        advanced = self._take_turns()
        outputs.extend(self._encode(advanced))
        outputs.extend(self._scribe.settled())
        for watched, items in advanced:
            watched.owes = True
            if any(isinstance(item, Barrier) for item in items):
                # Who asks for a barrier wants to know what there is by now.
                watched.told = ()
        outputs.extend(self._statuses())
        self._worked_us += self._clock() - began_us
        return outputs

    def _keep_up(self, now_us: int) -> None:
        """Live streams that are late lose what is old; what costs too much is watched by its keyframes alone."""
        live = {name: watched for name, watched in self._streams.items() if watched.lane.live}
        if self._sparing.due(now_us):
            spent = {name: watched.spent() for name, watched in live.items()}
            behind_us = max((watched.lane.waited_us(now_us) for watched in live.values()), default=0)
            spared = self._sparing.look(spent, behind_us, self._worked_us, now_us)
            self._worked_us = 0
            for name, watched in live.items():
                watched.lane.spare(name in spared)
        for watched in live.values():
            watched.lane.catch_up(now_us)

    def _may_advance(self, watched: _Watched) -> bool:
        lane = watched.lane
        return lane.busy and (lane.live or not self._scribe.full)

    def _take_turns(self) -> list[tuple[_Watched, list[Item]]]:
        """A message of each stream in turn, until none waits or what they made is work enough for a step."""
        until_us, samples = self._clock() + _STEP_US, 0
        found: dict[str, list[Item]] = {}
        waiting = deque(self._in_turn())
        while waiting:
            stream = waiting.popleft()
            watched = self._streams[stream]
            items = self._advance(watched)
            found.setdefault(stream, []).extend(items)
            samples += sum(isinstance(item, Sample) for item in items)
            if self._may_advance(watched):
                waiting.append(stream)
            if samples >= _MOST_SAMPLES or self._clock() + samples * self._encoding_us >= until_us:
                break
        self._first = waiting[0] if waiting else None
        streams = self._streams
        return [(streams[stream], streams[stream].lane.within_budget(items)) for stream, items in found.items()]

    def _in_turn(self) -> list[str]:
        """The streams with work, from the one whose turn it is."""
        names = list(self._streams)
        start = names.index(self._first) if self._first in self._streams else 0
        return [name for name in names[start:] + names[:start] if self._may_advance(self._streams[name])]

    def _advance(self, watched: _Watched) -> list[Item]:
        began_us = self._clock()
        try:
            return watched.lane.advance()
        except Exception as error:  # noqa: BLE001 - what media makes of a library is that stream's fault alone
            self._fail(watched.lane, error)
            return []
        finally:
            took_us = self._clock() - began_us
            if watched.lane.at_keyframe:
                watched.keyframes_us += took_us
            else:
                watched.rest_us += took_us

    def _fail(self, lane: Lane, error: Exception) -> None:
        if lane.fail():
            # A library's message may hold content.
            log.error("stream %s: perception stumbled over its media: %s", lane.stream, type(error).__name__)

    def close(self) -> list[PerceptionOutput]:
        """Work off what waits and end every stream."""
        outputs: list[PerceptionOutput] = []
        while self.has_work():
            outputs.extend(self.step())
        outputs.extend(self._scribe.close())
        for stream, watched in self._streams.items():
            outputs.append(StreamEnded(stream, max(0, watched.lane.out.last_media_us), final=False))
        self._streams.clear()
        self._pool.shutdown()
        return outputs

    # ------------------------------------------------------------ encoding

    def _encode(self, advanced: list[tuple[_Watched, list[Item]]]) -> Iterable[PerceptionOutput]:
        began_us = self._clock()
        ready = [(seen.lane, *one) for seen, items in advanced for one in self._with_evidence(seen.lane, items)]
        images = [stored.pixels for _, _, stored in ready if stored is not None]
        if images:
            vectors = iter(self._encoder.embed_images(images))
            tokens = iter(self._vision.encode(images) if self._vision is not None else [None] * len(images))
            cost_us = (self._clock() - began_us) / len(images)
            self._encoding_us = (self._encoding_us + cost_us) / 2
        for lane, item, stored in ready:
            if isinstance(item, Sample) and stored is not None:
                yield self._perceive(lane, item, stored.jpeg, next(vectors).tobytes(), next(tokens))
            else:
                yield from self._pass_on(lane, item)

    def _with_evidence(self, lane: Lane, items: list[Item]) -> Iterator[tuple[Item, Stored | None]]:
        """Each item, and what was stored of a sample; one that could not be stored is left out."""
        for item in items:
            if not isinstance(item, Sample):
                yield item, None
                continue
            try:
                yield item, item.stored.result()
            except Exception as error:  # noqa: BLE001 - as for decoding
                self._fail(lane, error)

    def _perceive(self, lane: Lane, sample: Sample, jpeg: bytes, vector: bytes, tokens: VisualTokens | None) -> Percept:
        lane.out.counters.encoded += 1
        frame = WindowFrame(lane.stream, sample.media_us, sample.arrival_us, jpeg, tokens)
        self._window.push(lane.lane, frame)
        return Percept(
            lane.stream, sample.media_us, sample.arrival_us, jpeg, vector,
            cut=sample.cut, cut_us=sample.cut_us, suspect=sample.suspect,
        )  # fmt: skip

    def _pass_on(self, lane: Lane, item: Item) -> Iterable[PerceptionOutput]:
        assert not isinstance(item, Sample)
        if isinstance(item, SpeechSpan | Barrier):
            return self._scribe.take(lane.stream, item)
        if isinstance(item, Unchanged):
            self._window.renew(lane.lane, item.media_us, item.arrival_us)
        return [item]

    # ------------------------------------------------------------ the rest

    def _wipe(self, message: WipeWindow) -> None:
        watched = self._streams.get(message.stream)
        if watched is not None:
            self._window.wipe(watched.lane.lane, message.since_us, message.until_us)
            watched.lane.wipe(message.since_us, message.until_us, self._clock())
        self._scribe.forget(message.stream, message.since_us, message.until_us)
        self._answers.append(WindowWiped(message.stream, message.request))

    def _statuses(self) -> Iterable[StreamStatus]:
        now_us = self._clock()
        for watched in self._streams.values():
            if watched.status_due(now_us):
                watched.told, watched.told_at_us, watched.owes = watched.state, now_us, False
                yield self._status(watched, now_us)

    def _status(self, watched: _Watched, now_us: int) -> StreamStatus:
        out, counters = watched.lane.out, watched.lane.out.counters
        return StreamStatus(
            watched.lane.stream, out.state, out.fault, out.codec, out.width, out.height,
            counters.received, counters.sampled, counters.encoded, counters.dropped,
            watched.received.look(counters.received, now_us), watched.sampled.look(counters.sampled, now_us),
            out.last_media_us, out.last_arrival_us, out.decoded, counters.skipped, counters.suspect,
        )  # fmt: skip
