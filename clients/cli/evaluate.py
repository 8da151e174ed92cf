"""`bench`: the figures, each beside its bar."""

from typing import Annotated

import typer

from clients.cli.common import AsJson


def bench(
    name: Annotated[str, typer.Argument(help="A benchmark, or `all`.")],
    full: Annotated[bool, typer.Option("--full", help="The long profile.")] = False,
    only: Annotated[list[str] | None, typer.Option(metavar="FIGURE", help="Run the parts that deliver it.")] = None,
    as_json: AsJson = False,
) -> int:
    """Measure; the last line on stdout is JSON."""
    from evaluation.bench import main

    return main(name, full, as_json, only or ())
