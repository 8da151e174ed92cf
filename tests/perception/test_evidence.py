"""Evidence: the stored size, pixels that are the frame's, and a JPEG that is the pixels."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from evaluation.clips import moving_picture
from perception.decode import Picture
from perception.evidence import EvidenceMaker, Stored, quantisation, stored_size

PATCHES = [(235, 20, 20), (20, 200, 30), (30, 40, 220), (230, 220, 30), (128, 128, 128), (250, 250, 250), (5, 5, 5)]
BT709 = (0.2126, 0.0722)
BT601 = (0.299, 0.114)


def video(picture: Any) -> Picture:
    """A frame as a decoder gives it."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return Picture(frame.reformat(format="yuv420p"), 0)


def luma(picture: Any) -> Any:
    return np.asarray(picture, np.float64) @ (0.299, 0.587, 0.114)


def psnr(one: Any, other: Any) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((luma(one) - luma(other)) ** 2))))


def opened(stored: Stored) -> Any:
    with Pillow.open(io.BytesIO(stored.jpeg)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        return np.asarray(image)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("size", "long_side", "stored"),
    [
        ((1920, 1080), 960, (960, 540)),
        ((1080, 1920), 960, (540, 960)),
        ((1280, 720), 960, (960, 540)),
        ((960, 540), 960, (960, 540)),
        ((640, 360), 960, (640, 360)),
        ((641, 361), 960, (641, 361)),
        ((1919, 1079), 960, (960, 540)),
        ((1000, 1000), 960, (960, 960)),
        ((4000, 3), 960, (960, 2)),
        ((3, 4000), 960, (2, 960)),
        ((1, 1), 960, (1, 1)),
    ],
)
def test_the_stored_size(size: tuple[int, int], long_side: int, stored: tuple[int, int]) -> None:
    assert stored_size(*size, long_side) == stored


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(32, 1000).map(lambda half: 2 * half))
def test_a_stored_frame_is_never_larger_and_keeps_its_shape(width: int, height: int, long_side: int) -> None:
    wide, high = stored_size(width, height, long_side)
    if max(width, height) <= long_side:
        assert (wide, high) == (width, height)
        return
    assert (wide % 2, high % 2) == (0, 0)
    assert max(wide, high) == long_side
    scale = long_side / max(width, height)
    assert abs(wide - width * scale) <= 2
    assert abs(high - height * scale) <= 2


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize(
    ("size", "stored"), [((1280, 720), (640, 360)), ((640, 360), (640, 360)), ((96, 54), (96, 54))]
)
def test_a_frame_is_stored_at_its_size(size: tuple[int, int], stored: tuple[int, int]) -> None:
    made = EvidenceMaker(640, 90).make(video(moving_picture(*size, 0.0, 0)))
    assert made.pixels.shape == (stored[1], stored[0], 3)
    assert made.pixels.dtype == np.uint8
    assert made.pixels.flags.c_contiguous
    assert opened(made).shape == made.pixels.shape


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (1918, 1078), (330, 186)])
def test_the_pixels_are_those_of_the_frame(size: tuple[int, int]) -> None:
    picture = moving_picture(*size, 0.0, 1)
    made = EvidenceMaker(640, 90).make(video(picture))
    wanted = Pillow.fromarray(picture).resize(made.pixels.shape[1::-1], Pillow.Resampling.BICUBIC)
    assert psnr(made.pixels, wanted) > 35
    assert psnr(made.pixels, moving_picture(*made.pixels.shape[1::-1], 0.1, 1)) < 30


@pytest.mark.parametrize("seed", range(3))
def test_the_jpeg_is_near_the_pixels(seed: int) -> None:
    made = EvidenceMaker(640, 90).make(video(moving_picture(1280, 720, 0.3, seed)))
    assert psnr(opened(made), made.pixels) > 35


def test_quality_is_what_was_asked() -> None:
    picture = video(moving_picture(640, 360, 0.0, 0))
    poor, good = (EvidenceMaker(640, quality).make(picture) for quality in (20, 95))
    assert len(poor.jpeg) < len(good.jpeg) / 2
    assert psnr(opened(poor), poor.pixels) < psnr(opened(good), good.pixels)


def natural(seed: int) -> Any:
    """A picture whose detail falls with its fineness, as that of most photographs does."""
    rows, columns = np.fft.fftfreq(360)[:, None], np.fft.fftfreq(640)[None, :]
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((360, 640)))
    grey = np.fft.ifft2(noise / np.maximum(np.hypot(rows, columns), 1 / 640)).real
    return np.clip(128 + 45 * grey[..., None] / grey.std() + (20, 0, -20), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_fewer_bytes_show_more_than_with_the_standard_steps(seed: int) -> None:
    made = EvidenceMaker(640, 80).make(video(natural(seed)))
    standard = io.BytesIO()
    Pillow.fromarray(made.pixels).save(standard, "JPEG", quality=80)
    assert len(made.jpeg) < len(standard.getvalue())
    assert psnr(opened(made), made.pixels) > psnr(np.asarray(Pillow.open(standard)), made.pixels)


@pytest.mark.parametrize("quality", [1, 49, 50, 99, 100])
def test_steps_rise_with_frequency_and_fit_a_baseline_jpeg(quality: int) -> None:
    for steps in quantisation(quality):
        assert len(steps) == 64
        assert all(1 <= step <= 255 for step in steps)
        assert steps[0] == min(steps)
    finer, coarser = quantisation(min(100, quality + 1)), quantisation(quality)
    assert all(one <= other for tables in zip(finer, coarser, strict=True) for one, other in zip(*tables, strict=True))


def test_an_rgb_image_passes_untouched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (101, 203, 3), dtype=np.uint8)
    made = EvidenceMaker(640, 90).make(Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0, rgb))
    assert np.array_equal(made.pixels, rgb)


def test_a_large_rgb_image_is_made_smaller() -> None:
    rgb = moving_picture(1280, 720, 0.0, 2)
    made = EvidenceMaker(640, 90).make(Picture(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0, rgb))
    assert made.pixels.shape == (360, 640, 3)
    assert psnr(made.pixels, Pillow.fromarray(rgb).resize((640, 360), Pillow.Resampling.BICUBIC)) > 35


def coded(space: Colorspace, full: bool, weights: tuple[float, float], width: int, height: int) -> Picture:
    """Stripes of PATCHES as Y'CbCr by the book (ITU-R BT.601 and BT.709), without any library's help."""
    red, blue = weights
    stripe = width // len(PATCHES)
    y = np.zeros((height, width), np.uint8)
    u, v = np.full((height // 2, width // 2), 128, np.uint8), np.full((height // 2, width // 2), 128, np.uint8)
    for n, patch in enumerate(PATCHES):
        r, g, b = (level / 255 for level in patch)
        light = red * r + (1 - red - blue) * g + blue * b
        cb, cr = (b - light) / (2 - 2 * blue), (r - light) / (2 - 2 * red)
        y[:, n * stripe : (n + 1) * stripe] = round(255 * light if full else 16 + 219 * light)
        u[:, n * stripe // 2 : (n + 1) * stripe // 2] = round(128 + (255 if full else 224) * cb)
        v[:, n * stripe // 2 : (n + 1) * stripe // 2] = round(128 + (255 if full else 224) * cr)
    planes = np.concatenate([y.reshape(-1), u.reshape(-1), v.reshape(-1)]).reshape(height * 3 // 2, width)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.colorspace = space
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return Picture(frame, 0)


@pytest.mark.parametrize("width", [560, 1120])
@pytest.mark.parametrize("full", [True, False], ids=["full", "limited"])
@pytest.mark.parametrize(
    ("space", "weights"), [(Colorspace.ITU709, BT709), (Colorspace.ITU601, BT601)], ids=["bt709", "bt601"]
)
def test_colours_are_right(space: Colorspace, weights: tuple[float, float], full: bool, width: int) -> None:
    made = EvidenceMaker(560, 90).make(coded(space, full, weights, width, 160))
    wide = made.pixels.shape[1] // len(PATCHES)
    shown = [made.pixels[made.pixels.shape[0] // 2, n * wide + wide // 2] for n in range(len(PATCHES))]
    assert np.abs(np.array(shown, int) - np.array(PATCHES)).max() <= 4


def test_frames_of_two_kinds_in_turn_do_not_mix() -> None:
    maker = EvidenceMaker(560, 90)
    kinds = [
        coded(Colorspace.ITU709, True, BT709, 1120, 160),
        coded(Colorspace.ITU601, False, BT601, 560, 160),
        video(moving_picture(320, 180, 0.0, 0)),
    ]
    alone = [EvidenceMaker(560, 90).make(kind) for kind in kinds]
    for _ in range(2):
        for kind, wanted in zip(kinds, alone, strict=True):
            made = maker.make(kind)
            assert np.array_equal(made.pixels, wanted.pixels)
            assert made.jpeg == wanted.jpeg


def test_several_threads_make_what_one_makes() -> None:
    sizes = [(1280, 720), (640, 360), (720, 1280), (322, 182)]
    pictures = [video(moving_picture(*sizes[n % 4], n / 10, n)) for n in range(24)]
    maker = EvidenceMaker(480, 90)
    alone = [EvidenceMaker(480, 90).make(picture) for picture in pictures]
    together, threads = threading.Barrier(4), set()

    def make(first: int) -> list[Stored]:
        together.wait(5)
        threads.add(threading.get_ident())
        return [maker.make(picture) for picture in pictures[first::4]]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(4)))
    assert len(threads) == 4
    for n, wanted in enumerate(alone):
        assert np.array_equal(made[n % 4][n // 4].pixels, wanted.pixels)
        assert made[n % 4][n // 4].jpeg == wanted.jpeg
