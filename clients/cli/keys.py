"""`keys`: who may talk to a server. Works on the data folder, beside a running server or before the first start."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli.common import AsJson, fail, print_json

if TYPE_CHECKING:
    from server.keys import KeyFile

keys = typer.Typer(help="Make, list or revoke API keys.", no_args_is_help=True)

Data = Annotated[
    Path | None, typer.Option(help="Data folder of the server [$OMNILIVE_DATA, else $XDG_DATA_HOME/omnilive].")
]
Name = Annotated[str, typer.Argument(help="The key's name.")]


@keys.command("create")
def create(
    name: Name,
    tenant: Annotated[str, typer.Option(help="Whose streams it sees.")] = "default",
    scopes: Annotated[str, typer.Option(help="What it allows.")] = "view,ask,ingest,admin",
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Make a key and print it, once: only its hash is kept."""
    from server.keys import KeyRefused

    asked = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    try:
        key = _file(data).create(name, tenant, asked)
    except KeyRefused as error:
        fail("invalid_field", str(error), 2)
    if as_json:
        print_json({"name": name, "tenant": tenant, "scopes": list(asked), "key": key})
    else:
        print(key)
    return 0


@keys.command("list")
def list_keys(data: Data = None, as_json: AsJson = False) -> int:
    """Print what is known of each key."""
    kept = _file(data).read()
    if as_json:
        print_json({"keys": [{"name": one.name, "tenant": one.tenant, "scopes": list(one.scopes),
                              "created": one.created} for one in kept]})  # fmt: skip
    else:
        for one in kept:
            print(f"{one.name}  {one.tenant}  {','.join(one.scopes)}  {one.created}")
    return 0


@keys.command("revoke")
def revoke(name: Name, data: Data = None) -> int:
    """Let a key open nothing any more."""
    from server.keys import KeyRefused

    try:
        _file(data).revoke(name)
    except KeyRefused as error:
        fail("invalid_field", str(error), 1)
    return 0


def _file(data: Path | None) -> "KeyFile":
    from server.config import default_data
    from server.keys import KeyFile

    return KeyFile(data or Path(os.environ.get("OMNILIVE_DATA") or default_data(os.environ)))
