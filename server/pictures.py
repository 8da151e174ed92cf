"""Pictures at the doors: which kind by their first bytes, and how large, read from the header alone."""

import io
import warnings
from typing import Literal

from PIL import Image

from server.errors import RequestError

PictureCodec = Literal["jpeg", "png", "webp"]
_PILLOW_NAMES = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


def picture_codec(data: bytes) -> PictureCodec | None:
    """JPEG, PNG or WebP by the magic bytes; None for anything else."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def check_picture(data: bytes, max_pixels: int) -> PictureCodec:
    """Kind of a picture whose header is sound and whose size is within bounds; its body is not decoded here.

    Raises RequestError invalid_image or image_too_large.
    """
    codec = picture_codec(data)
    if codec is None:
        raise RequestError("invalid_image", "send a JPEG, PNG or WebP picture")
    width, height = _size(data, codec)
    if width <= 0 or height <= 0:
        raise RequestError("invalid_image", "the picture has no pixels")
    if width * height > max_pixels:
        raise RequestError("image_too_large", f"the picture has more than {max_pixels} pixels: send a smaller one")
    return codec


def _size(data: bytes, codec: PictureCodec) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[codec]]) as picture:
                return picture.size
    except Image.DecompressionBombError:
        raise RequestError("image_too_large", "the picture has far too many pixels: send a smaller one") from None
    except (OSError, ValueError, SyntaxError, OverflowError, MemoryError):
        raise RequestError("invalid_image", "the picture's header is damaged") from None
