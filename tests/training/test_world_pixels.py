"""What the script says is in the pixels, rendered and H.264-decoded: told by a small oracle that sees pixels alone."""

import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from training.world import (
    COLOURS,
    PRESETS,
    SECOND,
    SHAPES,
    Cut,
    Entered,
    Left,
    Script,
    SignShown,
    Spoke,
    Thing,
    World,
    frame,
    frame_times,
    frames,
    write_video,
)
from training.world_script import Appeared

Picture = NDArray[np.uint8]
HUES = {"red": 0, "yellow": 53, "green": 132, "cyan": 184, "blue": 229, "pink": 317}


# ---------------------------------------------------------------- the oracle


@dataclass(frozen=True)
class Seen:
    """What the oracle makes of one place."""

    colour: str
    shape: str


def look(picture: Picture) -> dict[int, Seen]:
    """What rests at each place of a picture, "sign" for a sign."""
    height, width = picture.shape[:2]
    ground = float(np.median(picture))
    found = {}
    for place in range(9):
        top, left = place // 3 * height // 3, place % 3 * width // 3
        seen = _look_at(picture[top : top + height // 3, left : left + width // 3].astype(np.float64), ground)
        if seen is not None:
            found[place] = seen
    return found


def _look_at(cell: NDArray[np.float64], ground: float) -> Seen | None:
    high, low = cell.max(axis=-1), cell.min(axis=-1)
    masks = {
        "coloured": (high - low > 0.5 * high) & (high > 0.4 * ground),
        "white": (low > 1.3 * ground) & (high - low < 0.25 * high),
        "black": (high < 0.45 * ground) & (high - low < 0.5 * np.maximum(high, 40)),
    }
    kind = max(masks, key=lambda name: int(masks[name].sum()) * (2 if name == "coloured" else 1))
    mask = masks[kind]
    if mask.sum() < 0.05 * min(mask.shape) ** 2:
        return None
    if kind == "white" and np.ptp(np.flatnonzero(mask.any(axis=0))) > 0.9 * mask.shape[1]:
        return Seen("white", "sign")
    return Seen(_nearest_hue(cell[mask]) if kind == "coloured" else kind, _shape_of(mask))


def _nearest_hue(pixels: NDArray[np.float64]) -> str:
    red, green, blue = np.median(pixels, axis=0)
    hue = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    return min(HUES, key=lambda name: abs((hue - HUES[name] + 180) % 360 - 180))


def _shape_of(mask: NDArray[np.bool_]) -> str:
    rows, columns = np.flatnonzero(mask.sum(axis=1) > 1), np.flatnonzero(mask.sum(axis=0) > 1)
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = inside.shape
    middle = inside[height * 2 // 5 : height * 3 // 5 + 1, width * 2 // 5 : width * 3 // 5 + 1].mean()
    filled, upper = inside.mean(), inside[: height // 2].sum() / max(1, inside.sum())
    if middle < 0.4:
        return "ring"
    if filled > 0.9:
        return "square"
    if filled > 0.69:
        return "circle"
    if upper < 0.33:
        return "triangle"
    return "cross" if filled > 0.47 else "star"


def expected(script: Script, at_us: int) -> dict[int, Seen] | None:
    """What rests where; None while something moves or within a frame of a change."""
    scene = script.scene(at_us)
    truth = {}
    for visit in scene.present(at_us):
        leg = visit.leg(at_us)
        if leg.direction is not None:
            return None
        truth[leg.origin.place] = Seen(visit.thing.colour, visit.thing.shape)
    sign = scene.sign(at_us)
    if sign is not None:
        truth[sign.place] = Seen("white", "sign")
    return truth


# ---------------------------------------------------------------- what the script says is there


@pytest.mark.parametrize("size", [(320, 320), (480, 360), (320, 180), (180, 320)])
def test_the_oracle_sees_in_rendered_frames_what_the_script_says(size: tuple[int, int]) -> None:
    checked = 0
    for seed in range(6):
        script = World(seed, PRESETS["many"]).script()
        for at_us in range(SECOND // 2, script.duration_us, SECOND):
            truth = expected(script, at_us)
            if truth is not None:
                assert look(frame(script, at_us, *size)) == truth, (seed, at_us)
                checked += 1
    assert checked > 60


def test_colours_and_places_are_told_at_the_smallest_size() -> None:
    def colours(seen: dict[int, Seen]) -> dict[int, str]:
        return {place: one.colour for place, one in seen.items()}

    for seed in range(6):
        script = World(seed, PRESETS["many"]).script()
        for at_us in range(SECOND // 2, script.duration_us, SECOND):
            truth = expected(script, at_us)
            if truth is not None:
                assert colours(look(frame(script, at_us, 96, 96))) == colours(truth), (seed, at_us)


@pytest.mark.parametrize("room", ["plain", "stripes", "planks", "tiles", "slope", "mist"])
@pytest.mark.parametrize("light", [0.5, 0.75, 1.0])
def test_every_look_is_told_from_every_other_in_every_room(room: str, light: float) -> None:
    for colour in COLOURS:
        things = [Appeared(0, 0, Thing(n, colour, shape, 0.8), n) for n, shape in enumerate(SHAPES)]
        script = Script(1, SECOND, (Cut(0, 0, room, light), *things), 2.5)
        truth = {n: Seen(colour, shape) for n, shape in enumerate(SHAPES)}
        assert look(frame(script, 0, 320, 320)) == truth


@pytest.mark.parametrize("crf", [18, 28, 35])
def test_the_oracle_sees_it_in_the_decoded_video(tmp_path: Path, crf: int) -> None:
    script = World(11).script()
    path = write_video(script, tmp_path / "world.mp4", 320, 240, fps=10, crf=crf)
    right = checked = 0
    for at_us, picture in decoded(path):
        truth = expected(script, at_us)
        if at_us % (SECOND // 2) == 0 and truth is not None:
            checked += 1
            right += look(picture) == truth
    assert checked > 20
    assert right / checked >= 0.99


def test_video_frames_are_the_rendered_ones_at_their_times(tmp_path: Path) -> None:
    script = World(12).script(12)
    path = write_video(script, tmp_path / "world.mp4", 160, 120, fps=12, crf=18)
    shown = list(decoded(path))
    assert [at_us for at_us, _ in shown] == list(frame_times(script.duration_us, 12))
    for (_, picture), drawn in zip(shown, frames(script, 160, 120, 12), strict=True):
        error = np.mean((picture.astype(np.float64) - drawn) ** 2)
        assert 10 * np.log10(255**2 / error) > 28


def test_a_thing_is_visible_from_the_moment_it_enters_to_the_moment_it_has_left() -> None:
    thing = Thing(1, "red", "square", 0.8)
    empty = Script(1, 9 * SECOND, (Cut(0, 0, "plain", 1.0),))
    for size in ((96, 96), (480, 270), (270, 480)):
        pixel_us = SECOND // 20
        events = (Cut(0, 0, "plain", 1.0), Entered(SECOND, 3 * SECOND, thing, 4, "right"),
                  Left(5 * SECOND, 7 * SECOND, thing, 4, "down"))  # fmt: skip
        script = Script(1, 9 * SECOND, events)

        def visible(at_us: int, script: Script = script, size: tuple[int, int] = size) -> bool:
            return not np.array_equal(frame(script, at_us, *size), frame(empty, at_us, *size))

        assert not visible(SECOND - 1)
        assert visible(SECOND + pixel_us)
        assert visible(7 * SECOND - pixel_us)
        assert not visible(7 * SECOND)


def test_motion_goes_the_way_the_script_says() -> None:
    thing = Thing(1, "blue", "circle", 0.8)
    for direction, axis, sign in (("right", 1, 1), ("left", 1, -1), ("down", 0, 1), ("up", 0, -1)):
        script = Script(1, 5 * SECOND, (Cut(0, 0, "tiles", 0.9), Left(SECOND, 3 * SECOND, thing, 4, direction)), 2.5)
        places = []
        for at_us in (SECOND, 3 * SECOND // 2):
            picture = frame(script, at_us, 320, 240).astype(np.int16)
            blue = picture[..., 2] - picture[..., :2].max(axis=-1) > 60
            places.append(np.argwhere(blue).mean(axis=0))
        moved = places[1] - places[0]
        assert moved[axis] * sign > 10
        assert abs(moved[1 - axis]) < 2


def test_a_sign_shows_its_own_digits_through_compression(tmp_path: Path) -> None:
    def hanging(text: str) -> Script:
        return Script(1, 2 * SECOND, (Cut(0, 0, "stripes", 0.9), SignShown(0, 2 * SECOND, text, 4)), 2.5)

    for text in ("307", "841", "256", "990"):
        path = write_video(hanging(text), tmp_path / f"{text}.mp4", 192, 192, crf=30, sound=None)
        picture = list(decoded(path))[-1][1].astype(np.float64)
        others = [text[:n] + digit + text[n + 1 :] for n in range(3) for digit in "0123456789"]
        errors = {other: np.abs(picture - frame(hanging(other), 0, 192, 192)).mean() for other in others}
        assert min(errors, key=lambda other: errors[other]) == text


# ---------------------------------------------------------------- determinism, speed, sound


def test_the_same_seed_gives_the_same_bytes() -> None:
    script = World(9).script(6)
    once = [picture.tobytes() for picture in frames(script, 96, 96, 8)]
    for _ in frames(World(10).script(3), 96, 96, 8):
        pass
    assert [picture.tobytes() for picture in frames(World(9).script(6), 96, 96, 8)] == once
    assert len(set(once)) == len(once)


def test_any_frame_can_be_drawn_by_itself() -> None:
    script = World(9).script(6)
    for at_us, picture in zip(frame_times(script.duration_us, 5), frames(script, 128, 96, 5), strict=True):
        np.testing.assert_array_equal(frame(script, at_us, 128, 96), picture)


def test_noise_stays_within_its_bounds_in_the_dark() -> None:
    script = World(2, replace(PRESETS["dark"], noise=8.0)).script(4)
    clean = replace(script, noise=0.0)
    for noisy, plain in zip(frames(script, 96, 96, 4), frames(clean, 96, 96, 4), strict=True):
        difference = noisy.astype(np.int16) - plain
        assert np.abs(difference).max() <= 12
        assert 4 < difference.std() < 8


def test_rendering_is_fast(capsys: pytest.CaptureFixture[str]) -> None:
    script = World(1).script(10)
    rates = {}
    for width, height in ((96, 96), (320, 320)):
        began = time.thread_time()
        count = sum(1 for _ in frames(script, width, height, 15))
        rates[f"{width}x{height}"] = count / (time.thread_time() - began)
    with capsys.disabled():
        print("  rendering:", ", ".join(f"{size} {rate:.0f} frames/s" for size, rate in rates.items()))
    assert min(rates.values()) > 100


@pytest.mark.parametrize(("codec", "ending"), [("aac", "mp4"), ("pcm_s16le", "mkv"), ("pcm_s16le", "mov")])
def test_the_sound_track_is_on_the_script_s_clock(tmp_path: Path, codec: str, ending: str) -> None:
    script = World(2).script(12)
    path = write_video(script, tmp_path / f"world.{ending}", 96, 96, sound=codec)
    resampler = av.AudioResampler("flt", "mono", 16_000)
    loud_us = []
    with av.open(str(path)) as container:
        for decoded_frame in container.decode(audio=0):
            for piece in resampler.resample(decoded_frame):
                start_us = round(float(cast(int, decoded_frame.pts) * cast(Fraction, decoded_frame.time_base)) * SECOND)
                samples = piece.to_ndarray().ravel()
                loud_us += [start_us + n * SECOND // 16_000 for n in np.flatnonzero(np.abs(samples) > 0.05)]
    sounds = [event for event in script.events if not isinstance(event, SignShown) and hasattr(event, "hertz")]
    sounds += [event for event in script.events if isinstance(event, Spoke)]
    first_us = min(event.start_us for event in sounds)
    assert abs(loud_us[0] - first_us) < 70_000


def test_a_video_may_be_mute(tmp_path: Path) -> None:
    path = write_video(World(2).script(3), tmp_path / "world.mp4", 96, 96, sound=None)
    with av.open(str(path)) as container:
        assert not container.streams.audio


def decoded(path: Path) -> list[tuple[int, Picture]]:
    """Frames with their times in microseconds from the first."""
    found: list[tuple[int, Picture]] = []
    first_us = 0
    with av.open(str(path)) as container:
        for number, shown in enumerate(container.decode(video=0)):
            at_us = round(cast(int, shown.pts) * cast(Fraction, shown.time_base) * SECOND)
            first_us = at_us if number == 0 else first_us
            found.append((at_us - first_us, shown.to_ndarray(format="rgb24")))
    return found
