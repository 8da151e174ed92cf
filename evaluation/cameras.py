"""Twenty cameras on one server with the shipped model: is each watched often enough, and all alike? Then one dies."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psutil

from clients.api import Api
from evaluation.camera_farm import CameraFarm
from evaluation.checks import Check
from evaluation.clips import write_video
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.wait import until
from training.world import World, frames

CAMERAS: Final = 20
SIZE: Final = (1280, 720)
FPS: Final = 15
KEYFRAME_S: Final = 1.0
_FILMS: Final = 2
_FILM_S: Final = 12
_CRF: Final = 20
SETTLE_S: Final = 15.0
LOOK_S: Final = 2.0


@dataclass(frozen=True)
class Span:
    """What was seen of the streams in some seconds. rates: sampled frames a second, by stream."""

    rates: Mapping[str, float]
    decoded: Mapping[str, float]
    lags_ms: Sequence[int]
    only_keyframes: float
    cpu: Mapping[str, float]

    def note(self) -> str:
        """What stands beside the figures."""
        lags = sorted(self.lags_ms)
        lag_s = lags[round(0.95 * (len(lags) - 1))] / 1000 if lags else 0.0
        cores = ", ".join(f"{name} {share:.2f}" for name, share in self.cpu.items())
        decoded = sum(self.decoded.values()) / len(self.decoded)
        kept = f"keyframes only {100 * self.only_keyframes:.0f} % of the time"
        return f"{decoded:.1f} frames/s decoded of each, {kept}; lag p95 {lag_s:.1f} s; cores: {cores}"


def run(full: bool, progress: Progress) -> list[Check]:
    """2 minutes in the quick profile, 10 in the full one; then a quarter of that without one of the cameras."""
    seconds = 600.0 if full else 120.0
    with ServerProcess() as server, Api(server.url) as api:
        progress("films are made")
        films = [_film(server.videos / f"film-{n}.mp4", n + 1) for n in range(_FILMS)]
        rate = sum(_bits(films)) / len(films) / 1e6
        with CameraFarm(CAMERAS, films) as farm:
            names = _watch_all(api, farm.urls, progress)
            time.sleep(SETTLE_S)
            progress(f"{CAMERAS} cameras are watched for {seconds:.0f} s")
            before = _look(server, api, farm, names, seconds)
            farm.stop(0)
            until(lambda: api.stream(names[0])["state"] == "offline", 30, "the dead camera is missed")
            progress("one of them is dead")
            after = _look(server, api, farm, names[1:], seconds / 4)
    return judge(before, after, f"720p{FPS} at {rate:.1f} Mbit/s, a keyframe every {KEYFRAME_S:.0f} s")


def _film(path: Path, seed: int) -> Path:
    pictures = islice(frames(World(seed).script(), *SIZE, FPS), _FILM_S * FPS)
    return write_video(path, pictures, FPS, _CRF, KEYFRAME_S, steady=True)


def _bits(films: Sequence[Path]) -> list[float]:
    """Bits a second of each film."""
    return [film.stat().st_size * 8 / _FILM_S for film in films]


def _watch_all(api: Api, urls: Sequence[str], progress: Progress) -> list[str]:
    progress(f"{len(urls)} cameras are added")
    names = [f"camera-{n:02}" for n in range(len(urls))]
    for name, url in zip(names, urls, strict=True):
        api.add(name, {"url": url})
    for name in names:
        until(lambda name=name: api.stream(name)["frames"]["encoded"] >= 1, 60, "frames of each camera")  # type: ignore[misc]
    return names


def _look(server: ServerProcess, api: Api, farm: CameraFarm, names: Sequence[str], seconds: float) -> Span:
    began, first, used = time.monotonic(), _streams(api, names), _processor_s(server, farm)
    lags: list[int] = []
    sparing = looks = 0
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left))
        now = _streams(api, names)
        lags += [stream["lag_ms"] for stream in now.values() if stream["lag_ms"] is not None]
        sparing += sum(stream["decoded"] == "keyframes" for stream in now.values())
        looks += len(now)
    taken, last, then = time.monotonic() - began, _streams(api, names), _processor_s(server, farm)

    def rates(what: str) -> dict[str, float]:
        return {name: (last[name]["frames"][what] - first[name]["frames"][what]) / taken for name in names}

    cpu = {name: (then[name] - used[name]) / taken for name in used}
    return Span(rates("sampled"), rates("received"), lags, sparing / max(1, looks), cpu)


def _streams(api: Api, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    listed = {stream["id"]: stream for stream in api.get("/v1/streams", limit=1000)["streams"]}
    return {name: listed[name] for name in names}


def _processor_s(server: ServerProcess, farm: CameraFarm) -> dict[str, float]:
    """Seconds of a core that each process has taken."""
    members = {"server": psutil.Process(server.pid), **server.stages(), "cameras": psutil.Process(farm.pid)}
    return {name: sum(member.cpu_times()[:2]) for name, member in members.items()}


def judge(before: Span, after: Span, what: str) -> list[Check]:
    """The figures. before: all cameras; after: without the dead one. what: what they send."""
    slowest, fastest = min(before.rates.values()), max(before.rates.values())
    note = f"{what}; {before.note()}"
    even = slowest / fastest if fastest else 0.0
    changes = {name: after.rates[name] / before.rates[name] - 1 for name in after.rates if before.rates[name]}
    alive = [sum(span.rates[name] for name in after.rates) for span in (before, after)]
    change = 100 * abs(alive[1] / alive[0] - 1) if alive[0] else None
    worst = f"one of them at most {100 * max(map(abs, changes.values()), default=0):.1f} %"
    return [
        Check("cameras.sampled_fps", slowest, "frames/s", ">= 0.5", note=note),
        Check("cameras.evenness", even, "ratio", ">= 0.8", note=f"{slowest:.2f} to {fastest:.2f} frames/s"),
        Check("cameras.dead_change", change, "%", "<= 5", note=f"of all the others together; {worst}"),
    ]
