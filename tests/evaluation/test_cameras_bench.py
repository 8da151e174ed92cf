"""How the bench of twenty cameras judges what it saw, and its cameras' process."""

from pathlib import Path

import pytest

from evaluation.camera_farm import CameraFarm
from evaluation.cameras import Span, judge
from evaluation.clips import moving_video
from evaluation.rtsp_camera import RtspCamera

CPU = {"server": 0.1, "perception": 0.9}


def span(**rates: float) -> Span:
    return Span(rates, dict.fromkeys(rates, 1.0), [100, 200, 3000], 0.5, CPU)


def test_each_figure_is_held_against_its_bar() -> None:
    checks = {one.id: one for one in judge(span(a=1.0, b=0.9, c=0.95), span(b=0.9, c=0.96), "720p15")}
    assert checks["cameras.sampled_fps"].value == 0.9
    assert checks["cameras.evenness"].value == pytest.approx(0.9)
    assert checks["cameras.dead_change"].value == pytest.approx(100 * 0.01 / 1.85)
    assert all(one.ok for one in checks.values())
    assert "keyframes only 50 % of the time" in checks["cameras.sampled_fps"].note
    assert "1.1 %" in checks["cameras.dead_change"].note


def test_one_camera_that_is_watched_less_fails_two_of_them() -> None:
    checks = judge(span(a=1.0, b=0.4), span(b=0.4), "720p15")
    assert [one.ok for one in checks] == [False, False, True]


def test_others_that_slow_down_fail_the_third() -> None:
    assert [one.ok for one in judge(span(a=1.0, b=1.0), span(b=0.9), "")] == [True, True, False]


def test_nothing_sampled_is_no_figure() -> None:
    checks = {one.id: one for one in judge(span(a=0.0, b=0.0), span(b=0.0), "")}
    assert not any(one.ok for one in checks.values())
    assert checks["cameras.dead_change"].value is None


def test_a_farm_runs_cameras_that_die_and_come_back(tmp_path: Path) -> None:
    film = moving_video(tmp_path / "film.mp4", 1, fps=5, size=(160, 96))
    with CameraFarm(2, [film]) as farm:
        ports = [int(url.rsplit(":", 1)[1].split("/")[0]) for url in farm.urls]
        assert len(set(ports)) == 2
        farm.stop(1)
        # The port is free: another can listen there.
        with RtspCamera(str(film), port=ports[1]):
            pass
        farm.start(1)
