"""Videos as messages: what may go as it is, what must be decoded first, and what is no video."""

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from evaluation.ovo.video import Video, VideoInvalid, find_video


def write(path: Path, frames: int = 40, fps: int = 10, bf: int = 0, codec: str = "libx264") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if codec == "libx264":
            stream.options = {"bf": str(bf), "b-adapt": "0", "g": "20"}
        for n in range(frames):
            picture = np.full((48, 64, 3), 6 * n % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_ordered_pictures_go_as_they_are(tmp_path: Path) -> None:
    video = Video(write(tmp_path / "a.mp4"), fps=2)
    units = list(video.units())
    assert video.codec == "h264"
    assert [unit.at_us for unit in units] == [100_000 * n for n in range(40)]
    assert all(unit.data.startswith((b"\0\0\0\1", b"\0\0\1")) for unit in units)
    assert [unit.data for unit in video.units()] == [unit.data for unit in units]


@pytest.mark.parametrize("name", ["reordered.mp4", "old.avi"])
def test_others_are_decoded_at_some_frames_a_second(tmp_path: Path, name: str) -> None:
    reordered = name == "reordered.mp4"
    path = write(tmp_path / name, bf=2) if reordered else write(tmp_path / name, codec="mpeg4")
    video = Video(path, fps=2)
    units = list(video.units())
    assert video.codec == "jpeg"
    assert [unit.at_us for unit in units] == [500_000 * n for n in range(8)]
    shown = [int(np.asarray(Image.open(io.BytesIO(unit.data))).mean()) for unit in units]
    assert all(one < two for one, two in pairwise(shown))


def test_what_is_missing_or_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name, code in (("missing.mp4", "video_missing"), ("text.mp4", "video_invalid")):
        with pytest.raises(VideoInvalid) as refused:
            Video(tmp_path / name, fps=2)
        assert refused.value.code == code


def test_another_container_of_the_same_name_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv")
    assert find_video(tmp_path, "a.mp4").name == "a.mkv"
    assert find_video(tmp_path, "b.mp4").name == "b.mp4"
