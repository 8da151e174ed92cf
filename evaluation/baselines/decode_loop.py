"""The least that reading a video can cost: PyAV's documented loop, nothing done with the frames."""

import time
from pathlib import Path

import av


def decode_s(path: Path) -> tuple[float, int]:
    """Seconds to decode the whole file, and its frames. Threads are PyAV's default, which perception uses too."""
    began = time.perf_counter()
    frames = 0
    with av.open(str(path)) as container:
        for _ in container.decode(video=0):
            frames += 1
    return time.perf_counter() - began, frames
