"""Frames as evidence: a decoded picture in, pixels at the stored size and their JPEG out."""

import io

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


class EvidenceMaker:
    """Scales and compresses the frames of one stream; keeps one scaler for all of them."""

    def __init__(self, long_side: int, quality: int) -> None:
        self._long_side = long_side
        self._quality = quality
        self._reformatter = VideoReformatter()

    def pixels(self, picture: Picture) -> Image:
        """[height, width, 3] at the stored size."""
        frame = picture.frame
        width, height = stored_size(frame.width, frame.height, self._long_side)
        if picture.rgb is not None and (width, height) == (frame.width, frame.height):
            return picture.rgb
        scaled: av.VideoFrame = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BICUBIC
        )
        return np.ascontiguousarray(scaled.to_ndarray())

    def jpeg(self, pixels: Image) -> bytes:
        """The pixels as JPEG."""
        buffer = io.BytesIO()
        Pillow.fromarray(pixels).save(buffer, "JPEG", quality=self._quality)
        return buffer.getvalue()
