"""What the commands share: options, tables, the one line of a refusal."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from clients.plain import plain_json, plain_line

Url = Annotated[str | None, typer.Option("--url", help="The server; default $OMNILIVE_URL or http://127.0.0.1:8000.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the server's JSON and nothing else.")]
Since = Annotated[str | None, typer.Option(help="RFC 3339, -90s, -10m, -2h, -7d, or seconds of media time.")]


def fail(code: str, message: str, status: int) -> NoReturn:
    """Say why, and end."""
    sys.stderr.write(f"omnilive: error[{code}]: {plain_line(message)}\n")
    sys.exit(status)


def refused(code: str, message: str) -> NoReturn:
    """The server said no: what it said, and end."""
    sys.stderr.write(f"error[{code}]: {plain_line(message)}\n")
    sys.exit(1)


def print_json(body: Any) -> None:
    """A REST body, for machines."""
    print(plain_json(body))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of text, for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text(plain_line(cell)) for cell in row))
    Console().print(table)


def clock(time: str | None) -> str:
    """HH:MM:SS of an RFC 3339 time."""
    return time[11:19] if time else "-"
