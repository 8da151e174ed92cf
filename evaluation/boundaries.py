"""Compares what the server stored with the video that it was shown: boundaries between shots, evidence frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from evaluation.clips import Picture, decoded
from evaluation.stats import median

Thumb = NDArray[np.float32]
TOLERANCE_US = 1_000_000
_THUMB = (64, 36)


@dataclass(frozen=True)
class Matched:
    """Boundaries: how many there are, how many were found, how many of them stand for one that is there."""

    true: int
    found: int
    right: int


def match(true_us: Sequence[int], found_us: Sequence[int], tolerance_us: int = TOLERANCE_US) -> Matched:
    """Pair each true boundary with at most one found within the tolerance, in order of time."""
    rest = sorted(found_us)
    right = 0
    for cut in sorted(true_us):
        near = next((one for one in rest if abs(one - cut) <= tolerance_us), None)
        if near is not None:
            rest.remove(near)
            right += 1
    return Matched(len(true_us), len(found_us), right)


def event_boundaries(spans_us: Sequence[tuple[int, int]], max_event_us: int) -> list[int]:
    """The starts of all events but the first, without those where the event before was as long as events may be."""
    ordered = sorted(spans_us)
    return [start for (begun, _), (start, _) in pairwise(ordered) if start - begun < max_event_us - TOLERANCE_US // 2]


@dataclass(frozen=True)
class Reference:
    """An offline decode: the pts of each frame (microseconds from the first) and a small grey picture of it."""

    path: Path
    pts_us: NDArray[np.int64]
    thumbs: NDArray[np.float32]

    def nearest(self, pts_us: int) -> int:
        """The pts of the frame that is nearest in time."""
        return int(self.pts_us[int(np.abs(self.pts_us - pts_us).argmin())])


def reference(path: Path) -> Reference:
    """Decode a file once, keeping the small pictures."""
    times: list[int] = []
    thumbs: list[Thumb] = []
    for pts_us, frame in decoded(path):
        times.append(pts_us)
        thumbs.append(frame.to_ndarray(format="gray", width=_THUMB[0], height=_THUMB[1]).astype(np.float32))
    return Reference(path, np.array(times, dtype=np.int64), np.stack(thumbs))


def offset_us(known: Reference, stored: Sequence[tuple[int, Picture]]) -> int:
    """Media time less pts: of each stored picture by its likeness to the frames of the file, the median of all."""
    found = []
    for media_us, picture in stored:
        thumb = _thumb(picture)
        likest = int(((known.thumbs - thumb) ** 2).mean(axis=(1, 2)).argmin())
        found.append(media_us - int(known.pts_us[likest]))
    return round(median(found))


def pictures_at(path: Path, pts_us: Sequence[int], size: tuple[int, int] | None = None) -> dict[int, Picture]:
    """The frames of a file at exactly these pts, in RGB."""
    wanted = set(pts_us)
    width, height = size or (None, None)
    return {
        pts: frame.to_ndarray(format="rgb24", width=width, height=height).astype(np.uint8, copy=False)
        for pts, frame in decoded(path)
        if pts in wanted
    }


def luma_psnr(one: Picture, other: Picture) -> float:
    """Peak signal to noise ratio of the luma (BT.601) of two pictures of one size, in dB; at most 100."""
    error = float(((_luma(one) - _luma(other)) ** 2).mean())
    return min(100.0, 10 * float(np.log10(255**2 / error))) if error > 0 else 100.0


def _luma(picture: Picture) -> NDArray[np.float64]:
    weights = np.array([0.299, 0.587, 0.114])
    luma: NDArray[np.float64] = picture.astype(np.float64) @ weights
    return luma


def _thumb(picture: Picture) -> Thumb:
    frame = VideoFrame.from_ndarray(picture, format="rgb24")
    return frame.to_ndarray(format="gray", width=_THUMB[0], height=_THUMB[1]).astype(np.float32)
