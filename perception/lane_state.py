"""What the outside sees of a stream: its state, what came last, what happened to its frames."""

from dataclasses import dataclass, field

from perception.messages import Decoded, Fault, State


@dataclass
class Counters:
    """What happened to the stream's frames. skipped: left out while its keyframes have to do; none of them is
    lost. suspect: of those received, decoded from damaged data."""

    received: int = 0
    sampled: int = 0
    encoded: int = 0
    dropped: int = 0
    skipped: int = 0
    suspect: int = 0


@dataclass
class LaneState:
    """What the outside sees of a stream. decoded: all of the video, or its keyframes alone."""

    state: State = "connecting"
    decoded: Decoded = "all"
    fault: Fault | None = None
    codec: str | None = None
    width: int = 0
    height: int = 0
    last_media_us: int = -1
    last_arrival_us: int = -1
    counters: Counters = field(default_factory=Counters)
