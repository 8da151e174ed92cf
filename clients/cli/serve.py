"""`serve`, `demo` and `config`: what runs on the server's own machine."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli.common import AsJson, fail, print_json

config = typer.Typer(help="Print or check the configuration.", no_args_is_help=True)

File = Annotated[Path | None, typer.Option("--config", help="A TOML file.", dir_okay=False)]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [8000].")] = None,
    data: Annotated[str | None, typer.Option(help="Data folder [$XDG_DATA_HOME/omnilive].")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, hub id, or http(s)://.../v1 [embedded].")] = None,
    model_name: Annotated[str | None, typer.Option(help="Which model of that server [its first].")] = None,
    encoder: Annotated[str | None, typer.Option(help="Recall encoder: folder or hub id [embedded].")] = None,
    asr: Annotated[str | None, typer.Option(help="Speech recogniser: folder or hub id [off].")] = None,
    file: File = None,
    allow_files: Annotated[list[str] | None, typer.Option(help="Folder whose files may be streams.")] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate in PEM form: https and wss instead of http.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="The certificate's private key in PEM form.")] = None,
    create_key: Annotated[bool, typer.Option(help="Make a key where there is none; DATA/first-key holds it.")] = False,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that a checkpoint brings.")] = False,
) -> int:
    """Run the server until Ctrl-C. SIGHUP: cameras and limits are read again."""
    from server.config import Config, load_config
    from server.errors import StartError
    from server.run import refuse_start
    from server.run import serve as run

    flags: dict[str, Any] = {
        "host": host, "port": port, "data": data, "model": model, "encoder": encoder, "asr": asr,
        "allow_files": allow_files or None, "trust_remote_code": trust_remote_code or None,
        "create_key": create_key or None, "model_name": model_name,
        "tls": {"cert": tls_cert, "key": tls_key},
    }  # fmt: skip

    def load() -> Config:
        return load_config(flags, os.environ, file)

    try:
        return run(load(), again=load)
    except StartError as error:
        return refuse_start(error)


def demo(
    seed: Annotated[int, typer.Option(help="Which little film is shown.")] = 1,
    keep: Annotated[bool, typer.Option(help="Leave the server running.")] = False,
    url: Annotated[str | None, typer.Option(help="A server that runs already, instead of one of its own.")] = None,
) -> int:
    """Show a film to a server of its own, ask three questions, print the answers beside the truth."""
    from clients.demo import run_demo

    return run_demo(seed, keep, url)


@config.command("show")
def show(file: File = None, as_json: AsJson = False) -> int:
    """Print the configuration as the server would use it."""
    from server.config import load_config
    from server.errors import StartError
    from server.run import refuse_start
    from server.settings import show_config

    try:
        shown = show_config(load_config({}, os.environ, file), os.environ)
    except StartError as error:
        return refuse_start(error)
    if as_json:
        print_json(shown)
    else:
        _print_tree(shown, "")
    return 0


@config.command("check")
def check(file: Annotated[Path, typer.Argument(help="A TOML file.", dir_okay=False)]) -> int:
    """Check a configuration file."""
    from server.errors import StartError
    from server.run import refuse_start
    from server.settings import check_config

    if not file.is_file():
        fail("config_invalid", f"there is no file {file.name}", 2)
    try:
        check_config(file)
    except StartError as error:
        return refuse_start(error)
    sys.stderr.write("the configuration is good\n")
    return 0


def _print_tree(node: dict[str, Any], prefix: str) -> None:
    for name, value in node.items():
        if isinstance(value, dict):
            _print_tree(value, f"{prefix}{name}.")
        else:
            print(f"{prefix}{name} = {value!r}")
