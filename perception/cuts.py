"""Shot boundaries, from a sparse sample of every decoded frame: frames in, whether a shot begins out."""

from collections import deque

import av
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.int16]
Sample = list[Plane]

_GRID = (36, 64)
"""Luma points looked at: rows, columns."""
_HISTORY = 10
"""Frames whose differences say how much this shot moves by itself."""
_FLOOR = 2.0
"""Added to the shot's own movement, so that noise on a still picture is no cut (levels of 256)."""
_RATIO = 2.8
"""A cut differs this much more than the shot's own movement. Real clips: cuts >= 3.9, trains and waves <= 2.6."""
_LEAST = 24.0
"""The least difference of a cut, in levels of 256: luma plus twice each chroma plane."""


def sample_planes(frame: av.VideoFrame) -> Sample:
    """A sparse copy of the frame's planes; its shapes depend on the size and the pixel format alone.

    Reads the decoder's planes in place. A packed format gives its one plane.
    """
    return [_sample_plane(plane) for plane in frame.planes[:3]]


def _sample_plane(plane: av.video.plane.VideoPlane) -> Plane:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    step_y, step_x = max(1, plane.height // _GRID[0]), max(1, plane.width // _GRID[1])
    sample: Plane = rows[step_y // 2 :: step_y, step_x // 2 :: step_x].astype(np.int16)
    return sample


class CutDetector:
    """Says for each frame of one stream, in presentation order, whether a new shot begins with it.

    A frame begins a shot when it differs from the one before by much more than the frames of this shot have been
    differing from one another: a passing train raises its own bar.
    """

    def __init__(self) -> None:
        self._previous: Sample | None = None
        self._moves: deque[float] = deque(maxlen=_HISTORY)

    def is_cut(self, frame: av.VideoFrame) -> bool:
        """Look at the next frame; the first frame of all is no cut."""
        sample = sample_planes(frame)
        previous, self._previous = self._previous, sample
        if previous is None:
            return False
        if [plane.shape for plane in previous] != [plane.shape for plane in sample]:
            self._moves.clear()
            return True
        return self._judge(_difference(previous, sample))

    def _judge(self, difference: float) -> bool:
        # The second frame of a shot only tells how much the shot moves: else a fast pan would be one cut after another.
        if self._moves and difference > max(_LEAST, _RATIO * (float(np.median(self._moves)) + _FLOOR)):
            self._moves.clear()
            return True
        self._moves.append(difference)
        return False


def _difference(one: Sample, other: Sample) -> float:
    """Mean difference of the luma plane, plus twice that of each chroma plane, in levels of 256."""
    luma, *chroma = (float(np.abs(a - b).mean()) for a, b in zip(one, other, strict=True))
    return luma + 2.0 * sum(chroma)
