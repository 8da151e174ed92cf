"""`add`, `streams`, `events`, `forget`: the streams of a server and what it remembers of them."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from clients.cli.common import AsJson, Since, Url, clock, fail, print_json, print_table
from clients.plain import plain

if TYPE_CHECKING:
    from clients.api import Api

Stream = Annotated[str, typer.Argument(metavar="ID", help="The stream's id.")]


def add(
    stream: Stream,
    source: Annotated[str, typer.Argument(metavar="URL", help="rtsp://..., a file, or `push`.")],
    pace: Annotated[str | None, typer.Option(help="real (the default) or fast, for files and pushed streams.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames looked at per second.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Add a stream."""
    from clients.api import Api

    with Api(url) as api:
        options: dict[str, Any] = {"sample": {"fps": fps}} if fps is not None else {}
        added = api.add(stream, _source(source, pace), **options)
    if as_json:
        print_json(added)
    else:
        print(f"{added['id']} is added; `omnilive streams` tells how it fares")


def _source(source: str, pace: str | None) -> dict[str, Any]:
    paced = {"pace": pace} if pace is not None else {}
    if source == "push":
        return {"push": True, **paced}
    if "://" not in source:
        source = Path(source).resolve().as_uri()
    return {"url": source, **paced}


def streams(url: Url = None, as_json: AsJson = False) -> None:
    """List the streams."""
    from clients.api import Api

    with Api(url) as api:
        found = api.get("/v1/streams", limit=1000)
    if as_json:
        print_json(found)
        return
    print_table(
        ["id", "state", "size", "fps", "last frame", "events", "memory", "trouble"],
        [_stream_row(one) for one in found["streams"]],
    )


def _stream_row(stream: dict[str, Any]) -> list[str]:
    size = stream["size"]
    error = stream["error"]
    return [
        stream["id"], stream["state"], f"{size[0]}x{size[1]}" if size else "-", f"{stream['fps']['received']:.1f}",
        clock(stream["last_frame"]), str(stream["memory"]["events"]), f"{stream['memory']['bytes'] / 1e6:.1f} MB",
        error["message"] if error else "",
    ]  # fmt: skip


def events(
    stream: Stream,
    q: Annotated[str | None, typer.Option("--q", help="Search by words.")] = None,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List what is remembered, newest first; with --q best first."""
    from clients.api import Api, resource

    with Api(url) as api:
        found = api.get(resource("streams", stream, "events"), q=q, since=since, until=until, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one["id"], clock(one["start"]), clock(one["end"]), str(len(one["frames"])),
            "" if one["score"] is None else f"{one['score']:.3f}", one["transcript"] or one["caption"] or "",
        ]
        for one in found["events"]
    ]  # fmt: skip
    print_table(["event", "start", "end", "frames", "score", "words"], rows)


def forget(
    stream: Stream,
    since: Since = None,
    until: Since = None,
    event: Annotated[str | None, typer.Option(help="One event.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the stream's memory.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Forget a range, an event, or everything: it cannot be undone."""
    from clients.api import Api, resource

    if sum((event is not None, everything, since is not None or until is not None)) != 1:
        fail("usage", "give a range (--since, --until), or --event, or --all", 2)
    if not yes:
        typer.confirm("This cannot be undone. Forget it?", abort=True, err=True)
    with Api(url) as api:
        if event is not None:
            body = api.delete(resource("streams", stream, "events", event))
        else:
            body = api.delete(resource("streams", stream, "memory"), since=since, until=until)
    if as_json:
        print_json(body)
    elif event is not None:
        print("the event is forgotten")
    else:
        print(f"{body['deleted']['events']} events are forgotten")


def export(
    stream: Stream,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the archive goes; nothing may be there.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write a stream's memory into one file."""
    from clients.api import Api

    with Api(url) as api:
        try:
            with file.open("xb") as opened:
                file.chmod(0o600)
                size = _exported(api, stream, opened, file)
        except OSError as error:
            fail("usage", f"{file.name} cannot be written: {error.strerror}", 2)
    if as_json:
        print_json({"stream": stream, "bytes": size})
    else:
        print(f"{size / 1e6:.1f} MB of {stream} are in {file.name}")


def _exported(api: "Api", stream: str, opened: BinaryIO, file: Path) -> int:
    """Nothing is left where not all of it came."""
    try:
        return api.export(stream, opened)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def take_in(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.", dir_okay=False)],
    stream: Annotated[str, typer.Option("--id", help="The new stream's id.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a stream of an exported file."""
    from clients.api import Api

    if not file.is_file():
        fail("usage", f"there is no file {file.name}", 2)
    with Api(url) as api, file.open("rb") as opened:
        made = api.take_in(stream, opened)
    if as_json:
        print_json(made)
    else:
        print(f"{made['id']} is there, with {made['memory']['events']} events")


def push(
    stream: Stream,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A video file, `webcam` or `screen`.")],
    pace: Annotated[str, typer.Option(help="real, or fast: a file as quickly as it can be watched.")] = "real",
    fps: Annotated[float, typer.Option(min=0.1, max=30, help="Pictures a second of a webcam or screen.")] = 2.0,
    device: Annotated[str | None, typer.Option(help="Which webcam or screen, as FFmpeg names it.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a video of this machine to a server, until its end or Ctrl-C; the stream is added if there is none."""
    from clients.push import DeviceSource, FileSource
    from clients.push import push as send

    if pace not in {"real", "fast"}:
        raise typer.BadParameter("choose real or fast", param_hint="--pace")
    sent = FileSource(Path(source)) if source not in {"webcam", "screen"} else DeviceSource(source, fps, device)
    _need_stream(stream, pace, url)
    count = 0
    with contextlib.suppress(KeyboardInterrupt):
        count = asyncio.run(send(sent, stream, url, real=pace == "real", told=_tell))
    if as_json:
        print_json({"stream": stream, "messages": count})
    else:
        print(f"sent {count} messages to {stream}" if count else "stopped")


def _need_stream(stream: str, pace: str, url: str | None) -> None:
    from clients.api import Api, ApiError

    with Api(url) as api:
        try:
            api.add(stream, {"push": True, "pace": pace})
        except ApiError as error:
            if error.code != "stream_exists":
                raise


def _tell(text: str) -> None:
    print(plain(text), file=sys.stderr, flush=True)
