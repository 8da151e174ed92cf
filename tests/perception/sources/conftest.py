"""Two clips for the tests of sources."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from evaluation.clips import moving_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: Any) -> Path:
    """Four seconds with a keyframe each second."""
    return moving_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 4.0, fps=10, size=(320, 180))


@pytest.fixture(scope="module")
def talkie(tmp_path_factory: Any) -> Path:
    """Two seconds of picture and AAC sound."""
    path = tmp_path_factory.mktemp("talkie") / "talkie.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"preset": "veryfast", "bf": "0"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio: Any = container.add_stream("aac", rate=48_000, layout="stereo")
        rng = np.random.default_rng(0)
        for n in range(20):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (180, 320, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            container.mux(video.encode(frame))
            tone = np.tile(np.sin(np.arange(4800) * 0.06).astype(np.float32) / 2, (2, 1))
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48_000, n * 4800, Fraction(1, 48_000)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path
