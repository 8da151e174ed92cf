"""Four streams and a question every five seconds for minutes: does memory grow, do file descriptors?"""

import time
from collections.abc import Sequence
from pathlib import Path

from clients.api import Api, ApiError
from evaluation.checks import Check
from evaluation.clips import looped_video, moving_video
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess, Usage
from evaluation.stats import median, theil_sen
from evaluation.wait import until

STREAMS = 4
ASK_EVERY_S = 5.0
SAMPLE_EVERY_S = 2.0
SETTLED_S = 300.0
"""The minutes in which caches, pools and windows fill are not counted."""

POINT_S = 10.0
"""One point of the slope is the median of so many seconds: single samples depend on what a process does just then."""


def run(full: bool, progress: Progress) -> list[Check]:
    """8 minutes in the quick profile, 30 in the full one; the first five are not counted in either."""
    minutes = 30 if full else 8
    with ServerProcess() as server, Api(server.url) as api:
        names = _open_streams(api, server.videos, minutes * 60 + 60, progress)
        usages, answers, refusals = _watch(server, api, names, minutes * 60, progress)
        restarts = sum(process["restarts"] for process in api.get("/v1/server")["processes"].values())
    counted = [usage for usage in usages if usage.at_s - usages[0].at_s >= SETTLED_S]
    note = f"{STREAMS} streams, {minutes} min, {answers} answers, {refusals} refused"
    wrong = went_wrong(answers, refusals, restarts, minutes)
    if wrong:
        return [
            Check("soak.rss_slope", None, "MiB/min", "<= 0.5", note=f"{wrong}: {note}"),
            Check("soak.fds", None, "descriptors", "<= 2", note=f"{wrong}: {note}"),
        ]
    return [slope_check(counted, full, note), fds_check(counted)]


def went_wrong(answers: int, refusals: int, restarts: int, minutes: float) -> str | None:
    """Why the figures would say nothing: a server that refuses, lags behind its askers or starts anew does not grow."""
    if refusals:
        return f"{refusals} questions were refused"
    if restarts:
        return f"{restarts} processes were started again"
    due = minutes * 60 / ASK_EVERY_S
    return f"only {answers} answers where {due:.0f} were due" if answers < 0.9 * due else None


def _open_streams(api: Api, videos: Path, seconds: float, progress: Progress) -> list[str]:
    """Files of 48 s over and over, at their own pace."""
    progress(f"{STREAMS} streams start")
    names = [f"soak-{n}" for n in range(STREAMS)]
    for n, name in enumerate(names):
        once = moving_video(videos / f"once-{n}.mp4", 48, fps=10, seed=n)
        video = looped_video(once, videos / f"{name}.mp4", seconds)
        api.add(name, {"url": video.as_uri(), "pace": "real"})
    for name in names:
        until(lambda name=name: api.stream(name)["frames"]["encoded"] >= 2, 60, "frames of each stream")  # type: ignore[misc]
    return names


def _watch(
    server: ServerProcess, api: Api, names: Sequence[str], seconds: float, progress: Progress
) -> tuple[list[Usage], int, int]:
    """Ask in turns and take samples in between; the samples, the answers, the refusals."""
    usages = [server.usage()]
    began = time.monotonic()
    questions = answers = 0
    while (passed := time.monotonic() - began) < seconds:
        if passed >= questions * ASK_EVERY_S:
            answers += _ask(api, names[questions % len(names)])
            questions += 1
        usages.append(server.usage())
        if questions % 12 == 0:
            progress(f"{passed / 60:.0f} of {seconds / 60:.0f} min, {usages[-1].total_rss_mib:.0f} MiB")
        time.sleep(SAMPLE_EVERY_S)
    return usages, answers, questions - answers


def _ask(api: Api, name: str) -> bool:
    try:
        api.ask(name, "What happened a minute ago?", max_tokens=16)
    except ApiError:
        return False
    return True


def slope_check(usages: Sequence[Usage], full: bool, note: str) -> Check:
    """Growth of all processes together; in the quick profile the low end of its interval is held against the bar."""
    points = thinned(usages)
    slope = theil_sen([at for at, _ in points], [mib for _, mib in points])
    interval = f"95 % interval {slope.interval.low:.2f} to {slope.interval.high:.2f}"
    last = ", ".join(f"{name} {mib:.0f}" for name, mib in usages[-1].rss_mib.items())
    reached = None if full else slope.interval.low
    text = f"{interval}; {note}; at the end (MiB): {last}"
    return Check("soak.rss_slope", slope.value, "MiB/min", "<= 0.5", reached=reached, note=text)


def thinned(usages: Sequence[Usage]) -> list[tuple[float, float]]:
    """(minutes, MiB): the median of each ten seconds."""
    if not usages:
        return []
    bins: dict[int, list[Usage]] = {}
    for usage in usages:
        bins.setdefault(int((usage.at_s - usages[0].at_s) / POINT_S), []).append(usage)
    return [(place * POINT_S / 60, median([one.total_rss_mib for one in found])) for place, found in bins.items()]


def fds_check(usages: Sequence[Usage]) -> Check:
    """Descriptors of the last minute less those of the first one that counts, medians both."""
    begin, end = usages[0].at_s, usages[-1].at_s
    first = median([usage.fds for usage in usages if usage.at_s <= begin + 60])
    last = median([usage.fds for usage in usages if usage.at_s >= end - 60])
    return Check(
        "soak.fds", last - first, "descriptors", "<= 2", note=f"{first:.0f} after 5 min, {last:.0f} at the end"
    )
