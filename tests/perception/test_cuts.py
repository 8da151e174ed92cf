"""Shot boundaries: hard cuts are found, movement, noise and light are none."""

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from perception.cuts import CutDetector, Sampler

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 320, 180


def scene(seed: int) -> Picture:
    """A room of its own: blocks of colour, as different from another seed's as two shots are."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(20, 236, (9, 16, 3), dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(20, 0).repeat(20, 1))


def frame(picture: Picture) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


def cuts_of(pictures: list[Picture]) -> list[int]:
    detector = CutDetector()
    return [n for n, picture in enumerate(pictures) if detector.is_cut(frame(picture))]


def test_finds_every_hard_cut_at_its_first_frame() -> None:
    pictures = [scene(shot) for shot in range(5) for _ in range(12)]
    assert cuts_of(pictures) == [12, 24, 36, 48]


def test_a_shot_of_three_frames_has_two_ends() -> None:
    pictures = [scene(1)] * 12 + [scene(2)] * 3 + [scene(3)] * 12
    assert cuts_of(pictures) == [12, 15]


@pytest.mark.parametrize("sigma", [2, 6, 12])
def test_sensor_noise_is_no_cut(sigma: int) -> None:
    rng = np.random.default_rng(sigma)
    still = scene(1).astype(np.float64)
    pictures = [np.clip(still + rng.normal(0, sigma, still.shape), 0, 255).astype(np.uint8) for _ in range(40)]
    assert cuts_of(pictures) == []


def test_a_pan_is_no_cut() -> None:
    wide = np.concatenate([scene(1), scene(2)], axis=1)
    pictures = [np.ascontiguousarray(wide[:, x : x + WIDTH]) for x in range(0, WIDTH, 4)]
    assert cuts_of(pictures) == []


def test_light_that_fades_is_no_cut() -> None:
    pictures = [(scene(1) * share).astype(np.uint8) for share in np.linspace(1.0, 0.4, 40)]
    assert cuts_of(pictures) == []


def test_a_new_size_begins_a_shot() -> None:
    detector = CutDetector()
    assert not detector.is_cut(frame(scene(1)))
    assert detector.is_cut(frame(np.ascontiguousarray(scene(1)[:140, :260])))


def test_sample_reads_padding_of_no_plane() -> None:
    """Lines of 98 pixels are padded by the decoder: the padding is not part of the picture."""
    picture = np.full((98, 98, 3), 200, np.uint8)
    shown = frame(picture)
    sampler = Sampler(shown)
    luma = sampler.sample(shown)[: sampler.starts[1]]
    assert luma.min() == luma.max()


def test_a_slow_source_in_a_fast_video_is_no_cut() -> None:
    """10 pictures a second in a video of 60: five frames in six are the one before, shown again."""
    wide = np.concatenate([scene(1), scene(2)], axis=1)
    pictures = [np.ascontiguousarray(wide[:, x : x + WIDTH]) for x in range(0, WIDTH, 4) for _ in range(6)]
    assert cuts_of(pictures) == []


def test_a_cut_inside_movement_is_found_by_its_colours() -> None:
    """Both shots pan so fast that a cut moves the points little more than the pan does."""
    blue, red = scene(1) // 2 + np.uint8(20), scene(2) // 2 + np.uint8(90)
    wide = [np.concatenate([one, one], axis=1) for one in (blue, red)]
    pictures = [np.ascontiguousarray(one[:, x : x + WIDTH]) for one in wide for x in range(0, 200, 10)]
    assert cuts_of(pictures) == [20]


@pytest.mark.parametrize("layout", ["rgb24", "nv12", "gray", "yuv420p10le", "yuv422p", "yuvj444p"])
def test_every_layout_is_seen_over_its_whole_width(layout: str) -> None:
    """What is new lies in the right half alone, as in a pushed picture (RGB) or a camera's ten bits."""
    before = scene(1)
    after = before.copy()
    after[:, WIDTH // 2 :] = 255 - after[:, WIDTH // 2 :]
    detector = CutDetector()
    shown = [frame(picture).reformat(format=layout) for picture in [before] * 12 + [after] * 12]
    assert [n for n, one in enumerate(shown) if detector.is_cut(one)] == [12]


def test_histograms_are_shares_of_the_points() -> None:
    shown = frame(scene(1))
    sampler = Sampler(shown)
    histogram = sampler.histogram(sampler.sample(shown))
    assert histogram.sum() == pytest.approx(1.0)
    assert np.abs(histogram - sampler.histogram(sampler.sample(frame(scene(2))))).sum() > 0.3
