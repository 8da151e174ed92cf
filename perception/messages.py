"""What perception takes and gives: plain structs, one closed union for each direction.

Times are integer microseconds: `*_us` of media time unless the name says otherwise; `arrival_us` is the machine's
monotonic clock (comparable between processes), `wall_us` is Unix time. A stream is named by its key `TENANT/ID`.
"""

from typing import Literal

import msgspec

Codec = Literal["jpeg", "png", "webp", "h264", "h265", "vp8", "vp9", "pcm_s16le", "opus"]
Pace = Literal["real", "fast"]
State = Literal["connecting", "live", "frozen", "offline", "ended", "failed"]
Decoded = Literal["all", "keyframes"]


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of every message: immutable, tagged with its class name on the wire."""


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """An error that a client may see: a code of the public interface and a sentence that says what to do."""

    code: str
    message: str
    param: str | None = None


# ---------------------------------------------------------------- server -> perception (control channel)


class FileSource(Message, frozen=True):
    """A file below an allowed folder. `path` is absolute; reading starts at `OpenStream.resume_us`."""

    path: str
    pace: Pace


class RtspSource(Message, frozen=True):
    """A camera that is pulled. `url` may carry credentials: it is never logged or answered."""

    url: str


class PushSource(Message, frozen=True):
    """A client pushes `Media`; the stream is offline while no sender is connected."""

    pace: Pace


Source = FileSource | RtspSource | PushSource


class OpenStream(Message, frozen=True):
    """Start watching. `lane` is the stream's place in the window slab; media time goes on after `resume_us`, the newest
    moment that memory knows (0: none)."""

    stream: str
    source: Source
    lane: int
    start_wall_us: int
    resume_us: int
    sample_fps: float


class CloseStream(Message, frozen=True):
    """Stop watching; answered by `StreamClosed`."""

    stream: str


class SetSampling(Message, frozen=True):
    """Change the sampling rate of a running stream."""

    stream: str
    sample_fps: float


class WipeWindow(Message, frozen=True):
    """Forget the now window's entries with media time in [since_us, until_us); answered by `WindowWiped`."""

    stream: str
    request: int
    since_us: int
    until_us: int


# ---------------------------------------------------------------- server (media ring) and sources -> perception


class VideoParameters(msgspec.Struct, frozen=True, array_like=True):
    """What a container says of a video track; some decoders find it nowhere else."""

    width: int
    height: int
    pixel_format: str | None
    codec_tag: str
    bits: int


class Packet(Message, frozen=True):
    """One image, access unit or audio packet, as it came.

    `pts_us` is on the sender's clock, None where it carries none. `session` counts connections of the stream: a new one
    means a new clock, new decoders and a break in time. `extradata` comes with a session's first packet of a track
    where the container keeps parameter sets apart, `video` where there is a container. `dts_us`: when it is decoded, on
    the same clock. `corrupt`: the container knows of damage.
    """

    stream: str
    session: int
    track: int
    codec: str
    data: bytes
    pts_us: int | None
    arrival_us: int
    arrival_wall_us: int
    keyframe: bool = False
    rate: int = 0
    channels: int = 0
    extradata: bytes = b""
    dts_us: int | None = None
    video: VideoParameters | None = None
    corrupt: bool = False


class SessionStarted(Message, frozen=True):
    """A sender or camera connected: what follows has a new clock."""

    stream: str
    session: int
    arrival_us: int
    arrival_wall_us: int


class SessionEnded(Message, frozen=True):
    """The sender or camera went away. `final`: nothing more will come (a file's end, or a `fault` not retried)."""

    stream: str
    session: int
    final: bool
    fault: Fault | None
    arrival_us: int


class Barrier(Message, frozen=True):
    """Travels behind the media: once memory has committed all that came before, it says `BarrierReached`."""

    stream: str
    barrier: int


PerceptionInput = OpenStream | CloseStream | SetSampling | WipeWindow | Packet | SessionStarted | SessionEnded | Barrier

# ---------------------------------------------------------------- perception -> memory and server (percept ring)


class Percept(Message, frozen=True):
    """One sampled frame that was encoded.

    jpeg: the frame at the stored size. vector: the recall embedding, float32, unit length, `dim` x 4 bytes.
    cut: a shot boundary lies between the previous percept and this one; `cut_us` is the first frame after it. suspect:
    the frame was decoded from damaged data; its jpeg says so too.
    """

    stream: str
    media_us: int
    arrival_us: int
    jpeg: bytes
    vector: bytes
    cut: bool
    cut_us: int
    suspect: bool = False


class Unchanged(Message, frozen=True):
    """A sampled frame was found equal to the last percept: the scene lasts until `media_us`."""

    stream: str
    media_us: int
    arrival_us: int


class Speech(Message, frozen=True):
    """Someone spoke in [start_us, end_us); `transcript` is None without a speech recogniser."""

    stream: str
    start_us: int
    end_us: int
    transcript: str | None


class Gap(Message, frozen=True):
    """Nothing was perceived in [start_us, end_us): `reason` is `offline`, `overload`, `restart` or `corrupt`."""

    stream: str
    start_us: int
    end_us: int
    reason: str


class StreamEnded(Message, frozen=True):
    """The stream's session is over: memory closes the open event. `final` as in `SessionEnded`."""

    stream: str
    media_us: int
    final: bool


PerceptRecord = Percept | Unchanged | Speech | Gap | StreamEnded | Barrier

# ---------------------------------------------------------------- perception -> server (control channel)


class StreamStatus(Message, frozen=True):
    """How a stream fares: sent at each change of state and at most once a second.

    received: decoded frames; sampled: looked at for encoding; encoded; dropped: lost to overload or decoding trouble.
    last_*: of the newest decoded frame, -1 before the first. codec and size are of the video. decoded: `keyframes`
    while the process does not keep up with all of them; skipped: what it leaves out then. suspect: decoded
    from damaged data.
    """

    stream: str
    state: State
    fault: Fault | None
    codec: str | None
    width: int
    height: int
    received: int
    sampled: int
    encoded: int
    dropped: int
    received_fps: float
    sampled_fps: float
    last_media_us: int
    last_arrival_us: int
    decoded: Decoded = "all"
    skipped: int = 0
    suspect: int = 0


class StreamClosed(Message, frozen=True):
    """Answer to `CloseStream`: no record of the stream follows."""

    stream: str


class WindowWiped(Message, frozen=True):
    """Answer to `WipeWindow`: no reader of the slab can see the entries any more."""

    stream: str
    request: int


PerceptionOutput = PerceptRecord | StreamStatus | StreamClosed | WindowWiped
