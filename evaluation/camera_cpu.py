"""What watching one quiet camera costs: all processes' time for one 720p15 RTSP stream of a noisy, still scene."""

import time

from clients.api import Api
from evaluation.checks import Check
from evaluation.clips import looped_video, still_video
from evaluation.registry import Progress
from evaluation.rtsp_camera import RtspCamera
from evaluation.server_process import ServerProcess
from evaluation.wait import until

SETTLE_S = 8.0
_ONCE_S = 6


def run(full: bool, progress: Progress) -> list[Check]:
    """30 s in the quick profile, two minutes in the full one."""
    seconds = 120.0 if full else 30.0
    with ServerProcess() as server, Api(server.url) as api:
        progress("a quiet scene is made")
        # At the quality of a camera, whose own noise reduction leaves little to transmit.
        once = still_video(server.videos / "once.mp4", _ONCE_S, crf=23)
        rate = once.stat().st_size * 8 / _ONCE_S / 1e6
        video = looped_video(once, server.videos / "quiet.mp4", seconds + SETTLE_S + 30)
        nothing = _share_of_a_core(server, 5)
        with RtspCamera(str(video)) as camera:
            api.add("quiet", {"url": camera.url})
            until(lambda: api.stream("quiet")["frames"]["received"] >= 30, 30, "frames of the camera")
            time.sleep(SETTLE_S)
            progress(f"a quiet camera is watched for {seconds:.0f} s")
            before = api.stream("quiet")["frames"]
            used = _share_of_a_core(server, seconds)
            after = api.stream("quiet")["frames"]
    received = after["received"] - before["received"]
    if received < 10 * seconds:
        raise RuntimeError(f"only {received} frames came in {seconds:.0f} s")
    encoded = after["encoded"] - before["encoded"]
    watched = f"{received / seconds:.1f} frames/s decoded, {encoded} encoded in {seconds:.0f} s"
    note = f"{watched} at {rate:.1f} Mbit/s; {nothing:.1f} % without a stream"
    return [Check("ingest.idle_cpu", used, "% of a core", note=note)]


def _share_of_a_core(server: ServerProcess, seconds: float) -> float:
    """Processor time of the server and its stages, in percent of one core."""
    before = server.usage()
    time.sleep(seconds)
    after = server.usage()
    return 100 * (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s)
