"""Reasoning is stopped for 8 s while a camera goes on; then a file is watched with nobody and with eight asking."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clients.api import Api, ApiError
from clients.live import Live
from clients.media import media_units
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.live_push import LivePush, Seen, wall_s
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.wait import until

STALL_S = 8.0
SAMPLE_FPS = 2.0
CAMERA_FPS = 15
ASKERS = 8


def run(full: bool, progress: Progress) -> list[Check]:
    """One stall in the quick profile, three in the full one."""
    rounds = 3 if full else 1
    with ServerProcess() as server, Api(server.url) as api:
        stalls = [_stall(server, api, f"stall-{n}", progress) for n in range(rounds)]
        calls = _encoder_calls(server.url, server.videos, 120.0 if full else 40.0, progress)
    return [_lost(stalls), _lag(stalls), calls]


# ---------------------------------------------------------------- reasoning stands still


@dataclass(frozen=True)
class Stall:
    """What happened to one stream meanwhile."""

    lost: dict[str, int]
    lag_s: float
    heard: int
    late_s: float
    answered_after_s: float


def _stall(server: ServerProcess, api: Api, name: str, progress: Progress) -> Stall:
    seconds = 4
    video = moving_video(server.videos / f"{name}.mp4", seconds, fps=CAMERA_FPS, seed=len(name))
    # Media time 0 is a whole second, so that the grid of samples is known.
    start = datetime.fromtimestamp(int(time.time()), UTC).isoformat()
    api.add(name, {"push": True, "pace": "real", "start": start}, sample={"fps": SAMPLE_FPS})
    with LivePush(api.url, name, list(media_units(video)), seconds * 1_000_000) as camera:
        progress("a camera starts")
        until(lambda: api.stream(name)["frames"]["encoded"] >= 6, 60, "six frames encoded")
        api.ask(name, "What do you see?", max_tokens=8)
        progress(f"reasoning is stopped for {STALL_S:.0f} s")
        began = time.time()
        stopped = _while_stopped(server, api, name)
        ended = time.time()
        time.sleep(1.0)
        if camera.error is not None:
            raise RuntimeError(camera.error)
    lost = losses(api, name)
    api.remove(name)
    seen = [one for one in camera.seen if began <= one.time_s <= ended]
    return Stall(lost, max([*stopped.lags_s, *_delays(seen)]), len(seen), camera.late_s, stopped.answered_after_s)


@dataclass(frozen=True)
class Stopped:
    """The lags that the server told while reasoning stood still, and when a waiting question ended after that."""

    lags_s: list[float]
    answered_after_s: float


def _while_stopped(server: ServerProcess, api: Api, name: str) -> Stopped:
    reasoning = server.stages()["reasoning"]
    asked = threading.Thread(target=_ask_quietly, args=(server.url, name), daemon=True)
    reasoning.suspend()
    lags: list[float] = []
    try:
        asked.start()
        end = time.monotonic() + STALL_S
        while time.monotonic() < end:
            lags.append(float(api.stream(name)["lag_ms"] or 0) / 1000)
            time.sleep(0.1)
    finally:
        reasoning.resume()
    resumed = time.monotonic()
    asked.join(60)
    return Stopped(lags, time.monotonic() - resumed)


def losses(api: Api, name: str) -> dict[str, int]:
    """Over the stream's whole life, now that its camera is gone and its counters stand still: frames that were
    dropped, were due but not sampled, sampled but never encoded (the scene always moves), or encoded and forgotten."""
    frames = _settled(api, name)
    until(lambda: api.stream(name)["state"] == "offline", 30, "the camera is missed")
    stream, events = api.stream(name), api.events(name)
    spans = [(_wall_us(event["start"]), _wall_us(event["end"])) for event in events]
    first_us, last_us = spans[0][0], _wall_us(stream["last_frame"])
    return {
        "dropped": frames["dropped"],
        "gaps": stream["memory"]["gaps"],
        # The first frame of all is a sample, whenever it comes.
        "not sampled": max(0, 1 + len(samples_due(first_us, last_us)) - frames["sampled"]),
        "not encoded": frames["sampled"] - frames["encoded"],
        "missing in memory": uncovered_samples(spans, first_us, last_us),
    }


def samples_due(since_us: int, until_us: int) -> range:
    """The moments of the sampling grid in (since, until]: a frame is sampled as soon as one of them is reached."""
    step = round(1e6 / SAMPLE_FPS)
    return range((since_us // step + 1) * step, until_us // step * step + 1, step)


def uncovered_samples(spans: Sequence[tuple[int, int]], since_us: int, until_us: int) -> int:
    """How many moments of the sampling grid no span holds; the sample is the first frame of the camera from then on."""
    frame = round(1e6 / CAMERA_FPS) + 1000
    moments = samples_due(since_us, until_us)
    return sum(not any(start - frame <= moment <= end for start, end in spans) for moment in moments)


def _delays(seen: Sequence[Seen]) -> list[float]:
    """From the moment that a frame was due to be sent until the word that it was perceived."""
    return [one.heard_s - one.time_s for one in seen]


def _wall_us(text: str) -> int:
    return round(wall_s(text) * 1e6)


def _ask_quietly(url: str, name: str) -> None:
    """A question that waits while reasoning stands still; how it ends is not what is measured."""
    try:
        with Api(url) as api:
            api.ask(name, "What do you see?", max_tokens=4)
    except ApiError:
        return


def _lost(stalls: Sequence[Stall]) -> Check:
    kinds = {kind: sum(stall.lost[kind] for stall in stalls) for kind in stalls[0].lost}
    note = ", ".join(f"{kind} {count:.0f}" for kind, count in kinds.items())
    return Check("stall.frames_lost", sum(kinds.values()), "frames", "<= 0", note=note)


def _lag(stalls: Sequence[Stall]) -> Check:
    worst = max(stall.lag_s for stall in stalls)
    heard = min(stall.heard for stall in stalls)
    if heard == 0:
        return Check("stall.lag_s", None, "s", "<= 1", note="the server told of no frame during the stall")
    late = max(stall.late_s for stall in stalls)
    answered = max(stall.answered_after_s for stall in stalls)
    sender = f"sender up to {late * 1000:.0f} ms late"
    note = f"{heard} frames told of; {sender}; a waiting question ended {answered:.1f} s after"
    return Check("stall.lag_s", worst, "s", "<= 1", note=note)


# ---------------------------------------------------------------- asking costs no encoding


def _encoder_calls(url: str, videos: Path, seconds: float, progress: Progress) -> Check:
    video = moving_video(videos / "asked.mp4", seconds, fps=10, seed=3)
    counts: dict[int, tuple[int, int, int]] = {}
    for askers in (0, ASKERS):
        progress(f"a file is watched while {askers} ask")
        counts[askers] = _watch(url, video, askers)
    (sampled, encoded, _), (sampled_asked, encoded_asked, answers) = counts[0], counts[ASKERS]
    beyond = max(encoded - sampled, encoded_asked - sampled_asked, encoded_asked - encoded, 0)
    note = (
        f"{encoded} of {sampled} sampled with 0 asking, {encoded_asked} of {sampled_asked} with 8 ({answers} answers)"
    )
    if encoded == 0 or answers == 0:
        return Check("stall.encoder_calls", None, "frames", "<= 0", note=f"nothing to compare: {note}")
    return Check("stall.encoder_calls", beyond, "frames", "<= 0", note=note)


def _watch(url: str, video: Path, askers: int) -> tuple[int, int, int]:
    """Push the file as fast as it is taken; frames sampled and encoded, and questions answered meanwhile."""
    name, over, answers = f"asked-{askers}", threading.Event(), [0] * askers
    with Api(url) as api:
        api.add(name, {"push": True, "pace": "fast"}, sample={"fps": SAMPLE_FPS})
        threads = [threading.Thread(target=_keep_asking, args=(url, name, over, answers, n)) for n in range(askers)]
        for thread in threads:
            thread.start()
        try:
            with Live(api.url, name) as live:
                live.announce(0, "h264")
                for unit in media_units(video):
                    live.send(0, unit.data, unit.pts_us)
                live.ask("last", "Is it over?", max_tokens=1, deadline_ms=120_000)
                live.wait("last")
                frames = _settled(api, name)
        finally:
            over.set()
            for thread in threads:
                thread.join(60)
        api.remove(name)
    return frames["sampled"], frames["encoded"], sum(answers)


def _settled(api: Api, name: str) -> dict[str, Any]:
    """The counters once they no longer change: they are told at most once a second."""
    frames: dict[str, Any] = api.stream(name)["frames"]

    def same() -> bool:
        nonlocal frames
        time.sleep(1.5)
        before, frames = frames, api.stream(name)["frames"]
        return bool(before == frames)

    until(same, 60, "the counters settle")
    return frames


def _keep_asking(url: str, name: str, over: threading.Event, answers: list[int], place: int) -> None:
    with Api(url) as api:
        while not over.is_set():
            try:
                api.ask(name, "What happened a moment ago?", max_tokens=4)
                answers[place] += 1
            except ApiError:
                over.wait(0.2)
