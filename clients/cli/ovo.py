"""`eval ovo`: OVO-Bench against a running server, and its scores."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli.common import AsJson, Url, fail, refused

if TYPE_CHECKING:
    from evaluation.ovo.annotations import Annotations

evaluations = typer.Typer(help="Streaming benchmarks, scored.", no_args_is_help=True)
ovo = typer.Typer(help="OVO-Bench: run it against a server, score it.", no_args_is_help=True)
evaluations.add_typer(ovo, name="ovo")

AnnotationFile = Annotated[Path, typer.Option("--annotations", help="The official file, ovo_bench_new.json.")]
Videos = Annotated[Path, typer.Option(help="The folder below which the videos lie as the file names them.")]
Fps = Annotated[float | None, typer.Option(min=0.01, max=60, help="Frames looked at a second [the server's].")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Videos at a time.")]
OwnModel = Annotated[str | None, typer.Option(help="Start a server of its own with this model, for the run.")]
Patience = Annotated[float, typer.Option(help="Seconds that a server which is away is waited for.")]
Report = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with plots too.")]


class Compat(StrEnum):
    """Whose slips are kept."""

    list = "list"


@ovo.command("score")
def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with result files of the official form.")],
    compat: Annotated[Compat | None, typer.Option(help="list: answers that are lists count as officially.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="What was asked [the official file's counts].")] = None,
    against: Annotated[Path | None, typer.Option(metavar="DIR", help="Say how far it is above another run.")] = None,
    report: Report = None,
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Score a folder of results; the last line on stdout is JSON."""
    from evaluation.ovo.annotations import FileRefused
    from evaluation.ovo.scoring import Wanted, run_score

    asked = _load(annotations) if annotations is not None else None
    try:
        return run_score(folder, asked, Wanted(compat is Compat.list, as_json, against, report))
    except FileRefused as error:
        refused("results_invalid", str(error))


@ovo.command("prompts")
def prompts(annotations: AnnotationFile) -> int:
    """Print every prompt, each followed by a NUL byte, in the order of the file."""
    queries = _load(annotations).queries
    sys.stdout.buffer.write(b"".join(query.prompt.encode() + b"\0" for query in queries))
    sys.stdout.buffer.flush()
    return 0


class Mode(StrEnum):
    """How videos are shown."""

    prefix = "prefix"
    onepass = "onepass"
    live = "live"


class Horizon(StrEnum):
    """Which frames a query may see."""

    ceil = "ceil"
    exact = "exact"


@ovo.command("run")
def run(
    annotations: AnnotationFile,
    videos: Videos,
    out: Annotated[Path, typer.Option("--out", help="Where results go; the same folder again goes on with a run.")],
    mode: Annotated[Mode, typer.Option(help="prefix: a stream a query; onepass: one a video; live: real time.")] = (
        Mode.onepass
    ),
    horizon: Annotated[Horizon, typer.Option(help="ceil: up to the next whole second, as officially.")] = Horizon.ceil,
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of an answer.")] = 128,
    fps: Fps = None,
    workers: Workers = 1,
    model: OwnModel = None,
    name: Annotated[str | None, typer.Option(help="The model's name in file names [the server's].")] = None,
    patience: Patience = 600.0,
    report: Report = None,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Put every query to a server, at its time; write official result files; score them."""
    from evaluation.ovo.annotations import FileRefused
    from evaluation.ovo.asking import Settings
    from evaluation.ovo.journal import AnotherRun
    from evaluation.ovo.run import Job
    from evaluation.ovo.running import model_name, run_job, serving
    from evaluation.ovo.scoring import Wanted
    from evaluation.server_process import ServerFailed

    asked = _load(annotations)
    if not videos.is_dir():
        fail("videos_missing", "--videos names no folder", 2)
    settings = Settings(mode.value, horizon.value, max_tokens, fps)
    try:
        with serving(model, url) as place:
            job = Job(asked, videos, out, settings, place, name or model_name(place), workers, patience)
            return run_job(job, Wanted(as_json=as_json, report=report))
    except (AnotherRun, FileRefused) as error:
        fail("folder_in_use", str(error), 2)
    except ServerFailed as error:
        refused("server_failed", str(error))


@ovo.command("speak")
def speak(
    annotations: AnnotationFile,
    videos: Videos,
    out: Annotated[Path, typer.Option("--out", help="A folder of its own; the same again goes on with it.")],
    mode: Annotated[Mode, typer.Option(help="onepass: on file time; live: in real time, what lag costs included.")] = (
        Mode.onepass
    ),
    every: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between looks.")] = 1.0,
    fps: Fps = None,
    workers: Workers = 1,
    model: OwnModel = None,
    name: Annotated[str | None, typer.Option(help="The model's name in tables [the server's].")] = None,
    patience: Patience = 600.0,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """The forward tasks with each question put once: what is said when, and the score that falls with time."""
    from evaluation.ovo.annotations import FileRefused
    from evaluation.ovo.asking import Settings
    from evaluation.ovo.journal import AnotherRun
    from evaluation.ovo.run import Job
    from evaluation.ovo.running import model_name, serving
    from evaluation.ovo.speaking import forward_of, run_speak
    from evaluation.server_process import ServerFailed

    asked = forward_of(_load(annotations))
    if not videos.is_dir():
        fail("videos_missing", "--videos names no folder", 2)
    settings = Settings(mode.value, "exact", 16, fps)
    try:
        with serving(model, url) as place:
            job = Job(asked, videos, out, settings, place, name or model_name(place), workers, patience)
            return run_speak(job, every, as_json=as_json)
    except FileRefused as error:
        fail("annotations_invalid", str(error), 2)
    except AnotherRun as error:
        fail("folder_in_use", str(error), 2)
    except ServerFailed as error:
        refused("server_failed", str(error))


@ovo.command("make")
def make(
    out: Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")],
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same set [drawn].")] = None,
    pairs: Annotated[int, typer.Option(min=1, max=10_000, help="Pairs of films; each has some 80 queries.")] = 5,
    fillers: Annotated[int, typer.Option(min=0, max=100, help="Scenes by which every second pair is longer.")] = 0,
) -> int:
    """Make a synthetic OVO-Bench with all twelve tasks, and prove that it asks for what can be seen."""
    from evaluation.ovo.synthetic.making import run_make

    if out.exists() and any(out.iterdir()):
        fail("folder_in_use", f"{out.name} is there already: name another folder", 2)
    return run_make(out, seed, pairs, fillers)


@ovo.command("oracle")
def oracle(port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one.")] = 0) -> int:
    """Serve a model that reads the strips of synthetic films and nothing else: for `serve --model URL`."""
    import threading

    from evaluation.oracle.server import OracleServer

    with OracleServer(port) as serving:
        print(f"ready {serving.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _load(path: Path) -> "Annotations":
    from evaluation.ovo.annotations import FileRefused, load_annotations

    try:
        return load_annotations(path)
    except FileRefused as error:
        fail("annotations_invalid", str(error), 2)
