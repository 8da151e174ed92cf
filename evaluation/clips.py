"""Test videos, made on the spot: moving and still scenes of any length."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB, [height, width, 3]."""
NOISY = 10
"""The quality (crf of x264) that leaves a sensor's noise in the picture: at the usual 23 most of it is gone."""


def moving_picture(width: int, height: int, time_s: float, seed: int) -> Picture:
    """A coloured landscape that pans by a quarter of its width a second, with a block that runs across it."""
    at = round(width * 0.25 * time_s) % width
    picture = _panorama(width, height, seed)[:, at : at + width].copy()
    left = int((0.37 * time_s % 1) * (width - width // 5))
    picture[height // 3 : height // 3 + height // 4, left : left + width // 5] = (255, 255 - 30 * (seed % 8), 40)
    return picture


@lru_cache(maxsize=4)
def _panorama(width: int, height: int, seed: int) -> Picture:
    """The landscape twice side by side, so that every view of it is a slice."""
    x = (np.arange(2 * width) / width)[None, :]
    y = (np.arange(height) / height)[:, None]
    phases = (seed % 7, seed % 5 + 2, seed % 3 + 4)
    waves = [np.sin(2 * np.pi * (2 + k) * x + phases[k] + 3 * y) * np.cos(5 * y + k) for k in range(3)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def write_video(
    path: Path, pictures: Iterator[Picture], fps: int, crf: int = 23, gop_s: float = 1.0, steady: bool = False
) -> Path:
    """Encode pictures (even sides) as H.264 without B-frames. steady: no keyframes but those, as most cameras do it."""
    with av.open(str(path), "w") as container:
        first = next(pictures)
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        # One slice a picture, as cameras send it; x264's slice threads would make as many as there are cores.
        stream.thread_type = "FRAME"
        stream.options = {"preset": "veryfast", "crf": str(crf), "bf": "0", "g": str(max(1, round(fps * gop_s)))}
        if steady:
            stream.options |= {"sc_threshold": "0"}
        stream.codec_context.time_base = Fraction(1, fps)
        for n, picture in enumerate(_chained(first, pictures)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moving_video(path: Path, seconds: float, fps: int = 15, size: tuple[int, int] = (640, 360), seed: int = 0) -> Path:
    """A scene that never stands still."""
    pictures = (moving_picture(*size, n / fps, seed) for n in range(round(seconds * fps)))
    return write_video(path, pictures, fps)


def sensor_noise(dice: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """A sensor's noise: sigma 2 of 255, each channel its own."""
    return np.rint(dice.normal(0, 2, shape)).astype(np.int16)


def still_video(
    path: Path, seconds: float, fps: int = 15, size: tuple[int, int] = (1280, 720), seed: int = 0, crf: int = NOISY
) -> Path:
    """A scene that stands still under a sensor's noise."""
    dice = np.random.default_rng(seed)
    scene = moving_picture(*size, 0.0, seed).astype(np.int16)
    noises = [sensor_noise(dice, scene.shape) for _ in range(8)]

    def noisy() -> Iterator[Picture]:
        for _ in range(round(seconds * fps)):
            down, right = dice.integers(0, size[1]), dice.integers(0, size[0])
            noise = np.roll(noises[dice.integers(0, len(noises))], (down, right), axis=(0, 1))
            yield np.clip(scene + noise, 0, 255).astype(np.uint8)

    return write_video(path, noisy(), fps, crf)


def looped_video(source: Path, path: Path, seconds: float) -> Path:
    """The same video over and over, without encoding it again."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        video = reader.streams.video[0]
        copy = writer.add_stream_from_template(video)
        tick = float(cast(Fraction, video.time_base))
        offset = 0
        while offset * tick < seconds:
            end = offset
            reader.seek(0)
            for packet in reader.demux(video):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                end = max(end, packet.pts + (packet.duration or 0))
                packet.stream = copy
                writer.mux(packet)
            if end == offset:
                raise ValueError("nothing to loop")
            offset = end
    return path


def decoded(path: Path) -> Iterator[tuple[int, av.VideoFrame]]:
    """Each frame of a file with its pts in microseconds from the first."""
    with av.open(str(path)) as container:
        first: int | None = None
        for frame in container.decode(video=0):
            if frame.pts is None:
                continue
            pts_us = round(frame.pts * cast(Fraction, frame.time_base) * 1_000_000)
            first = pts_us if first is None else first
            yield pts_us - first, frame


def _chained(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest
