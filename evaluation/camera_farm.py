"""Many cameras in one process: `python -m evaluation.camera_farm COUNT FILM...`, the films shared out in turn.

It says `ready URL...`; then each line on stdin, `stop N` or `start N`, has the N-th camera die or come back, and is
answered by `done`. It ends with its stdin.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluation.hardware import ROOT
from evaluation.rtp import read_film
from evaluation.rtsp_camera import RtspCamera


class CameraFarm:
    """`with CameraFarm(20, films) as farm:` runs it as a process of its own. Raises RuntimeError where it ends."""

    def __init__(self, count: int, films: Sequence[Path]) -> None:
        self._command = [sys.executable, "-m", "evaluation.tethered", sys.executable, "-m", "evaluation.camera_farm"]
        self._command += [str(count), *map(str, films)]
        self.urls: list[str] = []

    @property
    def pid(self) -> int:
        """The process that sends."""
        return self._process.pid

    def stop(self, number: int) -> None:
        """Have a camera die."""
        self._tell(f"stop {number}")

    def start(self, number: int) -> None:
        """Have it come back."""
        self._tell(f"start {number}")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.urls = self._hear("ready")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate()

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._hear("done")

    def _hear(self, word: str) -> list[str]:
        assert self._process.stdout is not None
        said, *rest = self._process.stdout.readline().split() or [""]
        if said != word:
            raise RuntimeError("the cameras' process ended")
        return rest


def main() -> None:
    """Serve until stdin ends."""
    films = [read_film(path) for path in sys.argv[2:]]
    cameras = [RtspCamera(films[n % len(films)]).start() for n in range(int(sys.argv[1]))]
    print("ready", *(camera.url for camera in cameras), flush=True)
    for line in sys.stdin:
        what, number = line.split()
        camera = cameras[int(number)]
        if what == "stop":
            camera.stop()
        else:
            camera.start()
        print("done", flush=True)


if __name__ == "__main__":
    main()
