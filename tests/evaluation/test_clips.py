"""Test videos: their length and clock, joining with known cuts."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.clips import decoded, looped_video, moving_picture, moving_video, still_video
from evaluation.joined import FPS, SIZE, choose, join, scene_scores


def test_a_moving_video_moves(tmp_path: Path) -> None:
    video = moving_video(tmp_path / "moving.mp4", 2, fps=10, size=(160, 96))
    frames = list(decoded(video))
    assert [pts for pts, _ in frames] == [n * 100_000 for n in range(20)]
    first, later = (frames[n][1].to_ndarray(format="rgb24").astype(int) for n in (0, 5))
    assert np.abs(first - later).mean() > 10
    assert np.abs(first - moving_picture(160, 96, 0.0, 0)).mean() < 8


def test_a_still_video_stands_still(tmp_path: Path) -> None:
    frames = [frame.to_ndarray(format="gray").astype(int) for _, frame in decoded(still_video(tmp_path / "s.mp4", 1))]
    assert 0 < np.abs(frames[0] - frames[-1]).mean() < 4


def test_a_loop_goes_on_where_it_ended(tmp_path: Path) -> None:
    once = moving_video(tmp_path / "once.mp4", 1, fps=10, size=(160, 96))
    pts = [pts for pts, _ in decoded(looped_video(once, tmp_path / "loop.mp4", 2.5))]
    assert pts == [n * 100_000 for n in range(30)]


def test_joined_clips_cut_where_they_say(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for seed in (0, 3):
        moving_video(clips / f"clip{seed}.mp4", 2.5, fps=10, size=(320, 180), seed=seed)
    shots = join(choose(clips, 4), tmp_path / "joined.mp4")
    assert [shot.name for shot in shots] == ["clip0/0", "clip3/0", "clip0/1", "clip3/1"]
    frames = list(decoded(tmp_path / "joined.mp4"))
    assert (frames[0][1].width, frames[0][1].height) == SIZE
    assert shots[-1].end_us == frames[-1][0] + 1_000_000 // FPS
    scores = dict(scene_scores(tmp_path / "joined.mp4"))
    highest = sorted(scores, key=lambda pts: scores[pts])[-3:]
    assert sorted(highest) == [shot.start_us for shot in shots[1:]]


def test_one_clip_is_too_few(tmp_path: Path) -> None:
    moving_video(tmp_path / "alone.mp4", 2.5, fps=10, size=(160, 96))
    with pytest.raises(ValueError, match="two clips"):
        choose(tmp_path, 4)
