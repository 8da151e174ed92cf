"""Scripts as video files: H.264 with the world's sound, on the script's own clock."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from training.world_render import frames
from training.world_script import Script
from training.world_sound import RATE, soundtrack

SoundCodec = Literal["aac", "pcm_s16le"]
Timed = tuple[Any, av.VideoFrame | av.AudioFrame]
_SOUND_CHUNK = 1024


def write_video(
    script: Script,
    path: Path,
    width: int = 480,
    height: int = 360,
    fps: int = 10,
    crf: int = 23,
    gop_s: float = 2.0,
    sound: SoundCodec | None = "aac",
) -> Path:
    """Render and encode a script; frame n shows the script at n / fps seconds. Sides must be even.

    The container is told by the name: mp4 takes aac, mkv and mov take both. sound None: no audio track.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "veryfast", "crf": str(crf), "g": str(max(1, round(fps * gop_s))), "bf": "0"}
        tracks: list[Iterator[Timed]] = [((video, frame) for frame in _video_frames(script, width, height, fps))]
        streams: list[Any] = [video]
        if sound is not None:
            audio = container.add_stream(sound, rate=RATE, layout="mono")
            tracks.append((audio, frame) for frame in _sound_frames(script, "fltp" if sound == "aac" else "s16"))
            streams.append(audio)
        for stream, frame in heapq.merge(*tracks, key=lambda timed: timed[1].time or 0.0):
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def _video_frames(script: Script, width: int, height: int, fps: int) -> Iterator[av.VideoFrame]:
    for number, picture in enumerate(frames(script, width, height, fps)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        yield frame


def _sound_frames(script: Script, form: Literal["fltp", "s16"]) -> Iterator[av.AudioFrame]:
    track = soundtrack(script)
    samples = track if form == "fltp" else np.round(np.clip(track, -1, 1) * 32767).astype(np.int16)
    for first in range(0, len(samples), _SOUND_CHUNK):
        frame = av.AudioFrame.from_ndarray(samples[None, first : first + _SOUND_CHUNK], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        yield frame
