"""What the server itself costs: the first byte of an answer, and 32 askers of one stream, with a model of zero cost.

The model is an OpenAI-compatible server that answers at once, so that all is counted that is ours: doors, queues,
recall, the prompt with its pictures, and the way to a model elsewhere and back.
"""

import asyncio
import http.client
import json
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx

from clients.api import Api, resource
from clients.media import media_units
from evaluation.askers import Asked, askers, keep_asking
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.instant_model import InstantModel
from evaluation.live_push import LivePush
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import median, quantile
from evaluation.wait import until

STREAM = "cam"
QUESTION = "What do you see?"
ASKERS = 32
_FPS = 10
_VIDEO_S = 4


def run(full: bool, progress: Progress) -> list[Check]:
    """300 questions of one asker at each door and 10 s of 32 askers in the quick profile; four times that in the full
    one. A camera sends all the while."""
    times = 4 if full else 1
    with ExitStack() as opened:
        model = opened.enter_context(InstantModel())
        server = opened.enter_context(ServerProcess(["--model", model.url]))
        api = opened.enter_context(Api(server.url))
        api.add(STREAM, {"push": True, "pace": "real"}, sample={"fps": 2})
        video = moving_video(server.videos / "camera.mp4", _VIDEO_S, fps=_FPS)
        units = list(media_units(video))
        camera = opened.enter_context(LivePush(server.url, STREAM, units, _VIDEO_S * 1_000_000))
        until(lambda: api.stream(STREAM)["frames"]["encoded"] >= 8, 60, "a full window")
        progress("one asker")
        first = _first_byte(server.url, 300 * times)
        progress(f"{ASKERS} askers")
        checks = _many(server.url, 10.0 * times)
        if camera.error is not None:
            raise RuntimeError(camera.error)
    return [first, *checks]


# ---------------------------------------------------------------- one asker


def _first_byte(url: str, questions: int) -> Check:
    """The middle of the first bytes, at that door of the two that is slower."""
    _by_sse(url, 20)
    by_door = {"SSE": _by_sse(url, questions), "websocket": asyncio.run(_by_websocket(url, questions))}
    middles = {door: median(times) * 1e3 for door, times in by_door.items()}
    late = {door: quantile(times, 0.99) * 1e3 for door, times in by_door.items()}
    note = ", ".join(f"{door} {middles[door]:.2f} ms (p99 {late[door]:.1f})" for door in by_door)
    return Check("server.first_byte_ms", max(middles.values()), "ms", "<= 5", note=note)


def _by_sse(url: str, questions: int) -> list[float]:
    """Seconds from the request to the first delta's own bytes, one connection kept open. Raises RuntimeError."""
    place = urlsplit(url)
    client = http.client.HTTPConnection(place.hostname or "", place.port)
    body = json.dumps({"question": QUESTION, "max_tokens": 3, "stream": True})
    taken: list[float] = []
    for _ in range(questions):
        began = time.perf_counter()
        client.request("POST", f"{resource('streams', STREAM)}/questions", body, {"Content-Type": "application/json"})
        response = client.getresponse()
        if response.status != 200 or response.readline() != b"event: delta\n":
            raise RuntimeError(f"a question ended with status {response.status}")
        taken.append(time.perf_counter() - began)
        response.read()
    client.close()
    return taken


async def _by_websocket(url: str, questions: int) -> list[float]:
    async with askers(url, [STREAM]) as [asker]:
        asked = [await asker.ask(QUESTION, max_tokens=3) for _ in range(questions)]
    failed = [one.code for one in asked if not one.ok]
    if failed:
        raise RuntimeError(f"a question ended with {failed[0]}")
    return [one.first_s - one.at_s for one in asked]


# ---------------------------------------------------------------- many askers


def _many(url: str, seconds: float) -> list[Check]:
    """Each asks again as soon as its answer is there."""
    before = frame_counts(url, STREAM)
    asked = asyncio.run(_ask_together(url, seconds))
    after = frame_counts(url, STREAM)
    sampled, encoded = (after[outcome] - before[outcome] for outcome in ("sampled", "encoded"))
    errors = [one.code for one in asked if not one.ok]
    taken = [one.end_s - one.at_s for one in asked]
    note = f"whole answers, {len(asked) / seconds:.0f} questions/s, p50 {median(taken) * 1e3:.0f} ms"
    calls = f"{encoded:.0f} frames encoded of {sampled:.0f} sampled"
    return [
        Check("server.askers32_p99_ms", quantile(taken, 0.99) * 1e3, "ms", "<= 100", note=note),
        Check("server.askers32_errors", len(errors), "errors", "<= 0", note=", ".join(sorted(set(errors)))),
        # A frame that was sampled just before or after may be encoded within.
        Check("server.askers32_encoder_calls", max(0.0, encoded - sampled - 1), "frames", "<= 0", note=calls),
    ]


async def _ask_together(url: str, seconds: float) -> Sequence[Asked]:
    async with askers(url, [STREAM] * ASKERS) as asking:
        end_s = time.monotonic() + seconds
        each = await asyncio.gather(*(keep_asking(asker, end_s, QUESTION, max_tokens=3) for asker in asking))
    return [asked for one in each for asked in one]


def frame_counts(url: str, stream: str) -> dict[str, float]:
    """What `/metrics` counts of a stream's frames, by outcome."""
    text = httpx.get(f"{url}/metrics", timeout=10).raise_for_status().text
    found = re.findall(r'^omnilive_frames_total\{outcome="(\w+)",stream="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    return {outcome: float(count) for outcome, name, count in found if name == stream}
