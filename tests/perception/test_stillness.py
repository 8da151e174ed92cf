"""Frozen cameras: told from a scene where nothing happens, through real encoders."""

from typing import Any

import av
import numpy as np
import pytest

from evaluation.clips import moving_picture
from perception.messages import PushSource, StreamStatus
from perception.stillness import StillnessDetector

SECOND = 1_000_000
WIDTH, HEIGHT, FPS = 192, 108, 10


def scene() -> Any:
    return moving_picture(WIDTH, HEIGHT, 0.0, 1).astype(np.int16)


def grainy(sigma: float, dice: np.random.Generator) -> Any:
    return np.clip(np.rint(scene() + dice.normal(0, sigma, (HEIGHT, WIDTH, 1))), 0, 255).astype(np.uint8)


def states(bench: Any, units: list[bytes], codec: str = "h264") -> list[tuple[int, str]]:
    """What is told of a camera that sends these, and when."""
    bench.open(PushSource("real"))
    bench.start()
    told = []
    for n, unit in enumerate(units):
        at_us = bench.now_us = n * SECOND // FPS
        bench.send(codec, unit, at_us)
        while bench.stage.has_work():
            told += [(at_us, one.state) for one in bench.stage.step() if isinstance(one, StreamStatus)]
    return told


QUALITY = {"crf": "23", "tune": "psnr", "bf": "0"}


@pytest.mark.parametrize("gop", [10, 25, 50, 300])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_a_picture_that_stands_is_told_within_fifteen_seconds(bench: Any, encoded: Any, gop: int, sigma: float) -> None:
    picture = grainy(sigma, np.random.default_rng(0))
    told = states(bench, encoded("libx264", [picture] * 17 * FPS, fps=FPS, g=str(gop), **QUALITY))
    frozen = [at_us for at_us, state in told if state == "frozen"]
    assert frozen
    assert 10 * SECOND <= frozen[0] <= 15 * SECOND
    assert told[-1][1] == "frozen"


@pytest.mark.parametrize("gop", [10, 50])
@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_a_scene_where_nothing_happens_is_not_frozen(bench: Any, encoded: Any, gop: int, sigma: float) -> None:
    dice = np.random.default_rng(0)
    pictures = [grainy(sigma, dice) for _ in range(25 * FPS)]
    told = states(bench, encoded("libx264", pictures, fps=FPS, g=str(gop), **QUALITY))
    assert {state for _, state in told} <= {"connecting", "live"}


def test_a_camera_that_sees_again_is_live_again(bench: Any, encoded: Any) -> None:
    dice = np.random.default_rng(0)
    still = [grainy(2.0, dice)] * 15 * FPS
    moving = [moving_picture(WIDTH, HEIGHT, 5 + n / FPS, 1) for n in range(2 * FPS)]
    told = states(bench, encoded("libx264", still + moving, fps=FPS, g="10", **QUALITY))
    assert "frozen" in [state for _, state in told]
    assert told[-1][1] == "live"


# ---------------------------------------------------------------- rules


def grey(level: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((36, 64), level, np.uint8), format="gray")


def frozen_at(keyframes: list[int], samples: list[int], changes: tuple[int, ...] = ()) -> list[int]:
    """At which seconds a camera is found frozen that gives a keyframe and a sample of these levels each second."""
    detector, found = StillnessDetector(), []
    for n, (key, sample) in enumerate(zip(keyframes, samples, strict=True)):
        detector.keyframe(grey(key), n * SECOND)
        if detector.is_frozen(grey(sample), n * SECOND, changed=n in changes):
            found.append(n)
    return found


def test_equal_keyframes_of_a_static_scene_are_proof() -> None:
    assert frozen_at([9] * 12, list(range(12))) == [10, 11]


def test_a_change_begins_the_wait_anew() -> None:
    assert frozen_at([9] * 20, list(range(20)), changes=(5,)) == [16, 17, 18, 19]


def test_a_proof_is_forgotten_once_three_keyframes_differ() -> None:
    assert frozen_at([9] * 12 + list(range(100, 108)), list(range(20))) == [10, 11, 12, 13]


def test_samples_that_repeat_are_enough_where_keyframes_are_rare() -> None:
    detector, found = StillnessDetector(), []
    for n in range(40):
        at_us = n * SECOND // 2
        if n == 14:
            detector.keyframe(grey(50), at_us)
        # The encoder refines its first pictures, and those after the keyframe; else each is the one before.
        level = min(n, 5) if n < 14 else min(n, 17)
        if detector.is_frozen(grey(level), at_us, changed=False):
            found.append(n)
    assert found[0] == 26
    assert found == list(range(26, 40))


def test_a_sample_that_differs_long_after_a_keyframe_begins_the_wait_anew() -> None:
    detector, found = StillnessDetector(), []
    for n in range(50):
        if detector.is_frozen(grey(1 if n < 20 else 2), n * SECOND // 2, changed=False):
            found.append(n)
    assert found == list(range(41, 50))


def test_repeats_that_were_not_seen_do_not_count() -> None:
    """A keyframe each second leaves no time in which a sample could tell."""
    assert frozen_at(list(range(30)), [n // 3 for n in range(30)]) == []


def test_a_frame_that_is_shown_twice_is_no_proof() -> None:
    """A slow source in a fast video of keyframes: each frame comes several times, and no two of them are the same."""
    detector = StillnessDetector()
    for n in range(400):
        frame, at_us = grey(n // 8 % 200), n * SECOND // 10
        detector.keyframe(frame, at_us)
        assert n % 5 or not detector.is_frozen(frame, at_us, changed=False)
