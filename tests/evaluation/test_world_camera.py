"""The camera that needs no camera: a real RTSP client gets the world's film from it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from evaluation.world_camera import PORT

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def camera() -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-m", "evaluation.tethered", sys.executable, "-m", "evaluation.world_camera"]
    with subprocess.Popen([*command, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("ready ").strip()
        process.terminate()


def test_it_shows_the_world(camera: str) -> None:
    with av.open(camera, options={"rtsp_transport": "tcp"}, timeout=60) as opened:
        frames = [frame.to_ndarray(format="gray") for frame, _ in zip(opened.decode(video=0), range(3), strict=False)]
        assert [one.shape for one in frames] == [(360, 480)] * 3
        assert frames[0].std() > 1
        assert opened.streams.audio


def test_the_readme_names_its_address(camera: str) -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.sub(r":\d+/", f":{PORT}/", camera) in readme
    assert ".venv/bin/python -m evaluation.world_camera\n" in readme
