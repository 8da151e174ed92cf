"""`omnilive`: the command line. Each command imports what it needs when it runs, so that `--help` is quick."""

import sys

import typer

from clients.cli import ask, evaluate, serve, streams
from clients.cli.common import fail, refused

app = typer.Typer(
    name="omnilive",
    help="Watches live video, remembers it, and answers questions with the moments that prove the answer.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("serve")(serve.serve)
app.command("demo")(serve.demo)
app.add_typer(serve.config, name="config")
app.command("add")(streams.add)
app.command("streams")(streams.streams)
app.command("events")(streams.events)
app.command("forget")(streams.forget)
app.command("ask")(ask.ask)
app.command("explain")(ask.explain)
app.command("bench")(evaluate.bench)


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of the click that typer carries; it has no public name there."""


def main() -> None:
    """Run a command; every refusal is one line on stderr and an exit code."""
    from clients.api import ApiError

    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except ApiError as error:
        refused(error.code, error.message)
    except _UsageError as error:
        fail("usage", str(error), 2)
    except typer.Abort:
        fail("aborted", "nothing was done", 1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
