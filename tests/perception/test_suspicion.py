"""Pictures that damage may have reached: which are marked, and where trust begins again."""

import io
import random
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from evaluation.clips import moving_picture
from perception.decode import Picture, VideoDecoder
from perception.messages import Packet, Percept, PushSource
from perception.suspicion import Suspicion

FPS = 10
VISIBLE = 255**2 / 10**4
"""Mean square of an error of 40 dB."""
SECOND = 1_000_000


def shown(*, corrupt: bool = False, key: bool = False, rgb: NDArray[np.uint8] | None = None) -> Picture:
    frame: Any = av.VideoFrame(16, 16)
    frame.key_frame = key
    return Picture(frame, 0, rgb, corrupt)


def test_damage_lasts_until_a_whole_keyframe() -> None:
    suspicion = Suspicion()
    verdicts = [
        suspicion.suspects(one)
        for one in (
            shown(key=True),
            shown(),
            shown(corrupt=True),
            shown(),
            shown(key=True, corrupt=True),
            shown(),
            shown(key=True),
            shown(),
        )
    ]
    assert verdicts == [False, False, True, True, True, True, False, False]


def test_a_packet_that_is_lost_makes_what_follows_suspect() -> None:
    suspicion = Suspicion()
    assert not suspicion.suspects(shown(key=True))
    suspicion.damage()
    assert [suspicion.suspects(one) for one in (shown(), shown(key=True), shown())] == [True, False, False]


def test_an_image_stands_for_itself() -> None:
    suspicion = Suspicion()
    suspicion.damage()
    assert not suspicion.suspects(shown(rgb=np.zeros((16, 16, 3), np.uint8)))


# ---------------------------------------------------------------- with FFmpeg


def spoiled(units: list[bytes], share: float) -> list[bytes]:
    """This share of the bytes behind each unit's first start code is another one than was sent."""
    dice, found = random.Random(0), []
    for unit in units:
        data = bytearray(unit)
        for place in range(4, len(data)):
            if dice.random() < share:
                data[place] ^= dice.randrange(1, 256)
        found.append(bytes(data))
    return found


def shown_of(units: list[bytes]) -> dict[int, tuple[NDArray[np.float64], bool]]:
    """Luma and verdict of each picture, by the number of its unit."""
    decoder, suspicion = VideoDecoder("h264", b"", 10**6), Suspicion()
    found = {}
    for n, unit in enumerate(units):
        try:
            for one in decoder.decode(Packet("t/cam", 1, 0, "h264", unit, n, n, n)):
                luma = one.frame.to_ndarray()[: one.frame.height].astype(np.float64)
                found[one.pts_us or 0] = (luma, suspicion.suspects(one))
        except ValueError:
            suspicion.damage()
    return found


@pytest.mark.parametrize("share", [0.002, 0.0002])
def test_nearly_all_that_is_seen_to_be_damaged_in_h264_is_marked(encoded: Any, share: float) -> None:
    pictures = [moving_picture(320, 180, n / FPS, 0) for n in range(10 * FPS)]
    units = encoded("libx264", pictures, FPS, g=str(FPS), tune="psnr", bf="0")
    whole, harmed = shown_of(units), shown_of(spoiled(units, share))
    damaged = {n for n, (luma, _) in harmed.items() if np.mean((luma - whole[n][0]) ** 2) > VISIBLE}
    marked = {n for n, (_, suspect) in harmed.items() if suspect}
    assert len(damaged) >= 5
    assert len(damaged & marked) >= 0.9 * len(damaged)
    assert not any(suspect for _, suspect in whole.values())


# ---------------------------------------------------------------- through the stage


def picture(n: int) -> NDArray[np.uint8]:
    """A textured scene in which something moves."""
    rgb: NDArray[np.uint8] = np.random.default_rng(1).integers(60, 180, (96, 160, 3), np.uint8)
    rgb[20:60, n * 3 % 120 :][:, :30] = (220, 40, 60)
    return rgb


def overwritten(unit: bytes) -> bytes:
    """The same unit with its middle gone wrong."""
    middle = len(unit) // 2
    return unit[:middle] + bytes(255 - byte or 1 for byte in unit[middle : middle + 40]) + unit[middle + 40 :]


def perceived(bench: Any, units: list[bytes], **marks: Any) -> tuple[list[Percept], Any]:
    bench.open(PushSource("fast"))
    bench.start()
    for n, unit in enumerate(units):
        bench.send("h264", unit, n * SECOND // FPS, **(marks if n == 13 else {}))
    outputs = bench.run()
    return [one for one in outputs if isinstance(one, Percept)], bench.status(outputs)


def comment(jpeg: bytes) -> Any:
    return Pillow.open(io.BytesIO(jpeg)).info.get("comment")


@pytest.fixture
def units(encoded: Any) -> list[bytes]:
    """Three seconds, a keyframe each, one slice a picture."""
    found: list[bytes] = encoded("libx264", [picture(n) for n in range(3 * FPS)], FPS, g=str(FPS), tune="psnr", bf="0")
    return found


@pytest.mark.parametrize("how", ["spoiled", "refused", "marked"])
def test_pictures_behind_a_damaged_unit_are_marked_up_to_the_next_keyframe(
    bench: Any, units: list[bytes], how: str
) -> None:
    marks = {"corrupt": True} if how == "marked" else {}
    if how != "marked":
        units[13] = overwritten(units[13]) if how == "spoiled" else b""
    percepts, status = perceived(bench, units, **marks)
    suspect = [one.media_us for one in percepts if one.suspect]
    assert suspect == [1_500_000]
    assert [one.media_us for one in percepts if comment(one.jpeg) == b"suspect"] == suspect
    assert [one.cut for one in percepts if one.suspect] == [False]
    assert status.suspect == (6 if how == "refused" else 7)


def test_nothing_of_a_whole_video_is_suspect(bench: Any, units: list[bytes]) -> None:
    percepts, status = perceived(bench, units)
    assert len(percepts) >= 6
    assert {one.suspect for one in percepts} == {False}
    assert {comment(one.jpeg) for one in percepts} == {None}
    assert status.suspect == 0


def test_a_suspect_picture_of_a_scene_that_stands_is_replaced_by_a_whole_one(bench: Any, encoded: Any) -> None:
    still = [picture(0)] * (3 * FPS)
    units = encoded("libx264", still, FPS, g=str(FPS), tune="psnr", bf="0")
    units[0] = overwritten(units[0])
    percepts, _ = perceived(bench, units)
    assert [(one.media_us, one.suspect) for one in percepts] == [(0, True), (500_000, True), (SECOND, False)]
