"""Three times as many questions as can be answered: what is let in keeps the pace, the rest is refused at once.

A random checkpoint, whose answers are as long as they may be, behind a whole server that a camera sends to all the
while. Best pace and overload are measured in turns, so that a machine that is shared counts in both.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clients.api import Api
from clients.media import media_units
from evaluation.askers import Asked, Asker, ask_at_rate, askers, keep_asking
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.live_push import LivePush
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stall import CAMERA_FPS, SAMPLE_FPS, losses
from evaluation.stats import quantile
from evaluation.wait import until
from reasoning.random_checkpoints import make_idefics3

STREAM: Final = "cam"
QUESTION: Final = "What do you see?"
TIMES: Final = 3
ASKERS: Final = 16
"""Twice the slots: whenever an answer ends, another question waits."""
TOKENS: Final = 48
DEADLINE_MS: Final = 6000
REFUSED: Final = "too_many_questions"
_SETTLE_S: Final = 3.0
"""Until the line is as long as it will be."""
_VIDEO_S: Final = 4
_THREADS: Final = {f"OMNILIVE_{stage}__THREADS": "1" for stage in ("PERCEPTION", "MEMORY", "REASONING")}
"""More do not help models so small, and would take the cores from one another."""


@dataclass(frozen=True)
class Phase:
    """What was asked, and the span of the monotonic clock that counts."""

    asked: Sequence[Asked]
    since_s: float
    until_s: float

    @property
    def answered(self) -> int:
        """Answers whose end lies in the span."""
        return sum(one.ok and self.since_s <= one.end_s < self.until_s for one in self.asked)

    @property
    def seconds(self) -> float:
        """Length of the span."""
        return self.until_s - self.since_s


def run(full: bool, progress: Progress) -> list[Check]:
    """Two rounds of 6 s at the best pace and 8 s of overload in the quick profile; five of 15 s and 30 s in the full
    one."""
    rounds, spans = (5, (15.0, 30.0)) if full else (2, (6.0, 8.0))
    with ExitStack() as opened:
        made = opened.enter_context(tempfile.TemporaryDirectory())
        model = make_idefics3(Path(made) / "model", "tiny")
        server = opened.enter_context(ServerProcess(["--model", str(model)], environment=_THREADS))
        api = opened.enter_context(Api(server.url))
        start = int(time.time())
        api.add(STREAM, {"push": True, "pace": "real", "start": _rfc3339(start)}, sample={"fps": SAMPLE_FPS})
        units = list(media_units(moving_video(server.videos / "camera.mp4", _VIDEO_S, fps=CAMERA_FPS)))
        with LivePush(server.url, STREAM, units, _VIDEO_S * 1_000_000) as camera:
            until(lambda: api.stream(STREAM)["frames"]["encoded"] >= 8, 60, "a full window")
            phases = asyncio.run(_rounds(server.url, rounds, spans, progress))
            if camera.error is not None:
                raise RuntimeError(camera.error)
        lost = losses(api, STREAM)
    return [*_checks([best for best, _ in phases], [crowd for _, crowd in phases]), _ingest(lost)]


async def _rounds(url: str, rounds: int, spans: tuple[float, float], progress: Progress) -> list[tuple[Phase, Phase]]:
    found: list[tuple[Phase, Phase]] = []
    async with askers(url, [STREAM] * ASKERS) as asking:
        for n in range(rounds):
            progress(f"the best pace, round {n + 1} of {rounds}")
            best = await _best(asking, spans[0])
            pace = best.answered / best.seconds
            progress(f"{TIMES} times {pace:.1f} questions/s, round {n + 1} of {rounds}")
            found.append((best, await _crowd(asking, TIMES * pace, spans[1])))
    return found


async def _best(asking: Sequence[Asker], seconds: float) -> Phase:
    """Each asks again as soon as its answer is there."""
    since_s = time.monotonic() + _SETTLE_S
    until_s = since_s + seconds
    each = await asyncio.gather(*(keep_asking(one, until_s, QUESTION, max_tokens=TOKENS) for one in asking))
    return Phase([asked for one in each for asked in one], since_s, until_s)


async def _crowd(asking: Sequence[Asker], per_s: float, seconds: float) -> Phase:
    """Ask at a steady rate, whatever comes of it."""
    since_s = time.monotonic() + _SETTLE_S
    options = {"max_tokens": TOKENS, "deadline_ms": DEADLINE_MS}
    asked = await ask_at_rate(asking, per_s, _SETTLE_S + seconds, QUESTION, **options)
    return Phase(asked, since_s, since_s + seconds)


def _checks(best: Sequence[Phase], crowd: Sequence[Phase]) -> list[Check]:
    paces = [
        sum(phase.answered for phase in phases) / sum(phase.seconds for phase in phases) for phases in (best, crowd)
    ]
    asked = [one for phase in crowd for one in phase.asked]
    refused = [one for one in asked if one.code == REFUSED]
    failed = [one.code for phase in (*best, *crowd) for one in phase.asked if one.code not in ("", REFUSED)]
    # Refused at the best pace: then it was not the best.
    failed += [one.code for phase in best for one in phase.asked if one.code == REFUSED]
    answered = [one.end_s - one.at_s for one in asked if one.ok]
    answers = sum(one.ok for phase in (*best, *crowd) for one in phase.asked)
    note = f"{paces[1]:.1f} answers/s of {TIMES} x {paces[0]:.1f} asked, {len(refused)} of {len(asked)} refused"
    if not refused or not answered or not paces[0]:
        return [Check("overload.goodput", None, "ratio", ">= 0.9", note=f"that was no overload: {note}")]
    waits = [one.retry_after_s or 0.0 for one in refused]
    late = f"of {len(refused)}; told to wait {min(waits):.0f} to {max(waits):.0f} s"
    slow = f"accepted ones: p99 {quantile(answered, 0.99):.2f} s of {DEADLINE_MS / 1000:.0f}; " + ", ".join(set(failed))
    refused_ms = quantile([one.end_s - one.at_s for one in refused], 0.99) * 1e3
    return [
        Check("overload.goodput", paces[1] / paces[0], "ratio", ">= 0.9", note=note),
        Check("overload.refused_p99_ms", refused_ms, "ms", "<= 100", note=late),
        Check("overload.failed", len(failed) / (len(failed) + answers), "share", "<= 0.01", note=slow),
    ]


def _ingest(lost: dict[str, int]) -> Check:
    note = ", ".join(f"{kind} {count}" for kind, count in lost.items())
    return Check("overload.frames_lost", sum(lost.values()), "frames", "<= 0", note=note)


def _rfc3339(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
