"""Decoding images: upright, bounded, and whatever a parser makes of hostile data told as one error."""

import io
import random
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from evaluation.clips import moving_picture
from perception.decode import Picture, PictureDecoder, Undecodable
from perception.messages import Packet

MOST_PIXELS = 4_000_000
WIDTH, HEIGHT = 320, 180


def packet(codec: str, data: bytes, pts_us: int | None = 0) -> Packet:
    return Packet("t/cam", 1, 0, codec, data, pts_us, 0, 0)


def psnr(one: Any, other: Any) -> float:
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def scene() -> Any:
    return moving_picture(WIDTH, HEIGHT, 0.0, 0)


def image(picture: Any, codec: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)).save(buffer, codec, **options)
    return buffer.getvalue()


def decoded_image(codec: str, data: bytes, max_pixels: int = MOST_PIXELS) -> Picture:
    pictures = list(PictureDecoder(codec, max_pixels).decode(packet(codec, data, 7)))
    assert len(pictures) == 1
    assert pictures[0].pts_us == 7
    return pictures[0]


@pytest.mark.parametrize(("codec", "options"), [("png", {}), ("webp", {"lossless": True})])
def test_a_lossless_image_comes_to_the_last_bit(codec: str, options: Any) -> None:
    picture = decoded_image(codec, image(scene(), codec, **options))
    assert picture.rgb is not None
    assert np.array_equal(picture.rgb, scene())
    assert (picture.frame.width, picture.frame.height, picture.frame.format.name) == (WIDTH, HEIGHT, "rgb24")
    assert np.array_equal(picture.frame.to_ndarray(), scene())


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_lossy_image_comes_near(codec: str) -> None:
    picture = decoded_image(codec, image(scene(), codec, quality=92))
    assert psnr(picture.rgb, scene()) > 33


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_an_image_of_any_mode_becomes_rgb(mode: str) -> None:
    white = Pillow.new(mode, (20, 10), {"RGBA": (255, 255, 255, 255), "I;16": 65535, "1": 1}.get(mode, 255))
    if mode == "P":
        white.putpalette([255, 255, 255] * 256)
    rgb = decoded_image("png", image(white, "png")).rgb
    assert rgb is not None
    assert (rgb.shape, rgb.dtype) == ((10, 20, 3), np.uint8)
    assert rgb.min() == 255


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda one: one),
        (2, lambda one: one[:, ::-1]),
        (3, lambda one: one[::-1, ::-1]),
        (4, lambda one: one[::-1]),
        (5, lambda one: one.swapaxes(0, 1)),
        (6, lambda one: np.rot90(one, -1)),
        (7, lambda one: np.rot90(one.swapaxes(0, 1), 2)),
        (8, lambda one: np.rot90(one, 1)),
    ],
)
def test_an_image_is_turned_upright(codec: str, orientation: int, turned: Any) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 95, "subsampling": 0}}.get(codec, {})
    wanted = turned(scene())
    picture = decoded_image(codec, image(scene(), codec, exif=exif, **options))
    assert picture.rgb is not None
    assert picture.rgb.shape == wanted.shape
    assert (picture.frame.width, picture.frame.height) == (wanted.shape[1], wanted.shape[0])
    assert psnr(picture.rgb, wanted) > 35


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
def test_an_image_that_is_too_large_is_refused(codec: str) -> None:
    data = image(scene(), codec)
    assert decoded_image(codec, data, WIDTH * HEIGHT).frame.width == WIDTH
    with pytest.raises(Undecodable) as refused:
        list(PictureDecoder(codec, WIDTH * HEIGHT - 1).decode(packet(codec, data)))
    assert refused.value.fault.code == "image_too_large"
    assert str(WIDTH * HEIGHT - 1) in refused.value.fault.message


def test_an_image_that_claims_gigabytes_is_refused_before_it_is_decoded() -> None:
    data = bytearray(image(scene(), "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(Undecodable) as refused:
        list(PictureDecoder("jpeg", MOST_PIXELS).decode(packet("jpeg", bytes(data))))
    assert refused.value.fault.code == "image_too_large"


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("harm", ["empty", "noise", "half", "other"])
def test_a_broken_image_is_told(codec: str, harm: str) -> None:
    whole = image(scene(), codec)
    other = image(scene(), "png" if codec != "png" else "jpeg")
    data = {"empty": b"", "noise": random.Random(0).randbytes(5000), "half": whole[: len(whole) // 2], "other": other}
    with pytest.raises(ValueError, match="broken image"):
        list(PictureDecoder(codec, MOST_PIXELS).decode(packet(codec, data[harm])))


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
def test_a_damaged_image_is_shown_or_told(codec: str) -> None:
    whole, dice = image(scene()[:64, :64], codec), random.Random(0)
    decoder, shown, told = PictureDecoder(codec, MOST_PIXELS), 0, 0
    for _ in range(200):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        try:
            shown += len(list(decoder.decode(packet(codec, bytes(data)))))
        except (ValueError, Undecodable):
            told += 1
    assert shown + told == 200
    assert told > 0


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
def test_odd_exif_is_shown_or_told(codec: str) -> None:
    """Every bit of the orientation's entry flipped in turn: the parser of EXIF raises much besides ValueError."""
    exif = Pillow.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    options = {"webp": {"lossless": True}}.get(codec, {})
    whole = image(np.zeros((8, 8, 3), np.uint8), codec, exif=exif, **options)
    start = whole.index(b"MM\x00*" if b"MM\x00*" in whole else b"II*\x00")
    decoder = PictureDecoder(codec, MOST_PIXELS)
    for bit in range(8 * (len(exif.tobytes()) - 6)):
        data = bytearray(whole)
        data[start + bit // 8] ^= 1 << bit % 8
        with suppress(ValueError):
            assert len(list(decoder.decode(packet(codec, bytes(data))))) == 1


@pytest.mark.parametrize("error", [TypeError, AttributeError, struct.error, MemoryError, RecursionError])
def test_whatever_a_parser_raises_is_a_broken_image(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(image: Any) -> Any:
        raise error

    monkeypatch.setattr("perception.decode.ImageOps.exif_transpose", raising)
    with pytest.raises(ValueError, match="broken image"):
        list(PictureDecoder("jpeg", MOST_PIXELS).decode(packet("jpeg", image(scene(), "jpeg"))))


def test_an_image_decoder_holds_nothing_back() -> None:
    assert list(PictureDecoder("jpeg", MOST_PIXELS).flush()) == []
