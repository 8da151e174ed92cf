"""Where a file ends: complete ones of every kind end without a fault, those that are cut off with one."""

from fractions import Fraction
from pathlib import Path

import pytest
from reading import read
from writing import add_sound, write_video


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "wmv", "flv", "ts"])
def test_few_frames_far_apart_are_a_whole_file(tmp_path: Path, suffix: str) -> None:
    codec = "wmv2" if suffix == "wmv" else "libx264"
    packets, end, _ = read(write_video(tmp_path / f"slow.{suffix}", 4, Fraction(1, 5), codec))
    assert (len(packets), end.fault) == (4, None)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_second_language_may_be_longer(tmp_path: Path, suffix: str) -> None:
    video = write_video(tmp_path / "video.mp4", 20)
    path = add_sound(video, tmp_path / f"two.{suffix}", 2.0, tracks=2, seconds_of_last=9.0)
    _, end, _ = read(path)
    assert end.fault is None


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_may_be_longer(tmp_path: Path, suffix: str) -> None:
    path = add_sound(write_video(tmp_path / "video.mp4", 20), tmp_path / f"one.{suffix}", 9.0)
    packets, end, _ = read(path)
    assert end.fault is None
    assert max(packet.pts_us or 0 for packet in packets if packet.codec == "aac") > 8_500_000


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_file_of_few_frames_that_is_cut_off_is_told(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"slow.{suffix}", 12, Fraction(1, 5), bf="0", g="1")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    packets, end, _ = read(path)
    assert 0 < len(packets) < 10
    assert end.fault is not None
    assert end.fault.code == "source_truncated"


def test_a_file_that_is_resumed_at_its_end_is_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", 50)
    for resume_us in (4_900_000, 5_000_000):
        _, end, _ = read(path, resume_us=resume_us)
        assert end.fault is None
