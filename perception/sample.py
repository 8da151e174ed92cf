"""Which frames are worth encoding: frames in; `look` (time for a sample?) and `changed` (something new?) out."""

from typing import Final

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

Signature = NDArray[np.int16]

_COLUMNS, _ROWS = 64, 36
_LEAST_LEVELS: Final = 5.0
"""A cell that differs by less is the same, whatever the noise."""
_SIGMAS: Final = 5.0
_MAD_TO_SIGMA: Final = 1.4826
_MOST_NOISE: Final = 3.0
"""More than any sensor leaves in a cell's mean: what moves the median further is a movement, not noise."""


class Signer:
    """Makes a frame's signature: its cells' mean colours. Averaging leaves little of the sensor's noise."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def sign(self, frame: av.VideoFrame) -> Signature:
        """[3, 36, 64] levels: luma and both chroma planes."""
        small = self._reformatter.reformat(frame, _COLUMNS, _ROWS, "yuv444p", interpolation=Interpolation.AREA)
        return small.to_ndarray().astype(np.int16)


class ChangeDetector:
    """Compares samples with the last encoded one, so that slow drift adds up until it is seen.

    The bar of a cell follows the noise of this camera: the median difference from sample to sample, of which a new
    object moves only a few cells.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._encoded: Signature | None = None
        self._previous: Signature | None = None

    def changed(self, signature: Signature) -> bool:
        """Whether the sample shows something that the last encoded one does not."""
        previous, self._previous = self._previous, signature
        encoded = self._encoded
        if encoded is None or previous is None:
            return True
        noise = min(_MOST_NOISE, float(np.median(np.abs(signature - previous))) * _MAD_TO_SIGMA)
        moved = np.abs(signature - encoded).max(axis=0) > max(_LEAST_LEVELS, _SIGMAS * noise)
        return bool(moved.mean() >= self._share)

    def encoded(self, signature: Signature) -> None:
        """This sample is encoded: later ones are compared with it."""
        self._encoded = signature

    def reset(self) -> None:
        """What follows is another picture."""
        self._encoded = self._previous = None


class SampleClock:
    """Says when the next sample is due: a steady grid of media time."""

    def __init__(self, fps: float) -> None:
        self._next_us = 0
        self._period_us = 0
        self.fps = fps

    @property
    def fps(self) -> float:
        """Samples per second of media time."""
        return self._fps

    @fps.setter
    def fps(self, fps: float) -> None:
        self._fps = fps
        self._period_us = max(1, round(1_000_000 / fps))
        self._next_us = 0

    def due(self, media_us: int) -> bool:
        """Whether a frame of this time is to be looked at."""
        if media_us < self._next_us:
            return False
        self._next_us = media_us - media_us % self._period_us + self._period_us
        return True
