"""What docs/docker.md and the README tell people to type about containers names things that are there."""

import re
from pathlib import Path

from clients.cli.commands import app
from server.config import RESERVED, load_config

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "docker.md").read_text()
COMMANDS = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
README = [
    one for one in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) if "docker" in one
]


def test_files_are_there() -> None:
    named = re.findall(r"-f (\S+)", " ".join(COMMANDS + README))
    assert "docker/Dockerfile.gpu" in named
    assert [one for one in named if not (ROOT / one).is_file()] == []


def test_settings_are_settings() -> None:
    given = dict(re.findall(r"-e (OMNILIVE_\w+)=([^\s`]+)", GUIDE))
    assert len(given) >= 5
    load_config({}, given, None)
    assert set(re.findall(r"\b(OMNILIVE_\w+)", GUIDE)) - set(given) <= RESERVED


def test_commands_are_commands() -> None:
    known = {one.name for one in app.registered_commands} | {one.name for one in app.registered_groups}
    typed = re.findall(r"(?:omnilive|first-key\)) omnilive (\w+)", " ".join(COMMANDS))
    assert {"add", "ask", "keys"} <= set(typed) <= known


def test_the_first_key_lies_where_the_image_keeps_its_data() -> None:
    [data] = re.findall(r"OMNILIVE_DATA=(\S+)", (ROOT / "docker" / "Dockerfile").read_text())
    places = re.findall(r"cat (\S+?first-key)", GUIDE + " ".join(README))
    assert set(places) == {f"{data}/first-key"}
    assert f"VOLUME {data}\n" in (ROOT / "docker" / "Dockerfile").read_text()
