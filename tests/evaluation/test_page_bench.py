"""The page's benchmark: which perceived frame is which captured one."""

import io
from pathlib import Path

import pytest
from PIL import Image

from evaluation import page

CAPTURED = [1_000.0, 1_501.0, 2_007.0, 2_498.0, 3_004.0, 3_499.0]


def test_delays_are_those_of_the_frames_own_captures() -> None:
    """The stream's clock began 130 ms after the first capture; the third frame was not new."""
    heard = [(time + 130.0, time + delay) for time, delay in zip(CAPTURED, (140, 150, 0, 160, 170, 300), strict=True)]
    del heard[2]
    assert page._delays(heard, CAPTURED) == [140, 150, 160, 170, 300]


def test_of_two_ways_to_match_the_slower_one_counts() -> None:
    regular = [1_000.0 + 500 * n for n in range(6)]
    assert page._delays([(2_100.0, 2_150.0)], regular) == [1_150.0]


@pytest.mark.parametrize("heard", [[], [(9_000_000.0, 9_000_100.0)]])
def test_frames_that_nobody_captured_are_no_figure(heard: list[tuple[float, float]]) -> None:
    with pytest.raises(RuntimeError, match="perceived"):
        page._delays(heard, CAPTURED)


def test_the_camera_plays_pictures_that_differ(tmp_path: Path) -> None:
    film = page._write_camera(tmp_path / "camera.mjpeg").read_bytes()
    pieces = [b"\xff\xd8\xff" + piece for piece in film.split(b"\xff\xd8\xff")[1:]]
    assert len({Image.open(io.BytesIO(piece)).tobytes() for piece in pieces}) == len(pieces) == 16
