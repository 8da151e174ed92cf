"""A camera that needs no camera: a film of the procedural world, over and over, as RTSP.

`python -m evaluation.world_camera [--seed 1] [--host 127.0.0.1] [--port 8554]`; its address is rtsp://HOST:PORT/live.
"""

import argparse
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evaluation.rtsp_camera import RtspCamera
from training.world import World, write_video

PORT: Final = 8554


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the film, say `ready ADDRESS`, and serve it until killed."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.world_camera", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which film")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=PORT, help="port; 0 takes a free one")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="omnilive-camera-") as folder:
        film = write_video(World(given.seed).script(), Path(folder) / "film.mp4")
        with RtspCamera(str(film), host=given.host, port=given.port) as camera:
            print(f"ready {camera.url}", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main()
