"""Shot boundaries, from a sparse sample of every decoded frame: frames in, whether a shot begins out."""

from collections import deque
from dataclasses import dataclass
from statistics import median

import av
import numpy as np
from numpy.typing import NDArray

Sample = NDArray[np.int16]

_LUMA, _CHROMA = (36, 64), (36, 64)
"""Points looked at in a plane: rows, columns."""
_HISTORY = 10
"""Frames whose differences say how much this shot moves by itself."""
_FLOOR = 2.0
"""Added to the shot's own movement, so that noise on a still picture is no cut (levels of 256)."""
_RATIO = 2.8
"""A cut differs this much more than the shot's own movement. Real clips: cuts >= 3.9, trains and waves <= 2.6."""
_LEAST = 24.0
"""The least difference of a cut, in levels of 256: luma plus twice each chroma plane."""


@dataclass(frozen=True)
class _Grid:
    """Where a plane is looked at: the middle of each cell."""

    shape: tuple[int, int]
    offset: int
    strides: tuple[int, int]


class Sampler:
    """Copies a few thousand points out of the decoder's planes, luma and chroma, in place and without a loop."""

    def __init__(self, frame: av.VideoFrame) -> None:
        planes = frame.planes[:3]
        self.layout = _layout(frame)
        self._grids = [_grid(plane, _LUMA if n == 0 else _CHROMA) for n, plane in enumerate(planes)]
        sizes = [rows * columns for rows, columns in (grid.shape for grid in self._grids)]
        self.starts = [sum(sizes[:n]) for n in range(len(sizes))]
        self.weights = np.array([(1.0 if n == 0 else 2.0) / size for n, size in enumerate(sizes)])
        """Luma counts once, each chroma plane twice; a packed format has one plane."""
        self._total = sum(sizes)

    def sample(self, frame: av.VideoFrame) -> Sample:
        """[points] levels of 256."""
        points: Sample = np.empty(self._total, np.int16)
        for start, grid, plane in zip(self.starts, self._grids, frame.planes, strict=False):
            rows, columns = grid.shape
            seen: NDArray[np.uint8] = np.ndarray(grid.shape, np.uint8, memoryview(plane), grid.offset, grid.strides)
            points[start : start + rows * columns].reshape(grid.shape)[...] = seen
        return points


def _layout(frame: av.VideoFrame) -> tuple[object, ...]:
    return (frame.width, frame.height, frame.format.name, *(plane.line_size for plane in frame.planes[:3]))


def _grid(plane: av.video.plane.VideoPlane, most: tuple[int, int]) -> _Grid:
    down, across = max(1, plane.height // most[0]), max(1, plane.width // most[1])
    shape = (min(most[0], plane.height), min(most[1], plane.width))
    return _Grid(shape, down // 2 * plane.line_size + across // 2, (down * plane.line_size, across))


class CutDetector:
    """Says for each frame of one stream, in presentation order, whether a new shot begins with it.

    A frame begins a shot when it differs from the one before by much more than the frames of this shot have been
    differing from one another: a passing train raises its own bar.
    """

    def __init__(self) -> None:
        self._sampler: Sampler | None = None
        self._previous: Sample | None = None
        self._moves: deque[float] = deque(maxlen=_HISTORY)

    def is_cut(self, frame: av.VideoFrame) -> bool:
        """Look at the next frame; the first frame of all is no cut."""
        sampler, previous = self._sampler, self._previous
        if sampler is None or sampler.layout != _layout(frame):
            self._sampler = Sampler(frame)
            self._previous = self._sampler.sample(frame)
            self._moves.clear()
            return previous is not None
        sample = self._previous = sampler.sample(frame)
        if previous is None:
            return False
        away = sample - previous
        np.abs(away, out=away)
        sums = np.add.reduceat(away, sampler.starts, dtype=np.int32)
        return self._judge(float(sums @ sampler.weights))

    def _judge(self, difference: float) -> bool:
        # The second frame of a shot only tells how much the shot moves: else a fast pan would be one cut after another.
        if self._moves and difference > max(_LEAST, _RATIO * (median(self._moves) + _FLOOR)):
            self._moves.clear()
            return True
        self._moves.append(difference)
        return False
