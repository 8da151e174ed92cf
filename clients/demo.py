"""`omnilive demo`: shows a film of the procedural world to a server and holds its answers to the truth."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clients import demo_view as view
from clients.api import Api, ApiError, Json
from clients.demo_checks import Asked, Check, Clock, check_all, moments_of
from clients.demo_server import OwnServer
from clients.live import Live
from clients.media import SOUND, SOUND_RATE, VIDEO, MediaUnit, media_units
from clients.plain import plain
from training.world import SECOND, Script, World, WorldQuestion, questions, write_video

WIDTH, HEIGHT, FPS = 640, 480, 10
_MEMORY_US: Final = 8 * SECOND
"""What was last seen so long ago has left the now window: only memory can tell."""
_WANTED: Final = {"now": ("colour", "shape", "place"), "past": ("colour", "sign", "place"), "never": ("absent",)}
"""Kinds of question that are asked, by what they are about; seeds take turns."""
_ANSWER_TOKENS: Final = 16


def run_demo(seed: int = 1, keep: bool = False, url: str | None = None, console: Console | None = None) -> int:
    """The whole demo, with a server of its own or the one at `url`. 0 only if all of it worked.

    keep: leave the server (of `url`: the stream) as it is at the end.
    """
    console = console or Console(highlight=False)
    began = time.monotonic()
    try:
        with ExitStack() as leaving:
            folder = _folder(leaving, keep and url is None)
            script = World(seed).script()
            with console.status("drawing the film"):
                film = list(media_units(write_video(script, folder / "film.mp4", WIDTH, HEIGHT, FPS)))
            checks = (
                _screen(console, script, film, url, keep) if url else _screen_alone(console, script, film, folder, keep)
            )
    except ApiError as error:
        console.print(plain(f"error[{error.code}]: {error.message}"), style="red", markup=False, soft_wrap=True)
        return 1
    view.show_checks(console, checks)
    failed = sum(not check.ok for check in checks)
    verdict = "[bold green]all of it worked[/]" if failed == 0 else f"[bold red]{failed} of {len(checks)} failed[/]"
    console.print(f"{verdict} in {time.monotonic() - began:.0f} s")
    return 0 if failed == 0 else 1


def _folder(leaving: ExitStack, keep: bool) -> Path:
    """A scratch folder that goes at the end, or stays with the server that lives in it."""
    if keep:
        return Path(tempfile.mkdtemp(prefix="omnilive-demo-"))
    return Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="omnilive-demo-")))


def _screen_alone(console: Console, script: Script, film: list[MediaUnit], folder: Path, keep: bool) -> list[Check]:
    """With a server of our own, which also has to stop as it should."""
    with ExitStack() as leaving:
        with console.status("starting a server"):
            server = leaving.enter_context(OwnServer(folder))
        console.print(f"server ready at {server.url} after {server.ready_s:.1f} s")
        checks = _screen(console, script, film, server.url, keep=True)
        server.keep = keep
        if keep:
            console.print(f"the server goes on at {server.url} (process {server.pid}); its data are in {folder}")
            return checks
        began = time.monotonic()
        status = server.stop()
        stopped = f"exit code {status}, {time.monotonic() - began:.1f} s" if status is not None else "had to be killed"
        return [*checks, Check("the server stops when asked", status == 0, stopped)]


def _screen(console: Console, script: Script, film: list[MediaUnit], url: str, keep: bool) -> list[Check]:
    """Show the film to a server, ask, show what came back; what held and what did not."""
    stream = f"demo-{script.seed}-{uuid4().hex[:6]}"
    with Api(url) as api:
        api.add(stream, {"push": True, "pace": "fast"})
        try:
            view.show_film(console, script, stream, (WIDTH, HEIGHT), FPS)
            asked, events, clock = _watch_and_ask(console, api, script, film, stream)
            return _judge(console, script, asked, events, clock)
        finally:
            if not keep:
                api.delete(f"/v1/streams/{stream}")


def _watch_and_ask(
    console: Console, api: Api, script: Script, film: list[MediaUnit], stream: str
) -> tuple[list[Asked], list[Json], Clock]:
    chosen = choose_questions(script)
    with Live(api.url, stream) as live:
        _push(console, live, film)
        replies = []
        for number, question in enumerate(chosen):
            with console.status(f"asking: {question.text}"):
                live.ask(f"q{number}", question.text, max_tokens=_ANSWER_TOKENS)
                replies.append(live.wait(f"q{number}"))
        events = api.events(stream)
        clock = _clock(events)
        asked = [
            Asked(question, reply, moments_of(reply.answer, events, clock, lambda address: _picture(api, address)))
            for question, reply in zip(chosen, replies, strict=True)
        ]
    return asked, events, clock


def _push(console: Console, live: Live, film: list[MediaUnit]) -> None:
    """The whole film, as fast as the server takes it."""
    live.announce(VIDEO, "h264")
    live.announce(SOUND, "pcm_s16le", rate=SOUND_RATE, channels=1)
    columns = (TextColumn("showing the film"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for unit in progress.track(film):
            live.send(unit.track, unit.data, unit.pts_us)


def choose_questions(script: Script) -> list[WorldQuestion]:
    """One about now, one about what has left the picture, one about what never was: the same for a script."""
    found = questions(script, script.duration_us, most=1000)
    return [_choose(script, about, [one for one in found if one.about == about and not one.timed]) for about in _WANTED]


def _choose(script: Script, about: str, found: list[WorldQuestion]) -> WorldQuestion:
    """Of the kind whose turn it is, where there is one; of the past, what the now window cannot show."""
    if about == "past":
        old = [question for question in found if question.truth_end_us < script.duration_us - _MEMORY_US]
        found = old or found
    wanted = _WANTED[about]
    turns = [wanted[(script.seed + n) % len(wanted)] for n in range(len(wanted))]
    alike = [[question for question in found if question.kind == kind] for kind in turns]
    best = next((some for some in alike if some), found)
    return best[script.seed % len(best)]


def _judge(console: Console, script: Script, asked: Sequence[Asked], events: list[Json], clock: Clock) -> list[Check]:
    for number, one in enumerate(asked, start=1):
        view.show_answer(console, number, one)
    return check_all(script, asked, events, clock)


def _clock(events: list[Json]) -> Clock:
    if not events:
        raise ApiError("no_events", "the server remembers nothing of the film")
    first = events[0]
    return Clock(datetime.fromisoformat(first["start"]) - timedelta(microseconds=first["media_start_us"]))


def _picture(api: Api, address: str) -> bytes:
    """A frame of the evidence, by path or whole address; b"" where there is none."""
    try:
        return api.picture(address.removeprefix(api.url))
    except ApiError:
        return b""
