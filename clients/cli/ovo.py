"""`eval ovo`: OVO-Bench against a running server, and its scores."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli.common import AsJson, fail, refused

if TYPE_CHECKING:
    from evaluation.ovo.annotations import Annotations

evaluations = typer.Typer(help="Streaming benchmarks, scored.", no_args_is_help=True)
ovo = typer.Typer(help="OVO-Bench: run it against a server, score it.", no_args_is_help=True)
evaluations.add_typer(ovo, name="ovo")

AnnotationFile = Annotated[Path, typer.Option("--annotations", help="The official file, ovo_bench_new.json.")]


class Compat(StrEnum):
    """Whose slips are kept."""

    list = "list"


@ovo.command("score")
def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with result files of the official form.")],
    compat: Annotated[Compat | None, typer.Option(help="list: answers that are lists count as officially.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="What was asked [the official file's counts].")] = None,
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Score a folder of results; the last line on stdout is JSON."""
    from evaluation.ovo.annotations import FileRefused
    from evaluation.ovo.scoring import run_score

    asked = _load(annotations) if annotations is not None else None
    try:
        return run_score(folder, asked, lists=compat is Compat.list, as_json=as_json)
    except FileRefused as error:
        refused("results_invalid", str(error))


@ovo.command("prompts")
def prompts(annotations: AnnotationFile) -> int:
    """Print every prompt, each followed by a NUL byte, in the order of the file."""
    queries = _load(annotations).queries
    sys.stdout.buffer.write(b"".join(query.prompt.encode() + b"\0" for query in queries))
    sys.stdout.buffer.flush()
    return 0


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


def _load(path: Path) -> "Annotations":
    from evaluation.ovo.annotations import FileRefused, load_annotations

    try:
        return load_annotations(path)
    except FileRefused as error:
        fail("annotations_invalid", str(error), 2)
