"""Video files as the live websocket takes them: H.264 access units and sound as PCM, in the order of their times."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
from av.bitstream import BitStreamFilterContext

VIDEO: Final = 0
SOUND: Final = 1
SOUND_RATE: Final = 16_000
_ANNEX_B: Final = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


@dataclass(frozen=True)
class MediaUnit:
    """One message of a track: an access unit of the video, or some sound as PCM (signed 16 bit, mono, SOUND_RATE)."""

    track: int
    pts_us: int
    data: bytes
    keyframe: bool


def media_units(path: Path) -> Iterator[MediaUnit]:
    """All of a file, video and sound on one clock that starts at 0; video in the order of decoding."""
    with av.open(str(path)) as video, av.open(str(path)) as sound:
        tracks = [_video_units(video)]
        if sound.streams.audio:
            tracks.append(_sound_units(sound))
        yield from heapq.merge(*tracks, key=lambda unit: unit.pts_us)


def _video_units(container: Any) -> Iterator[MediaUnit]:
    stream = container.streams.video[0]
    to_annex_b = _ANNEX_B.get(stream.codec_context.name)
    adapt = BitStreamFilterContext(to_annex_b, stream) if to_annex_b is not None else None
    for packet in container.demux(stream):
        whole = packet if packet.size else None
        for unit in adapt.filter(whole) if adapt is not None else [packet]:
            if unit.pts is not None:
                yield MediaUnit(VIDEO, _time_us(unit), bytes(unit), unit.is_keyframe)


def _sound_units(container: Any) -> Iterator[MediaUnit]:
    resampler = av.AudioResampler("s16", "mono", SOUND_RATE)
    for frame in container.decode(audio=0):
        for piece in resampler.resample(frame):
            if piece.pts is not None:
                yield MediaUnit(SOUND, _time_us(piece), piece.to_ndarray().tobytes(), True)


def _time_us(timed: Any) -> int:
    return int(max(0, round(timed.pts * timed.time_base * 1_000_000)))
