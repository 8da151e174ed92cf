"""The now window: the newest frames of each stream, already encoded, as perception writes and reasoning reads it."""

from collections import deque
from typing import Protocol

import msgspec


class TensorData(msgspec.Struct, frozen=True, array_like=True):
    """A tensor as plain bytes. dtype: `float32`, `bfloat16` or `float16`; data in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class VisualTokens(msgspec.Struct, frozen=True, array_like=True):
    """What a model's vision half made of one frame.

    tokens: [n, hidden], the embeddings that stand for the frame in the prompt. deepstack: further [n, hidden] tensors
    that some families add inside the language model. grid: the patch grid (t, h, w) where positions depend on it.
    """

    tokens: TensorData
    deepstack: list[TensorData]
    grid: tuple[int, int, int] | None


class WindowFrame(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the now window. media_us: when the scene last looked so; arrival_us: monotonic clock."""

    stream: str
    media_us: int
    arrival_us: int
    jpeg: bytes
    tokens: VisualTokens | None


class WindowSink(Protocol):
    """Where perception writes. A lane belongs to one stream at a time."""

    def push(self, lane: int, frame: WindowFrame) -> None:
        """Add the newest frame, replacing the oldest where the window is full."""

    def renew(self, lane: int, media_us: int, arrival_us: int) -> None:
        """The newest entry still shows the scene: give it a later time."""

    def wipe(self, lane: int, since_us: int, until_us: int) -> None:
        """Erase the bytes of every entry with media time in [since_us, until_us)."""


class WindowSource(Protocol):
    """Where reasoning reads."""

    def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
        """A consistent copy of the stream's entries, oldest first."""


class LocalWindow:
    """Both ends in one process: for tests and for evaluation on file time."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._lanes: dict[int, deque[WindowFrame]] = {}

    def push(self, lane: int, frame: WindowFrame) -> None:
        """See `WindowSink.push`."""
        entries = self._lanes.setdefault(lane, deque(maxlen=self._frames))
        if entries and entries[-1].stream != frame.stream:
            entries.clear()
        entries.append(frame)

    def renew(self, lane: int, media_us: int, arrival_us: int) -> None:
        """See `WindowSink.renew`."""
        entries = self._lanes.get(lane)
        if entries:
            entries.append(msgspec.structs.replace(entries.pop(), media_us=media_us, arrival_us=arrival_us))

    def wipe(self, lane: int, since_us: int, until_us: int) -> None:
        """See `WindowSink.wipe`."""
        entries = self._lanes.get(lane)
        if entries:
            kept = [frame for frame in entries if not since_us <= frame.media_us < until_us]
            self._lanes[lane] = deque(kept, maxlen=self._frames)

    def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
        """See `WindowSource.snapshot`."""
        return [frame for frame in self._lanes.get(lane, ()) if frame.stream == stream]
