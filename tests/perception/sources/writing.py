"""Small files for the tests of sources, as recorders and editors leave them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def picture(n: int, size: tuple[int, int] = (160, 96)) -> np.ndarray[Any, Any]:
    """The n-th picture of a clip: a bar moves over a gradient."""
    width, height = size
    rgb = np.tile(np.linspace(30, 200, width, dtype=np.uint8)[None, :, None], (height, 1, 3)).copy()
    rgb[:, n * 7 % (width - 16) :][:, :16] = 255
    return rgb


def write_video(
    path: Path, frames: int, fps: Fraction | int = 10, codec: str = "libx264", pix_fmt: str = "yuv420p", **options: str
) -> Path:
    """A file with nothing but pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, pix_fmt
        for n in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = n, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def add_sound(video: Path, path: Path, seconds: float, tracks: int = 1, seconds_of_last: float | None = None) -> Path:
    """The video's packets with sound beside them, the last track of another length."""
    lengths = [seconds] * (tracks - 1) + [seconds if seconds_of_last is None else seconds_of_last]
    with av.open(str(video)) as reader, av.open(str(path), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        sounds: list[Any] = [writer.add_stream("aac", rate=16_000, layout="mono") for _ in lengths]
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
        for sound, length in zip(sounds, lengths, strict=True):
            for n in range(round(length * 10)):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 16_000, n * 1600, Fraction(1, 16_000)
                writer.mux(sound.encode(frame))
            writer.mux(sound.encode(None))
    return path


def shift_ts(source: Path, path: Path, by_s: float) -> Path:
    """A transport stream with all its stamps moved."""
    with av.open(str(source)) as reader, av.open(str(path), "w", format="mpegts") as writer:
        copies = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for packet in reader.demux():
            if packet.size:
                shift = round(by_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copies[packet.stream.index]
                writer.mux(packet)
    return path


def edit(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """The file with other bytes in it."""
    path.write_bytes(change(path.read_bytes()))
    return path
