"""On a machine with CUDA: what a server with a model of eight thousand million parameters does on one GPU.

Frames perceived a second; the time to the first token while a stream grows old; how many streams it keeps up with. The
model has the shape of Qwen3-VL-8B and random weights, drawn on the device and written to a scratch folder (17.5 GB).
"""

import gc
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from clients.api import Api, ApiError
from clients.live import Live
from clients.media import MediaUnit, media_units
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.hardware import gpu_name
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import median
from reasoning.random_large import QWEN3_VL_8B, QwenShape, make_large_qwen3_vl

_S: Final = 1_000_000
_READY_S: Final = 600.0
_TOKENS: Final = 8
_NOW: Final = "What do you see right now?"
_PAST: Final = "What was there at first?"
_BEGUN_MS: Final = 2000
"""By when an answer has begun where a stream is kept up with: it waits for all frames that came before its question."""
_PATIENCE_S: Final = 600.0
_DEADLINE_MS: Final = 600_000


@dataclass(frozen=True)
class Plan:
    """How long each part takes. ingest_s: of a video of ten frames a second; ages_s: at which a stream of one frame a
    second is asked; asked: questions of each kind there; most: streams that are tried at once; trial_s: for each."""

    ingest_s: int
    ages_s: Sequence[int]
    asked: int
    most: int
    trial_s: float


QUICK: Final = Plan(60, (60, 600), 10, 64, 10.0)
FULL: Final = Plan(300, (60, 600, 3600), 30, 64, 60.0)


def run(full: bool, progress: Progress) -> list[Check]:
    """A minute of video and a stream of ten minutes in the quick profile; five, and an hour, in the full one."""
    name = gpu_name()
    if name is None:
        raise RuntimeError("there is no CUDA device here")
    return measure(FULL if full else QUICK, QWEN3_VL_8B, "cuda", name, progress)


def measure(plan: Plan, shape: QwenShape, device: str, name: str, progress: Progress) -> list[Check]:
    """name: of the device, for people."""
    with tempfile.TemporaryDirectory(prefix="omnilive-gpu-") as scratch:
        progress(f"the checkpoint is drawn on {name} and written")
        folder = make_large_qwen3_vl(Path(scratch) / "model", shape, device)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        progress("a server loads it")
        with ServerProcess(["--model", str(folder)], ready_s=_READY_S) as server, Api(server.url) as api:
            ingest = _ingest(server, api, plan, name, progress)
            ages = _ages(server, api, plan, name, progress)
            streams = _streams(server, api, plan, name, progress)
    return [ingest, *ages, streams]


# ---------------------------------------------------------------- frames a second


def _ingest(server: ServerProcess, api: Api, plan: Plan, name: str, progress: Progress) -> Check:
    """Encoded frames a second until the last of them is in memory."""
    progress(f"{plan.ingest_s} s of video are perceived")
    units = _video(server, "ingest", plan.ingest_s, fps=10)
    api.add("ingest", {"push": True, "pace": "fast"}, sample={"fps": 10})
    with Live(api.url, "ingest") as live:
        live.announce(0, "h264")
        began = time.monotonic()
        _send(live, units)
        live.ask("last", "Is it over?", max_tokens=1, deadline_ms=_DEADLINE_MS)
        _answer(live, "last")
        taken_s = time.monotonic() - began
    encoded = int(api.stream("ingest")["frames"]["encoded"])
    api.remove("ingest")
    return Check("gpu.ingest_fps", encoded / taken_s, "frames/s", note=f"{encoded} frames, up to memory; {name}")


# ---------------------------------------------------------------- first tokens


def _ages(server: ServerProcess, api: Api, plan: Plan, name: str, progress: Progress) -> list[Check]:
    """One stream, asked again and again while it grows old."""
    units = _video(server, "ages", max(plan.ages_s), fps=1)
    api.add("ages", {"push": True, "pace": "fast"}, sample={"fps": 1})
    found: dict[tuple[str, int], float] = {}
    with Live(api.url, "ages") as live:
        live.announce(0, "h264")
        since = 0
        for age_s in plan.ages_s:
            progress(f"a stream becomes {age_s} s old and is asked")
            _send(live, [unit for unit in units if since <= unit.pts_us < age_s * _S])
            since = age_s * _S
            for question in (_NOW, _PAST):
                found[question, age_s] = _first_token_ms(live, f"{age_s} {question[:8]}", question, plan.asked)
    api.remove("ages")
    told = ", ".join(f"{found[_NOW, age]:.0f} / {found[_PAST, age]:.0f} ms at {age} s" for age in plan.ages_s)
    young, old = plan.ages_s[0], plan.ages_s[-1]
    note = f"now / past: {told}; medians of {plan.asked}; {name}"
    ratio = found[_PAST, old] / found[_PAST, young]
    return [
        Check("gpu.ttft_ms", found[_NOW, young], "ms", note=note),
        Check("gpu.ttft_past_ms", found[_PAST, old], "ms", note=f"a stream of {old} s; {name}"),
        Check("gpu.age_ratio", ratio, "ratio", note=f"past, {old} s over {young} s; {name}"),
    ]


def _first_token_ms(live: Live, name: str, question: str, asked: int) -> float:
    """The first is not counted: kernels are chosen then."""
    times = []
    for n in range(asked + 1):
        live.ask(f"{name} {n}", question, max_tokens=_TOKENS, deadline_ms=_DEADLINE_MS)
        times.append(float(_answer(live, f"{name} {n}")["timing"]["ttft_ms"]))
    return median(times[1:])


# ---------------------------------------------------------------- many streams


def _streams(server: ServerProcess, api: Api, plan: Plan, name: str, progress: Progress) -> Check:
    """The most streams of one new frame a second that are kept up with, each asked once a trial."""
    units = _video(server, "many", plan.trial_s, fps=1)
    good, bad = 0, plan.most + 1
    why = ""
    while bad - good > 1:
        # Doubled until one trial fails, then halved between.
        count = (good + bad) // 2 if bad <= plan.most else min(max(1, 2 * good), plan.most)
        progress(f"{count} streams at once")
        failed = _trial(api, units, count)
        if failed:
            bad, why = count, f"; {count}: {failed}"
        else:
            good = count
    note = f"1 frame/s each for {plan.trial_s:.0f} s, a question each{why or '; no more were tried'}; {name}"
    return Check("gpu.streams", good, "streams", note=note)


def _trial(api: Api, units: Sequence[MediaUnit], count: int) -> str:
    """Why so many streams are not kept up with; "": they are."""
    names = [f"many-{n}" for n in range(count)]
    with ExitStack() as opened:
        lives = []
        for stream in names:
            api.add(stream, {"push": True, "pace": "real"}, sample={"fps": 1})
            opened.callback(api.remove, stream)
            live = opened.enter_context(Live(api.url, stream))
            live.announce(0, "h264")
            lives.append(live)
        began = time.monotonic()
        for n, unit in enumerate(units):
            for k, live in enumerate(lives):
                # Streams do not beat together, and neither do their questions.
                time.sleep(max(0.0, began + n + k / count - time.monotonic()))
                live.send(0, unit.data, unit.pts_us)
                if n == len(units) // 2 + k % max(1, len(units) // 2):
                    live.ask("q", _PAST if k % 2 else _NOW, max_tokens=_TOKENS)
        return next((why for live, stream in zip(lives, names, strict=True) if (why := _behind(api, live, stream))), "")


def _behind(api: Api, live: Live, stream: str) -> str:
    try:
        begun_ms = _answer(live, "q")["timing"]["ttft_ms"]
    except ApiError as error:
        return f"a question ended with {error.code}"
    if begun_ms > _BEGUN_MS:
        return f"an answer began after {begun_ms:.0f} ms"
    told: dict[str, Any] = api.stream(stream)
    dropped = told["frames"]["dropped"]
    return f"{dropped} frames were dropped" if dropped else ""


def _answer(live: Live, name: str) -> dict[str, Any]:
    return live.wait(name, _PATIENCE_S).answer


# ---------------------------------------------------------------- media


def _video(server: ServerProcess, name: str, seconds: float, fps: int) -> list[MediaUnit]:
    return list(media_units(moving_video(server.videos / f"{name}.mp4", seconds, fps=fps)))


def _send(live: Live, units: Sequence[MediaUnit]) -> None:
    for unit in units:
        live.send(0, unit.data, unit.pts_us)
