"""On a machine with CUDA: how many frames a second are perceived, and how soon an answer begins."""

import time

from clients.api import Api
from clients.live import Live
from clients.media import media_units
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.hardware import gpu_name
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import median

SAMPLE_FPS = 10


def run(full: bool, progress: Progress) -> list[Check]:
    """A minute of video in the quick profile, five in the full one, taken as fast as they are perceived."""
    name = gpu_name()
    if name is None:
        raise RuntimeError("there is no CUDA device here")
    seconds = 300 if full else 60
    with ServerProcess() as server, Api(server.url) as api:
        progress(f"{seconds} s of video are perceived on {name}")
        fps = _perceived_fps(server, api, seconds)
        progress("questions are asked")
        ttfts = [api.ask("gpu", "What do you see?", max_tokens=8)["timing"]["ttft_ms"] for _ in range(11)][1:]
    return [
        Check("gpu.ingest_fps", fps, "frames/s", note=f"decoded, encoded and remembered; {name}"),
        Check("gpu.ttft_ms", median(ttfts), "ms", note=f"median of {len(ttfts)}; {name}"),
    ]


def _perceived_fps(server: ServerProcess, api: Api, seconds: float) -> float:
    """Encoded frames a second until the last of them is in memory."""
    video = list(media_units(moving_video(server.videos / "gpu.mp4", seconds, fps=SAMPLE_FPS)))
    api.add("gpu", {"push": True, "pace": "fast"}, sample={"fps": SAMPLE_FPS})
    with Live(api.url, "gpu") as live:
        live.announce(0, "h264")
        began = time.monotonic()
        for unit in video:
            live.send(0, unit.data, unit.pts_us)
        live.ask("last", "Is it over?", max_tokens=1)
        live.wait("last")
        taken_s = time.monotonic() - began
    return len(video) / taken_s
