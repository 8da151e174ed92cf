"""The page's benchmark: which perceived frame is which captured one."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import page
from evaluation.clips import moving_picture
from evaluation.marks import NUMBERS, marked, read_mark
from evaluation.page import Marked, delays

SENT = [Marked(1_000.0 + 500 * n, n % 4) for n in range(8)]


def test_delays_are_those_of_the_frames_own_captures() -> None:
    """Evenly spaced, one not new, and the film begins anew in the middle."""
    heard = [
        Marked(one.at_ms + delay, one.number)
        for one, delay in zip(SENT, (40, 50, 0, 60, 70, 300, 45, 1_900), strict=True)
    ]
    del heard[2]
    assert delays(heard, SENT) == [40, 50, 60, 70, 300, 45, 1_900]


@pytest.mark.parametrize("heard", [[], [Marked(9_000.0, 9)], [Marked(9_000.0, None)], [Marked(500.0, 0)]])
def test_frames_that_nobody_captured_are_no_figure(heard: list[Marked]) -> None:
    with pytest.raises(RuntimeError, match="perceived"):
        delays(heard, SENT)


@pytest.mark.parametrize("quality", [85, 40])
@pytest.mark.parametrize("size", [(640, 360), (320, 180), (424, 240)])
def test_a_mark_survives_scaling_and_coding(size: tuple[int, int], quality: int) -> None:
    for number in (0, 1, 599, 2730, NUMBERS - 1):
        picture = io.BytesIO()
        image = Image.fromarray(marked(moving_picture(640, 360, number / 30, 1), number))
        image.resize(size).save(picture, "JPEG", quality=quality)
        assert read_mark(np.asarray(Image.open(picture))) == number


def test_a_picture_without_a_mark_has_none() -> None:
    assert [read_mark(moving_picture(640, 360, n / 2, 1)) for n in range(20)] == [None] * 20
    for level in (0, 255):
        assert read_mark(np.full((360, 640, 3), level, np.uint8)) is None


def test_the_camera_plays_numbered_pictures(tmp_path: Path) -> None:
    film = page._write_camera(tmp_path / "camera.mjpeg").read_bytes()
    pieces = [b"\xff\xd8\xff" + piece for piece in film.split(b"\xff\xd8\xff")[1:]]
    assert [page._mark(piece) for piece in pieces] == list(range(page._CAMERA_FRAMES))
