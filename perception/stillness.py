"""Tells a camera that has frozen from one that watches a scene where nothing happens."""

import zlib
from collections import deque
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

FROZEN_US: Final = 10_000_000
"""The picture has stood for so long: the camera has frozen."""
_APART_US: Final = 900_000
"""Keyframes nearer than this may show one and the same frame of a slow source."""
_SETTLING_US: Final = 2_000_000
"""After a keyframe an encoder goes on refining a picture that stands."""
_LEAST_REPEATS: Final = 5
"""Samples outside of those times that have to repeat the one before."""
_REMEMBERED: Final = 3
"""A proof counts for so many keyframes: the encoder may have changed its quality for one of them."""


class StillnessDetector:
    """Judges by what noise cannot do. Frames of one live stream in order in; whether it has frozen out.

    A sensor's noise makes each keyframe another one, in some pixel at least, and each sample too, if not each frame. A
    picture that stands is encoded to the same keyframe again once the encoder's quality has settled; long before that,
    frames repeat the one before to the last bit, but for some time after each keyframe. Measured with x264 at crf 23:
    neither the levels of the differences nor the sizes of packets tell noise of sigma 1 from quality that is settling.
    """

    def __init__(self) -> None:
        self._static_since_us: int | None = None
        self._repeats_since_us: int | None = None
        self._repeats = 0
        self._sample: int | None = None
        self._keyframe: int | None = None
        self._compared_at_us = 0
        self._keyframe_at_us = -_SETTLING_US
        self._proofs: deque[bool] = deque(maxlen=_REMEMBERED)

    def keyframe(self, frame: av.VideoFrame, arrival_us: int) -> None:
        """A frame that was encoded without regard to others."""
        self._keyframe_at_us = arrival_us
        if self._keyframe is not None and arrival_us - self._compared_at_us < _APART_US:
            return
        before, self._keyframe, self._compared_at_us = self._keyframe, _fingerprint(frame), arrival_us
        if before is not None:
            self._proofs.append(self._keyframe == before)

    def is_frozen(self, frame: av.VideoFrame, arrival_us: int, *, changed: bool) -> bool:
        """Look at a sample. changed: it shows something new."""
        self._static_since_us = None if changed else _since(self._static_since_us, arrival_us)
        before, self._sample = self._sample, _fingerprint(frame)
        if changed or arrival_us - self._keyframe_at_us > _SETTLING_US:
            self._count(arrival_us, repeats=self._sample == before)
        repeats = self._repeats >= _LEAST_REPEATS and _lasts(self._repeats_since_us, arrival_us)
        return repeats or (any(self._proofs) and _lasts(self._static_since_us, arrival_us))

    def _count(self, arrival_us: int, *, repeats: bool) -> None:
        self._repeats = self._repeats + 1 if repeats else 0
        self._repeats_since_us = _since(self._repeats_since_us, arrival_us) if repeats else None


def _since(since_us: int | None, now_us: int) -> int:
    return now_us if since_us is None else since_us


def _lasts(since_us: int | None, arrival_us: int) -> bool:
    return since_us is not None and arrival_us - since_us >= FROZEN_US


def _fingerprint(frame: av.VideoFrame) -> int:
    """Of the first plane: luma, or the colours of a packed format."""
    plane = frame.planes[0]
    shape, strides = (plane.height, plane.width), (plane.line_size, 1)
    rows: NDArray[np.uint8] = np.ndarray(shape, np.uint8, memoryview(plane), 0, strides)
    return zlib.crc32(np.ascontiguousarray(rows).data)
