"""`ask` and `explain`: a question to a stream, and why it was answered so."""

from typing import Annotated, Any

import typer

from clients.cli.common import AsJson, Since, Url, clock, print_json, print_table
from clients.cli.explain_view import COLUMNS, rows, summary
from clients.cli.streams import Stream
from clients.plain import plain, plain_line


def ask(
    stream: Stream,
    question: Annotated[str, typer.Argument(help="Any question, about now or about the past.")],
    since: Since = None,
    until: Since = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask a stream; the answer appears as it is made, then the moments that prove it."""
    from clients.api import Api

    with Api(url) as api:
        if as_json:
            print_json(api.ask(stream, question, since=since, until=until, max_tokens=max_tokens))
            return
        for piece in api.ask_streamed(stream, question, since=since, until=until, max_tokens=max_tokens):
            if isinstance(piece, str):
                print(plain(piece), end="", flush=True)
            else:
                print()
                _print_proof(piece, api.url)


def _print_proof(answer: dict[str, Any], url: str) -> None:
    timing = answer["timing"]
    lines = [
        f"{clock(one['start'])} - {clock(one['end'])}  {one['stream']}  {url}{one['frame']}"
        for one in answer["evidence"]
    ]
    lines.append(f"{answer['id']}  first word after {timing['ttft_ms']:.0f} ms, all after {timing['total_ms']:.0f} ms")
    for line in lines:
        print(f"  {plain(line)}")


def explain(
    question: Annotated[str, typer.Argument(metavar="QUESTION_ID", help="The id that `ask` printed.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Why a question was answered from these moments."""
    from clients.api import Api, resource

    with Api(url) as api:
        body = api.get(resource("questions", question, "explain"))
    if as_json:
        print_json(body)
        return
    for line in summary(body):
        print(plain_line(line))
    if body["candidates"]:
        print_table(COLUMNS, rows(body["candidates"]))
