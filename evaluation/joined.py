"""Joins clips of a folder into one video whose cuts are known, at one size and rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from evaluation.clips import Picture, decoded, write_video

SIZE = (640, 360)
FPS = 25
MIN_SHOT_S = 2.0
MAX_SHOT_S = 4.0
MEDIA = "OMNILIVE_MEDIA"
"""Names a folder with real clips."""
CLIPS = ("*.mp4", "*.mkv", "*.mov", "*.webm", "*.avi")
_APART = 20.0
"""Parts of a clip of which two small pictures differ by less (root mean square, levels of 256) look the same."""
_CUT_SCORE = 10.0
"""From this score (0 to 100) on, FFmpeg's scdet sees a cut: clips are taken apart there before they are joined."""

Thumbs = NDArray[np.float32]


@dataclass(frozen=True)
class Shot:
    """[start_us, end_us) of the joined video; `name` is the clip and the part of its picture."""

    name: str
    start_us: int
    end_us: int


@dataclass(frozen=True)
class Piece:
    """A part of a clip without a cut in it, seen whole or as one of its quarters (`view` 0, or 1 to 4)."""

    clip: Path
    since_us: int
    until_us: int
    view: int


@dataclass(frozen=True)
class Chosen:
    """What is joined, in its order, and how many quarters were left out since they look like another part."""

    pieces: list[Piece]
    left_out: int


def join(chosen: Chosen, path: Path) -> list[Shot]:
    """Write the joined video."""
    joined: list[Shot] = []

    def pictures() -> Iterator[Picture]:
        at = 0
        for piece in chosen.pieces:
            begun = at
            for picture in _resampled(piece):
                yield picture
                at += 1
            joined.append(Shot(f"{piece.clip.stem}/{piece.view}", _time_us(begun), _time_us(at)))

    write_video(path, pictures(), FPS, crf=16)
    return joined


def clips_of(folder: Path) -> list[Path]:
    """The videos of a folder."""
    return sorted(path for pattern in CLIPS for path in folder.glob(pattern))


def choose(folder: Path, shots: int) -> Chosen:
    """Up to `shots` pieces, neighbours from different clips where there are several.

    Where there are fewer clips than shots, quarters of their pictures are further shots. Raises ValueError if the
    folder gives fewer than two shots.
    """
    clips = clips_of(folder)
    whole = [(clip, span) for clip in clips for span in uncut(clip)]
    if len(whole) < 2:
        raise ValueError(f"two clips or more of {MIN_SHOT_S:.0f} s are needed, found {len(whole)}")
    found = [Piece(clip, *span, 0) for clip, span in whole][:shots]
    seen = {clip: [_thumbs(piece) for piece in found if piece.clip == clip] for clip in clips}
    left_out = 0
    for piece in (Piece(clip, *span, view) for view in range(1, 5) for clip, span in whole):
        if len(found) == shots:
            break
        thumbs = _thumbs(piece)
        # Two quarters of one clip's sky are one shot to anybody; what other clips show is for the server to tell apart.
        if all(_nearest(thumbs, others) >= _APART for others in seen[piece.clip]):
            found.append(piece)
            seen[piece.clip].append(thumbs)
        else:
            left_out += 1
    return Chosen(found, left_out)


def _thumbs(piece: Piece) -> Thumbs:
    """[n, 8, 8, 3]: two pictures a second of the piece, as mean colours of their cells."""
    height, width = SIZE[1] // 8, SIZE[0] // 8
    pictures = np.stack(list(islice(_resampled(piece), 0, None, FPS // 2))).astype(np.float32)
    thumbs: Thumbs = pictures.reshape(-1, 8, height, 8, width, 3).mean(axis=(2, 4))
    return thumbs


def _nearest(one: Thumbs, other: Thumbs) -> float:
    """The least root mean square difference between a picture of one piece and a picture of the other."""
    apart = one[:, None] - other[None]
    return float(np.sqrt(np.mean(apart**2, axis=(2, 3, 4))).min())


def uncut(clip: Path) -> list[tuple[int, int]]:
    """The stretches of a clip between its own cuts, each shortened to the greatest length, short ones left out."""
    scores = scene_scores(clip)
    if not scores:
        return []
    cuts = [0, *(pts for pts, score in scores if score >= _CUT_SCORE), scores[-1][0]]
    spans = [(since, min(until, since + round(MAX_SHOT_S * 1e6))) for since, until in pairwise(cuts)]
    return [(since, until) for since, until in spans if until - since >= MIN_SHOT_S * 1e6]


def scene_scores(clip: Path) -> list[tuple[int, float]]:
    """FFmpeg's own opinion of each frame: (pts in microseconds from the first, 0 to 100)."""
    graph = av.filter.Graph()
    scores: list[tuple[int, float]] = []
    source = sink = None
    for pts_us, frame in decoded(clip):
        if source is None or sink is None:
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            detect, sink = graph.add("scdet", "threshold=0"), graph.add("buffersink")
            source.link_to(detect)
            detect.link_to(sink)
            graph.configure()
        source.push(frame)
        out = sink.pull()
        scores.append((pts_us, float(out.metadata.get("lavfi.scd.score", 0.0)) if scores else 0.0))
    return scores


def _resampled(piece: Piece) -> Iterator[Picture]:
    """The piece's pictures at the common size and rate."""
    due_us = piece.since_us
    step_us = _time_us(1)
    for pts_us, frame in decoded(piece.clip):
        if pts_us >= piece.until_us:
            return
        picture: Picture | None = None
        while due_us <= pts_us and due_us < piece.until_us and pts_us >= piece.since_us:
            picture = _view(frame, piece.view) if picture is None else picture
            yield picture
            due_us += step_us


def _view(frame: av.VideoFrame, view: int) -> Picture:
    if view == 0:
        return frame.to_ndarray(format="rgb24", width=SIZE[0], height=SIZE[1]).astype(np.uint8, copy=False)
    whole = frame.to_ndarray(format="rgb24", width=2 * SIZE[0], height=2 * SIZE[1]).astype(np.uint8, copy=False)
    down, right = divmod(view - 1, 2)
    top, left = down * SIZE[1], right * SIZE[0]
    return np.ascontiguousarray(whole[top : top + SIZE[1], left : left + SIZE[0]])


def _time_us(frames: int) -> int:
    return round(frames * 1_000_000 / FPS)
