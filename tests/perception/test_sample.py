"""Sampling: signatures that average noise away, changes that are seen, and a steady grid of samples."""

from typing import Any

import av
import numpy as np
import pytest

from perception.sample import ChangeDetector, SampleClock, Signer

SECOND = 1_000_000
SHARE = 0.002


def frame(picture: Any, pixel_format: str = "rgb24") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format=pixel_format)


def grey(level: int, width: int = 640, height: int = 360) -> Any:
    return np.full((height, width, 3), level, np.uint8)


def noisy(picture: Any, sigma: float, dice: np.random.Generator) -> Any:
    return np.clip(picture + dice.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def cells(level: int) -> Any:
    return np.full((3, 36, 64), level, np.int16)


def grainy(signature: Any, dice: np.random.Generator, sigma: float = 1.0) -> Any:
    """What noise leaves in a signature."""
    return (signature + np.rint(dice.normal(0, sigma, signature.shape))).astype(np.int16)


def started(signature: Any, share: float = SHARE) -> ChangeDetector:
    """A detector that has seen and encoded this sample."""
    detector = ChangeDetector(share)
    assert detector.changed(signature)
    detector.encoded(signature)
    return detector


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("size", [(64, 36), (640, 360), (1920, 1080), (360, 640), (33, 17)])
def test_a_signature_has_one_size_for_all_frames(size: tuple[int, int]) -> None:
    signature = Signer().sign(frame(grey(120, *size)))
    assert signature.shape == (3, 36, 64)
    assert signature.dtype == np.int16


def test_a_signature_tells_brightness_and_colour() -> None:
    signer = Signer()
    black, white = signer.sign(frame(grey(0))), signer.sign(frame(grey(255)))
    assert white[0].min() - black[0].max() > 200
    assert np.abs(white[1:] - 128).max() <= 1
    red = signer.sign(frame(np.full((360, 640, 3), (220, 20, 20), np.uint8)))
    blue = signer.sign(frame(np.full((360, 640, 3), (20, 20, 220), np.uint8)))
    assert np.all(red[2] - blue[2] > 50)
    assert np.all(blue[1] - red[1] > 50)


def test_a_signature_is_where_the_picture_is() -> None:
    picture = grey(0)
    picture[100:110, 300:310] = 255
    signature = Signer().sign(frame(picture))
    assert np.argwhere(signature[0] > signature[0].min() + 100).tolist() == [[10, 30]]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "nv12", "rgb24"])
def test_a_signature_does_not_depend_on_the_pixel_format(pixel_format: str) -> None:
    blocks = np.random.default_rng(0).integers(20, 236, (9, 16, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    same = Signer().sign(frame(blocks, "yuv444p"))
    other = Signer().sign(frame(blocks, pixel_format))
    assert np.abs(same - other)[:, 1::4, 1::4].max() <= 4


def test_a_signature_averages_noise_away() -> None:
    dice, signer = np.random.default_rng(0), Signer()
    one, other = (signer.sign(frame(noisy(grey(120), 8, dice))) for _ in range(2))
    assert np.abs(one - other).mean() < 1.5


# ---------------------------------------------------------------- changes


def test_the_first_sample_is_a_change() -> None:
    assert ChangeDetector(SHARE).changed(cells(100))


def test_a_sample_is_a_change_until_one_is_encoded() -> None:
    detector = ChangeDetector(SHARE)
    assert [detector.changed(cells(100)) for _ in range(3)] == [True, True, True]
    detector.encoded(cells(100))
    assert not detector.changed(cells(100))


@pytest.mark.parametrize("sigma", [0.0, 2.0, 6.0])
def test_noise_is_no_change(sigma: float) -> None:
    dice, signer = np.random.default_rng(0), Signer()
    blocks = np.random.default_rng(1).integers(40, 216, (9, 16, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    detector = started(signer.sign(frame(noisy(blocks, sigma, dice), "yuv420p")))
    assert not any(detector.changed(signer.sign(frame(noisy(blocks, sigma, dice), "yuv420p"))) for _ in range(30))


def test_the_bar_rises_with_the_noise() -> None:
    """A step of eight levels is seen on a quiet camera, and is nothing on one whose cells flicker by two."""
    step = cells(100)
    step[0, 10:14, 10:14] += 8
    assert started(cells(100)).changed(step)
    dice = np.random.default_rng(0)
    loud = started(grainy(cells(100), dice, 2.0), share=0.01)
    assert not loud.changed(grainy(step, dice, 2.0))


def test_no_noise_hides_a_movement_of_the_whole_picture() -> None:
    assert started(cells(100)).changed(cells(130))


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_small_object_is_a_change(plane: int) -> None:
    """Five cells of 2304 are more than a share of 0.002, four are less."""
    for count, seen in ((4, False), (5, True)):
        picture = cells(100)
        picture[plane].reshape(-1)[:count] += 40
        assert started(cells(100)).changed(picture) is seen


@pytest.mark.parametrize("seed", range(10))
def test_an_object_of_a_hundredth_of_a_noisy_picture_is_a_change(seed: int) -> None:
    dice, signer = np.random.default_rng(seed), Signer()
    detector = started(signer.sign(frame(noisy(grey(90), 3, dice))))
    assert not detector.changed(signer.sign(frame(noisy(grey(90), 3, dice))))
    entered = grey(90)
    x, y = dice.integers(0, 640 - 48), dice.integers(0, 360 - 48)
    entered[y : y + 48, x : x + 48] = 150
    assert detector.changed(signer.sign(frame(noisy(entered, 3, dice))))


def test_an_object_that_stays_is_a_change_until_it_is_encoded() -> None:
    detector, entered = started(cells(100)), cells(100)
    entered[0, :3, :3] = 200
    assert [detector.changed(entered) for _ in range(3)] == [True, True, True]
    detector.encoded(entered)
    assert not detector.changed(entered)
    assert detector.changed(cells(100))


def test_slow_drift_adds_up_until_it_is_seen() -> None:
    detector = started(cells(100))
    seen = [detector.changed(cells(100 + n)) for n in range(1, 12)]
    first = seen.index(True)
    assert 4 <= first <= 10
    assert not any(seen[:first])
    assert all(seen[first:])


def test_drift_is_counted_from_the_last_encoded_sample() -> None:
    detector, encodings = started(cells(50)), 0
    for n in range(1, 101):
        if detector.changed(cells(50 + n)):
            detector.encoded(cells(50 + n))
            encodings += 1
    assert 9 <= encodings <= 20


def test_after_a_reset_the_same_picture_is_a_change() -> None:
    detector = started(cells(100))
    assert not detector.changed(cells(100))
    detector.reset()
    assert detector.changed(cells(100))


# ---------------------------------------------------------------- when


def looked_at(clock: SampleClock, times: Any) -> list[int]:
    return [at for at in times if clock.due(at)]


@pytest.mark.parametrize("source_fps", [10, 30])
def test_samples_lie_on_a_steady_grid(source_fps: int) -> None:
    times = [n * SECOND // source_fps for n in range(3 * source_fps)]
    assert looked_at(SampleClock(2.0), times) == [0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_500_000]


def test_the_grid_does_not_drift_with_late_frames() -> None:
    """25 frames a second do not hit a grid of 0.3 s: each sample is the first frame behind a line of it."""
    times = [n * 40_000 for n in range(1500)]
    seen = looked_at(SampleClock(1 / 0.3), times)
    assert len(seen) == 200
    assert all(0 <= at - n * 300_000 < 40_000 for n, at in enumerate(seen))


def test_a_slow_source_is_looked_at_frame_by_frame() -> None:
    times = [n * SECOND for n in range(5)]
    assert looked_at(SampleClock(2.0), times) == times


def test_after_a_break_one_sample_is_due_and_not_all_that_were_missed() -> None:
    clock = SampleClock(2.0)
    times = [0, 60_100_000, 60_200_000, 60_300_000, 60_400_000, 60_500_000]
    assert looked_at(clock, times) == [0, 60_100_000, 60_500_000]


def test_a_frame_is_due_once() -> None:
    clock = SampleClock(1.0)
    assert clock.due(5 * SECOND)
    assert not clock.due(5 * SECOND)
    assert not clock.due(6 * SECOND - 1)
    assert clock.due(6 * SECOND)


def test_a_new_rate_holds_from_the_next_frame() -> None:
    clock = SampleClock(0.1)
    assert clock.fps == 0.1
    assert looked_at(clock, [0, 1_000_000, 2_000_000]) == [0]
    clock.fps = 4.0
    assert clock.fps == 4.0
    times = [2_050_000 + n * 50_000 for n in range(20)]
    assert looked_at(clock, times) == [2_050_000, 2_250_000, 2_500_000, 2_750_000, 3_000_000]
    clock.fps = 1.0
    assert looked_at(clock, [3_050_000, 3_500_000, 3_950_000, 4_000_000]) == [3_050_000, 4_000_000]


def test_a_rate_beyond_every_source_takes_each_frame() -> None:
    times = [n * 1000 for n in range(100)]
    assert looked_at(SampleClock(1e9), times) == times
