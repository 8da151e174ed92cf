"""Frames as evidence: a decoded picture in, pixels at the stored size and their JPEG out."""

import io
import threading
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image as Pillow

from perception.decode import Picture
from perception.encoders import Image


def stored_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Width and height at which evidence is kept: never enlarged, both even, the long side at most `long_side`."""
    scale = min(1.0, long_side / max(width, height))
    if scale == 1.0:
        return width, height
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


@dataclass(frozen=True)
class Stored:
    """A frame as it is encoded and kept. pixels: [height, width, 3] at the stored size."""

    pixels: Image
    jpeg: bytes


class EvidenceMaker:
    """Scales and compresses frames; safe from any thread, each of which keeps scalers of its own."""

    def __init__(self, long_side: int, quality: int) -> None:
        self._long_side = long_side
        self._quality = quality
        self._threads = threading.local()

    def make(self, picture: Picture) -> Stored:
        """The frame at the stored size, and its JPEG."""
        pixels = self._pixels(picture)
        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, "JPEG", quality=self._quality)
        return Stored(pixels, buffer.getvalue())

    def _pixels(self, picture: Picture) -> Image:
        frame = picture.frame
        width, height = stored_size(frame.width, frame.height, self._long_side)
        if picture.rgb is not None and (width, height) == (frame.width, frame.height):
            return picture.rgb
        if not hasattr(self._threads, "scaler"):
            self._threads.scaler, self._threads.converter = VideoReformatter(), VideoReformatter()
        # First smaller, then to RGB: both at once takes libswscale three times as long.
        small = self._threads.scaler.reformat(frame, width, height, interpolation=Interpolation.BICUBIC)
        rgb: av.VideoFrame = self._threads.converter.reformat(small, format="rgb24")
        return np.ascontiguousarray(rgb.to_ndarray())
