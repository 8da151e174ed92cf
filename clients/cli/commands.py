"""All commands of `omnilive`. Each imports what it needs when it runs, so that `--help` is quick."""

from collections.abc import Sequence

import typer

from clients.cli import ask, evaluate, keys, ovo, serve, streams
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
app.add_typer(keys.keys, name="keys")
app.command("add")(streams.add)
app.command("streams")(streams.streams)
app.command("events")(streams.events)
app.command("forget")(streams.forget)
app.command("export")(streams.export)
app.command("import")(streams.take_in)
app.command("push")(streams.push)
app.command("ask")(ask.ask)
app.command("explain")(ask.explain)
app.command("bench")(evaluate.bench)
app.add_typer(ovo.evaluations, name="eval")


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Of the click that typer carries; it has no public name there."""

_OF_SERVER = ("serve", "config", "keys")
"""Commands whose refusals have the codes of a server that does not start."""


def run(arguments: Sequence[str]) -> int:
    """Run a command: its exit code. Every refusal is one line on stderr and the process's end."""
    from clients.api import ApiError

    try:
        code = app(list(arguments) or ["--help"], standalone_mode=False)
    except ApiError as error:
        refused(error.code, error.message)
    except _UsageError as error:
        fail("config_invalid" if arguments and arguments[0] in _OF_SERVER else "usage", _said(error), 2)
    except typer.Abort:
        fail("aborted", "nothing was done", 1)
    return code if isinstance(code, int) else 0


def _said(error: Exception) -> str:
    """With the parameter's name, which the exception's own text leaves out."""
    return error.format_message() if isinstance(error, typer.BadParameter) else str(error)
