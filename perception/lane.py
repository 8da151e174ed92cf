"""One stream's way through perception: packets in; samples to encode and records that need no encoder out, in order."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final

from perception.backlog import ROOM_PACKETS, Backlog, Input
from perception.clock import MediaClock
from perception.config import SampleConfig, SoundConfig
from perception.cuts import CutDetector
from perception.decode import (
    Picture,
    SoundDecoder,
    Undecodable,
    is_picture,
    is_sound,
    is_video,
)
from perception.evidence import EvidenceMaker, Stored
from perception.keyframes import KeyframeMeter, is_start, marked
from perception.lane_state import LaneState
from perception.messages import (
    Barrier,
    Decoded,
    Fault,
    FileSource,
    Gap,
    OpenStream,
    Packet,
    PushSource,
    RtspSource,
    SessionEnded,
    SessionStarted,
    StreamEnded,
    Unchanged,
)
from perception.sample import ChangeDetector, SampleClock, Signer
from perception.sound import SpeechDetector, SpeechSpan
from perception.stillness import StillnessDetector
from perception.suspicion import MARK, Suspicion
from perception.tracks import Decoder, Seeing, Tracks, pictures

_STUMBLED: Final = Fault("source_invalid", "something in this media could not be perceived; the rest goes on")
_NO_PICTURE: Final = Fault("source_invalid", "not one picture could be decoded; check the codec and its parameter sets")
_NO_PICTURE_US: Final = 10_000_000
"""A session that has given video for so long and no picture is told about before it ends."""
_GAP_LEAST_US: Final = 1_000_000
"""A break shorter than this between two sessions is no gap."""
_LOSS_GAP_US: Final = 2_500_000
"""What was dropped within a session is a gap if it took longer; pictures that come less often than usual are none."""

Record = Unchanged | Gap | StreamEnded


@dataclass
class Sample:
    """A frame that is to be encoded. cut: a shot began with it or since the sample before, at `cut_us`. suspect: it was
    decoded from damaged data."""

    media_us: int
    arrival_us: int
    stored: "Future[Stored]"
    cut: bool
    cut_us: int
    suspect: bool = False


Item = Sample | SpeechSpan | Barrier | Record


@dataclass
class _Session:
    """One connection of a sender or camera.

    number: -1 before the first. began_us: on the clock of arrivals. units: of video that came. undecodable: why none of
    it can become a picture.
    """

    number: int
    began_us: int = 0
    is_over: bool = False
    units: int = 0
    pictures: int = 0
    undecodable: Fault | None = None


class Lane:
    """Decodes and samples one stream. `take` queues, `advance` works; what it yields is in the order of media time."""

    def __init__(self, opened: OpenStream, sample: SampleConfig, sound: SoundConfig, pool: Executor) -> None:
        """pool: threads that scale and compress while the next packets are decoded."""
        source = opened.source
        self.stream, self.lane = opened.stream, opened.lane
        self.live = isinstance(source, RtspSource) or (not isinstance(source, FileSource) and source.pace == "real")
        self._file, self._pushed = isinstance(source, FileSource), isinstance(source, PushSource)
        kind = "file" if self._file else "live" if self.live else "fast"
        self._clock = MediaClock(kind, opened.start_wall_us, opened.resume_us)  # type: ignore[arg-type]
        self._resume_us = opened.resume_us
        self._sound_config = sound
        self.out = LaneState()
        self._passing: Fault | None = None
        self._backlog = Backlog(self.live, is_start)
        self._tracks = Tracks(sample.max_pixels, sound.enabled)
        self._signer, self._changes = Signer(), ChangeDetector(sample.change)
        self._stillness = StillnessDetector()
        self._cuts, self._suspicion = CutDetector(), Suspicion()
        self._speech: SpeechDetector | None = None
        self._evidence, self._pool = EvidenceMaker(sample.keyframe_px, sample.jpeg_quality), pool
        self._due = SampleClock(opened.sample_fps)
        self._cut_us: int | None = None
        self._session = _Session(-1)
        self._skipping_to_keyframe = False
        self._spared = False
        self._keyframes = KeyframeMeter()
        self._overloaded = False
        """Something was dropped since the last picture."""
        self.at_keyframe = False
        """Whether the message worked on last was a picture that needs no other."""
        self._wiped: list[tuple[int, int, int]] = []

    # ------------------------------------------------------------ in

    def take(self, message: Input) -> None:
        """Queue a message. A live stream of which too many wait loses them, and goes on with its next keyframe."""
        if isinstance(message, Packet) and self._pushed and self.live:
            message = marked(message)
        self._measure(message)
        lost = self._backlog.put(message)
        if lost:
            self._skipping_to_keyframe = True
            self._lose(lost)

    def _measure(self, message: Input) -> None:
        """How often keyframes come is seen here: some of them will be dropped."""
        if isinstance(message, SessionStarted):
            self._keyframes = KeyframeMeter()
        elif self.live and isinstance(message, Packet) and is_video(message.codec) and is_start(message):
            self._keyframes.saw(message.arrival_us)

    def catch_up(self, now_us: int) -> None:
        """Where a live stream is too late, drop what waits before a keyframe that came lately."""
        self._lose(self._backlog.catch_up(now_us))

    def _lose(self, packets: int) -> None:
        self.out.counters.dropped += packets
        self._overloaded = self._overloaded or packets > 0

    def waited_us(self, now_us: int) -> int:
        """How long the oldest message has waited."""
        return self._backlog.waited_us(now_us)

    def spare(self, spared: bool) -> None:
        """Whether to decode keyframes alone, as far as they come often enough."""
        self._spared = spared

    def barriers(self) -> list[Barrier]:
        """Those that wait behind media: who closes the stream answers them."""
        return self._backlog.barriers()

    def set_fps(self, fps: float) -> None:
        """Sample at another rate from now on."""
        self._due.fps = fps

    def wipe(self, since_us: int, until_us: int, now_us: int) -> None:
        """Forget a range: what of it arrived before now and is still on its way is dropped."""
        self._wiped.append((since_us, until_us, now_us))
        self._changes.reset()
        if self._speech is not None and (self._speech.speaking_since_us or 0) < until_us:
            # What is being said may reach into the range.
            self._speech.flush()

    @property
    def room(self) -> bool:
        """Whether a source that can wait should send more."""
        return len(self._backlog) < ROOM_PACKETS

    @property
    def busy(self) -> bool:
        """Whether something waits to be decoded."""
        return len(self._backlog) > 0

    # ------------------------------------------------------------ work

    def advance(self) -> list[Item]:
        """Work on the next message."""
        message = self._backlog.get()
        self.at_keyframe = isinstance(message, Packet) and not is_sound(message.codec) and is_start(message)
        return list(self._handle(message))

    def fail(self) -> bool:
        """Something went wrong with a message that no rule foresees. False: that has been told already."""
        told = self.out.fault is _STUMBLED
        self.out.counters.dropped += 1
        self.out.fault = self._passing = _STUMBLED
        # Whatever was taken for encoded may not have been.
        self._changes.reset()
        return not told

    def within_budget(self, items: list[Item]) -> list[Item]:
        """Of several samples that have piled up, a live stream encodes the newest; a cut among them is kept in mind."""
        if not self.live:
            return items
        samples = [item for item in items if isinstance(item, Sample)]
        if len(samples) <= 1 or len(self._backlog) < ROOM_PACKETS:
            return items
        newest = samples[-1]
        cuts = [sample.cut_us for sample in samples if sample.cut]
        if cuts:
            newest.cut, newest.cut_us = True, cuts[0]
        self.out.counters.dropped += len(samples) - 1
        for sample in samples[:-1]:
            sample.stored.cancel()
        return [item for item in items if not isinstance(item, Sample) or item is newest]

    def _handle(self, message: Input) -> Iterator[Item]:
        match message:
            case Barrier():
                yield message
            case SessionStarted():
                self._begin_session(message)
            case SessionEnded():
                yield from self._end_session(message)
            case Packet():
                yield from self._decode(message)

    def _begin_session(self, first: SessionStarted | Packet) -> None:
        self._clock.begin_session(first.arrival_us, first.arrival_wall_us)
        self._tracks.close()
        self._session = _Session(first.session, first.arrival_us)
        self._stillness, self._suspicion = StillnessDetector(), Suspicion()
        self._skipping_to_keyframe = False

    def _end_session(self, message: SessionEnded) -> Iterator[Item]:
        if message.session < self._session.number:
            # Of a sender that another one has replaced.
            return
        if message.session > self._session.number:
            self._session = _Session(message.session)
        for decoder in self._tracks.close():
            yield from self._flush(decoder, message.arrival_us)
        yield from self._speech.flush() if self._speech is not None else ()
        self._session.is_over = True
        self._changes.reset()
        self.out.fault = self._why_ended(message)
        if message.final:
            self.out.state = "ended" if self.out.fault is None else "failed"
        else:
            self.out.state = "offline"
        yield StreamEnded(self.stream, max(0, self.out.last_media_us), message.final)

    def _why_ended(self, message: SessionEnded) -> Fault | None:
        """A session that gave video and not one picture did not just end."""
        session = self._session
        if session.pictures > 0:
            return message.fault
        return session.undecodable or message.fault or (_NO_PICTURE if session.units > 0 else None)

    def _decode(self, packet: Packet) -> Iterator[Item]:
        if packet.session > self._session.number:
            # Its `SessionStarted` was lost on the way.
            self._begin_session(packet)
        if packet.session < self._session.number or self._session.is_over:
            self.out.counters.dropped += 1
            return
        try:
            if not self._tracks.is_known(packet):
                yield from self._open_track(packet)
            decoder = self._tracks.decoder(packet.track)
            if isinstance(decoder, SoundDecoder):
                yield from self._hear(decoder, packet)
            elif decoder is not None:
                yield from self._see(decoder, packet)
        except Undecodable as error:
            self._refuse(packet, error.fault)
        except ValueError:
            self.out.counters.dropped += 1

    def _open_track(self, packet: Packet) -> Iterator[Item]:
        """Begin to decode a track, or go on with it as something else: what it was is shown to its end."""
        before = self._tracks.decoder(packet.track)
        if before is not None:
            yield from self._flush(before, packet.arrival_us)
        decoder = self._tracks.open(packet)
        if decoder is not None and not isinstance(decoder, SoundDecoder):
            self.out.codec = packet.codec

    def _refuse(self, packet: Packet, fault: Fault) -> None:
        """A track that cannot be decoded at all, or one image that is too large: then the next may be smaller."""
        self.out.fault = fault
        if is_picture(packet.codec):
            self.out.counters.dropped += 1
            self._passing = fault
        if not is_sound(packet.codec):
            self._session.undecodable = fault

    # ------------------------------------------------------------ pictures

    def _see(self, decoder: Seeing, packet: Packet) -> Iterator[Item]:
        session = self._session
        session.units += 1
        if session.pictures == 0 and packet.arrival_us - session.began_us > _NO_PICTURE_US:
            self.out.fault = session.undecodable or _NO_PICTURE
        alone = False
        if self.live:
            alone = self._does_with_keyframes(packet)
            if not self.at_keyframe and (alone or self._skipping_to_keyframe):
                self._leave_out()
                return
            # What follows a keyframe that was decoded alone refers to pictures that the decoder no longer has.
            self._skipping_to_keyframe = alone
        if packet.corrupt:
            self._suspicion.damage()
        try:
            yield from self._pictures(pictures(decoder, packet, alone=alone), packet.arrival_us)
        except ValueError:
            self._suspicion.damage()
            raise

    def _does_with_keyframes(self, packet: Packet) -> bool:
        """Whether this video's keyframes have to do, for now."""
        alone = self._spared and is_video(packet.codec) and self._keyframes.close(packet.arrival_us)
        decoded: Decoded = "keyframes" if alone else "all"
        if decoded != self.out.decoded:
            self.out.decoded = decoded
            # How much a shot moves from picture to picture is to be learnt anew.
            self._cuts = CutDetector()
        return alone

    def _leave_out(self) -> None:
        """A picture that is not decoded: on purpose, but for what follows a loss."""
        if self._overloaded:
            self.out.counters.dropped += 1
        else:
            self.out.counters.skipped += 1

    def _flush(self, decoder: Decoder, arrival_us: int) -> Iterator[Item]:
        """What a decoder of pictures still holds, as far as that can be decoded."""
        if isinstance(decoder, SoundDecoder):
            return
        try:
            yield from self._pictures(decoder.flush(), arrival_us)
        except ValueError:
            self.out.counters.dropped += 1

    def _pictures(self, found: Iterator[Picture], arrival_us: int) -> Iterator[Item]:
        for picture in found:
            self.out.counters.received += 1
            self._session.pictures += 1
            suspect = self._suspicion.suspects(picture)
            self.out.counters.suspect += suspect
            if self._file and picture.pts_us is not None and 0 < self._resume_us >= picture.pts_us:
                continue
            before_us = self._clock.last_us
            media_us = self._clock.media_us(picture.pts_us, arrival_us)
            if self._session.pictures == 1:
                yield from self._gap(before_us, media_us)
            elif self._overloaded and media_us - before_us > _LOSS_GAP_US:
                yield Gap(self.stream, before_us, media_us, "overload")
            self._overloaded = False
            if self._is_wiped(media_us, arrival_us):
                continue
            self._note(picture, media_us, arrival_us)
            yield from self._consider(picture, media_us, arrival_us, suspect=suspect)

    def _gap(self, before_us: int, media_us: int) -> Iterator[Gap]:
        """Where a session begins after another, the time between them is not covered."""
        known = self.out.last_media_us >= 0 or self._resume_us > 0
        if known and media_us - before_us > _GAP_LEAST_US and not self._file:
            reason = "offline" if self.out.last_media_us >= 0 else "restart"
            yield Gap(self.stream, before_us, media_us, reason)

    def _note(self, picture: Picture, media_us: int, arrival_us: int) -> None:
        out = self.out
        out.last_media_us, out.last_arrival_us = media_us, arrival_us
        out.width, out.height = picture.frame.width, picture.frame.height
        if out.state not in ("live", "frozen"):
            out.state, out.fault = "live", None
        elif out.fault is self._passing:
            out.fault = None

    def _consider(self, picture: Picture, media_us: int, arrival_us: int, *, suspect: bool) -> Iterator[Item]:
        """Sample, if it is time or a shot begins; encode, if there is something new. Damage is no shot."""
        if self.live and (picture.frame.key_frame or picture.rgb is not None):
            self._stillness.keyframe(picture.frame, arrival_us)
        if self._cuts.is_cut(picture.frame) and not suspect:
            self._cut_us = media_us if self._cut_us is None else self._cut_us
        if not self._due.due(media_us) and self._cut_us is None:
            return
        self.out.counters.sampled += 1
        signature = self._signer.sign(picture.frame)
        changed = self._changes.changed(signature) or self._cut_us is not None
        if self.live:
            frozen = self._stillness.is_frozen(picture.frame, arrival_us, changed=changed)
            self.out.state = "frozen" if frozen else "live"
        if not changed:
            yield Unchanged(self.stream, media_us, arrival_us)
            return
        if suspect:
            # The next whole picture takes its place, like it or not.
            self._changes.reset()
        else:
            self._changes.encoded(signature)
        cut_us, self._cut_us = self._cut_us, None
        stored = self._pool.submit(self._evidence.make, picture, MARK if suspect else b"")
        yield Sample(media_us, arrival_us, stored, cut_us is not None, cut_us or 0, suspect)

    def _is_wiped(self, media_us: int, arrival_us: int) -> bool:
        return any(since <= media_us < until and arrival_us <= at for since, until, at in self._wiped)

    # ------------------------------------------------------------ sound

    def _hear(self, decoder: SoundDecoder, packet: Packet) -> Iterator[Item]:
        if self._speech is None:
            self._speech = SpeechDetector(self._sound_config)
        for sound in decoder.decode(packet):
            pts_us = packet.pts_us if sound.pts_us is None else sound.pts_us
            start_us = self._clock.sound_us(pts_us, sound.duration_us, packet.arrival_us)
            if not self._is_wiped(start_us, packet.arrival_us):
                yield from self._speech.feed(sound.samples, start_us)
