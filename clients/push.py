"""Sends a file, a webcam or the screen of this machine into a push stream, over lost connections and restarts."""

import asyncio
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import av

from clients.api import ApiError
from clients.async_live import AsyncLive, connections
from clients.live import ON_ARRIVAL
from clients.media import SOUND, SOUND_RATE, VIDEO, MediaUnit, media_units

_CODECS: Final = {"h264": "h264", "hevc": "h265", "vp8": "vp8", "vp9": "vp9"}
_QUALITY: Final = 85
_DEVICES: Final = {
    ("linux", "webcam"): ("v4l2", "/dev/video0"),
    ("linux", "screen"): ("x11grab", os.environ.get("DISPLAY") or ":0"),
    ("darwin", "webcam"): ("avfoundation", "0"),
    ("darwin", "screen"): ("avfoundation", "Capture screen 0"),
    ("win32", "screen"): ("gdigrab", "desktop"),
}


class Source(Protocol):
    """What can be pushed."""

    @property
    def tracks(self) -> dict[int, tuple[str, dict[str, int]]]:
        """Codec and more of each track."""

    def units(self, from_us: int) -> Iterator[MediaUnit]:
        """From this time on, or from now where there is no going back."""


class FileSource:
    """A video file, sent as it is coded. Raises ApiError for what cannot be read or sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with av.open(str(path)) as container:
                codec = container.streams.video[0].codec_context.name
                sound = bool(container.streams.audio)
        except (av.FFmpegError, OSError, IndexError) as error:
            raise ApiError("source_invalid", f"{path.name} cannot be read as a video") from error
        if codec not in _CODECS:
            raise ApiError("codec_not_supported", f"{codec} cannot be pushed: send H.264, H.265, VP8 or VP9")
        self.tracks: dict[int, tuple[str, dict[str, int]]] = {VIDEO: (_CODECS[codec], {})}
        if sound:
            self.tracks[SOUND] = ("pcm_s16le", {"rate": SOUND_RATE, "channels": 1})

    def units(self, from_us: int) -> Iterator[MediaUnit]:
        """All units that are due from this time on."""
        return (unit for unit in media_units(self._path) if unit.pts_us >= from_us)


class DeviceSource:
    """A camera or the screen, as JPEG pictures. Raises ApiError where it cannot be opened."""

    tracks: Final[dict[int, tuple[str, dict[str, int]]]] = {VIDEO: ("jpeg", {})}

    def __init__(self, kind: str, fps: float, device: str | None = None) -> None:
        form, usual = _DEVICES.get((sys.platform, kind), (None, None))
        if form is None:
            raise ApiError("source_not_found", f"this machine's {kind} cannot be opened: use the page instead")
        self._form, self._device, self._fps, self._kind = form, device or usual, fps, kind

    def units(self, from_us: int) -> Iterator[MediaUnit]:
        """Pictures from now on."""
        try:
            with av.open(self._device, "r", format=self._form) as container:
                period, due = 1 / self._fps, time.monotonic()
                for frame in container.decode(video=0):
                    now = time.monotonic()
                    if now < due:
                        continue
                    due = max(due, now - period) + period
                    yield MediaUnit(VIDEO, ON_ARRIVAL, _jpeg(frame), True)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ApiError("source_not_found", f"the {self._kind} {self._device} cannot be opened") from error


def _jpeg(frame: Any) -> bytes:
    picture = io.BytesIO()
    frame.to_image().save(picture, "JPEG", quality=_QUALITY)
    return picture.getvalue()


@dataclass
class _Place:
    """How far a push has come: the last keyframe that was sent, from which a new connection goes on."""

    keyframe_us: int = 0
    sent: int = 0


async def push(
    source: Source, stream: str, url: str | None, *, real: bool, told: Callable[[str], None] = lambda _: None
) -> int:
    """Send all of it; how many messages. real: at the pace of its own clock. told: hears what a person should know.

    A connection that is lost is made again, and sending goes on from the last keyframe. Raises ApiError.
    """
    place = _Place()
    async with aclosing(connections(stream, url)) as lives:
        async for live in lives:
            if place.sent:
                told("connected again")
            try:
                await _send(live, source, place, real)
                break
            except ApiError as error:
                if error.code != "connection_lost":
                    raise
                told("the connection was lost; trying again")
    return place.sent


async def _send(live: AsyncLive, source: Source, place: _Place, real: bool) -> None:
    for track, (codec, more) in source.tracks.items():
        await live.announce(track, codec, **more)
    units = source.units(place.keyframe_us)
    began, first_us = time.monotonic(), place.keyframe_us
    while (unit := await asyncio.to_thread(next, units, None)) is not None:
        if real and unit.pts_us != ON_ARRIVAL:
            await asyncio.sleep(began + (unit.pts_us - first_us) / 1e6 - time.monotonic())
        await live.send(unit.track, unit.data, unit.pts_us)
        place.sent += 1
        if unit.track == VIDEO and unit.keyframe:
            place.keyframe_us = max(0, unit.pts_us)
