"""What the README tells a stranger to type works as it stands there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TESTED_AS_SHOWN = {"make demo", "make test", "make serve"}


def blocks(language: str) -> list[tuple[str, bool]]:
    """Code blocks of a language, and whether a comment before says that they are not run as they stand."""
    found = re.finditer(rf"(<!-- not run: [^>]+ -->\n)?```{language}\n(.*?)```", README, re.DOTALL)
    return [(match[2], match[1] is not None) for match in found]


@pytest.fixture
def door(server: Any, omnilive: Any, make_clip: Any, until: Any) -> Iterator[Any]:
    """The server with a stream called `door`, as the README has it, that has seen something."""
    assert omnilive("add", "door", str(make_clip()), "--pace", "fast", url=server.url).returncode == 0
    with server.client() as client:
        until(lambda: client.get("/v1/streams/door").json()["state"] == "ended", 60)
        yield server
        assert client.delete("/v1/streams/door").status_code == 204


def test_shell_commands_are_targets_of_make() -> None:
    commands = {line for text, _ in blocks("bash") for line in text.splitlines()}
    assert commands == TESTED_AS_SHOWN
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE)


def test_commands_with_a_camera_are_those_of_the_command_line(door: Any, omnilive: Any) -> None:
    """Typed as shown, with the stream that is there; only the camera's own address cannot be tried."""
    shown = [line for text, not_run in blocks("console") if not_run for line in text.splitlines()]
    commands = [line.split(" ", 2) for line in shown if line.startswith(".venv/bin/omnilive")]
    assert {verb for _, verb, _ in commands} == {"serve", "add", "ask", "events", "forget"}
    for _, verb, rest in commands:
        arguments = [one.strip('"') for one in re.findall(r'"[^"]*"|\S+', rest)]
        if verb in ("ask", "events"):
            assert omnilive(verb, *arguments, url=door.url).returncode == 0
        elif verb == "forget":
            assert omnilive(verb, *arguments, "--yes", url=door.url).returncode == 0


def test_the_program_runs_as_shown(door: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (program, not_run), *_ = blocks("python")
    assert not not_run
    exec(program.replace("http://127.0.0.1:8000", door.url), {})
    assert capsys.readouterr().out.strip()


def test_json_of_the_documents_is_json() -> None:
    for document in (ROOT / "docs").glob("*.md"):
        for text in re.findall(r"```json\n(.*?)```", document.read_text(), re.DOTALL):
            json.loads(text)
