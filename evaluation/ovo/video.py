"""A benchmark's video as messages of the live websocket, on its own clock from 0, in the order of their times.

H.264 and H.265 without reordered pictures go as they are. Everything else is decoded and goes as JPEG at some frames a
second: of reordered pictures one could not send those before a moment without sending later ones too.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import av
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError

TrackCodec = Literal["h264", "h265", "jpeg"]
_AS_THEY_ARE: Final[dict[str, tuple[TrackCodec, str]]] = {
    "h264": ("h264", "h264_mp4toannexb"),
    "hevc": ("h265", "hevc_mp4toannexb"),
}
_QUALITY: Final = 95
_KINDS: Final = (".mp4", ".mkv", ".webm", ".mov", ".avi")


class VideoInvalid(ValueError):
    """It is not there, or nothing of it can be decoded; `code` says which."""

    def __init__(self, code: Literal["video_missing", "video_invalid"]) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Unit:
    """An access unit or a picture. at_us: since the video's beginning."""

    at_us: int
    data: bytes


class Video:
    """An opened video; `units` may be read again and again."""

    def __init__(self, path: Path, fps: float) -> None:
        """fps: of the pictures, where they are sent decoded. Raises VideoInvalid."""
        if not path.is_file():
            raise VideoInvalid("video_missing")
        self._path, self._fps = path, fps
        try:
            name, times_us = _timetable(path)
        except (FFmpegError, IndexError, ValueError, TypeError):
            raise VideoInvalid("video_invalid") from None
        if not times_us:
            raise VideoInvalid("video_invalid")
        known = [at_us for at_us in times_us if at_us is not None]
        ordered = len(known) == len(times_us) and all(one < two for one, two in pairwise(known))
        self.codec: TrackCodec = _AS_THEY_ARE[name][0] if ordered and name in _AS_THEY_ARE else "jpeg"
        self._filter = _AS_THEY_ARE[name][1] if self.codec != "jpeg" else ""
        self._first_us = min(known, default=0)

    def units(self) -> Iterator[Unit]:
        """Raises VideoInvalid where the file breaks off or is damaged."""
        try:
            with av.open(str(self._path)) as container:
                yield from self._pictures(container) if self.codec == "jpeg" else self._packets(container)
        except FFmpegError:
            raise VideoInvalid("video_invalid") from None

    def _packets(self, container: Any) -> Iterator[Unit]:
        stream = container.streams.video[0]
        adapt = BitStreamFilterContext(self._filter, stream)
        for packet in container.demux(stream):
            for unit in adapt.filter(packet if packet.size else None):
                if unit.pts is not None:
                    yield Unit(_us(unit) - self._first_us, bytes(unit))

    def _pictures(self, container: Any) -> Iterator[Unit]:
        due_us = 0.0
        for frame in container.decode(video=0):
            at_us = -1 if frame.pts is None else _us(frame) - self._first_us
            if at_us >= due_us:
                written = io.BytesIO()
                frame.to_image().save(written, "JPEG", quality=_QUALITY)
                yield Unit(at_us, written.getvalue())
                due_us = max(due_us + 1e6 / self._fps, at_us + 0.5e6 / self._fps)


def find_video(folder: Path, name: str) -> Path:
    """Where a video of the annotation file lies; another kind of container under the same name is as good."""
    path = folder / name
    if path.is_file():
        return path
    return next((path.with_suffix(kind) for kind in _KINDS if path.with_suffix(kind).is_file()), path)


def _timetable(path: Path) -> tuple[str, list[int | None]]:
    """The codec, and the times of all packets in the order of the file; None where old containers hold none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [None if one.pts is None else _us(one) for one in container.demux(stream) if one.size]
        return stream.codec_context.name, times


def _us(timed: Any) -> int:
    us: int = round(timed.pts * timed.time_base * 1_000_000)
    return us
