"""How long the server takes to be ready and to stop, and what memory each process takes with a stream at work."""

from collections.abc import Sequence

from clients.api import Api
from evaluation.checks import Check
from evaluation.clips import moving_video
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess, Usage
from evaluation.stats import median
from evaluation.wait import until


def run(full: bool, progress: Progress) -> list[Check]:
    """The median of 3 starts (5 in full), after one that is not counted."""
    ready: list[float] = []
    stops: list[float] = []
    usages: list[Usage] = []
    for n in range((5 if full else 3) + 1):
        progress("first start, not counted" if n == 0 else f"start {n}")
        with ServerProcess() as server:
            with Api(server.url) as api:
                api.get("/readyz")
            usage = _at_work(server, progress)
            taken_s = server.stop()
        if n > 0:
            ready.append(server.ready_s)
            stops.append(taken_s)
            usages.append(usage)
    return [_timed("start.ready_s", ready, "<= 10"), _timed("stop.s", stops, "<= 5"), *_memory(usages)]


def _at_work(server: ServerProcess, progress: Progress) -> Usage:
    """Memory once frames have been encoded and a question answered; the stream goes on, so that stopping has work."""
    progress("memory with a stream at work")
    video = moving_video(server.videos / "work.mp4", 60, fps=10)
    with Api(server.url) as api:
        api.add("work", {"url": video.as_uri(), "pace": "real"})
        until(lambda: api.stream("work")["frames"]["encoded"] >= 8, 60, "eight frames encoded")
        api.ask("work", "What do you see?", max_tokens=8)
        return server.usage()


def _timed(name: str, seconds: Sequence[float], bar: str) -> Check:
    note = f"median of {len(seconds)}; {min(seconds):.2f} to {max(seconds):.2f} s"
    return Check(name, median(seconds), "s", bar, note=note)


def _memory(usages: Sequence[Usage]) -> list[Check]:
    note = "resident, shared pages included, after a question on a running stream"
    names = list(usages[0].rss_mib)
    medians = {name: median([usage.rss_mib[name] for usage in usages]) for name in names}
    return [Check(f"start.rss_mib.{name}", round(value, 1), "MiB", note=note) for name, value in medians.items()]
