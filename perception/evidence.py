"""Frames as evidence: a decoded picture in, pixels at the stored size and their JPEG out."""

import io
import threading
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image as Pillow

from perception.decode import Picture
from perception.encoders import Image

_FINEST_STEP: Final = 20.0
_STEP_RISE: Final = 0.2
_COLOUR_STEP: Final = 1.2
"""Steps at quality 50 flatter than the standard's own, in colour too: from a fifth to two fifths fewer bytes for half a
decibel, the worst pictures better."""


def stored_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Width and height at which evidence is kept: never enlarged, both even, the long side at most `long_side`."""
    scale = min(1.0, long_side / max(width, height))
    if scale == 1.0:
        return width, height
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def quantisation(quality: int) -> list[list[int]]:
    """Steps of brightness and of colour, 8 x 8 each, by the usual scale: 1 the coarsest, 100 the finest."""
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    rise = [1 + _STEP_RISE * (x + y) for y in range(8) for x in range(8)]
    return [
        [min(255, max(1, round(step * scale * one))) for one in rise]
        for step in (_FINEST_STEP, _FINEST_STEP * _COLOUR_STEP)
    ]


@dataclass(frozen=True)
class Stored:
    """A frame as it is encoded and kept. pixels: [height, width, 3] at the stored size."""

    pixels: Image
    jpeg: bytes


class EvidenceMaker:
    """Scales and compresses frames; safe from any thread, each of which keeps scalers of its own."""

    def __init__(self, long_side: int, quality: int) -> None:
        self._long_side = long_side
        self._tables = quantisation(quality)
        self._threads = threading.local()

    def make(self, picture: Picture, comment: bytes = b"") -> Stored:
        """The frame at the stored size, and its JPEG, with a comment in it."""
        pixels = self._pixels(picture)
        buffer = io.BytesIO()
        # Baseline with fitted codes: drawn or still pictures are smaller so than progressive, others the same.
        form: dict[str, Any] = {"qtables": self._tables, "subsampling": "4:2:0", "optimize": True, "comment": comment}
        Pillow.fromarray(pixels).save(buffer, "JPEG", **form)
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
