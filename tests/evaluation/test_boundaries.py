"""Boundaries are paired once each; evidence is compared with the frame of the same time."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.boundaries import event_boundaries, luma_psnr, match, offset_us, pictures_at, reference
from evaluation.clips import moving_picture, moving_video

S = 1_000_000


def test_each_boundary_is_paired_at_most_once() -> None:
    matched = match([10 * S, 20 * S, 30 * S], [10 * S + 1000, 10 * S + 2000, 21 * S, 32 * S])
    assert (matched.true, matched.found, matched.right) == (3, 4, 2)


def test_boundaries_by_length_do_not_count() -> None:
    spans = [(0, 4 * S), (4 * S, 34 * S), (34 * S, 40 * S), (40 * S, 41 * S)]
    assert event_boundaries(spans, 30 * S) == [4 * S, 40 * S]
    assert event_boundaries(spans, 60 * S) == [4 * S, 34 * S, 40 * S]


def test_psnr_of_equal_and_of_known_error() -> None:
    picture = moving_picture(64, 48, 0.5, seed=1).clip(0, 250)
    assert luma_psnr(picture, picture) == 100
    assert luma_psnr(picture, picture + 5) == pytest.approx(20 * np.log10(255 / 5), abs=1e-6)


def test_the_offset_between_the_clocks_is_found_from_the_pictures(tmp_path: Path) -> None:
    video = moving_video(tmp_path / "clip.mp4", 3, fps=10, size=(128, 72), seed=2)
    known = reference(video)
    pts = [int(known.pts_us[place]) for place in (2, 11, 23)]
    pictures = pictures_at(video, pts)
    stored = [(one + 7_654_321, pictures[one]) for one in pts]
    assert offset_us(known, stored) == 7_654_321
    assert known.nearest(pts[1] + 3000) == pts[1]
