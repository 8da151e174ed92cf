"""What docs/operating.md tells an operator is so: settings, limits, alerts, commands, figures that were measured."""

import re
from pathlib import Path

import yaml

from clients.cli.commands import app
from server.config import RESERVED, known_keys, load_config
from server.reloading import AT_START

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "operating.md").read_text()


def section(name: str) -> str:
    return GUIDE.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_settings_are_settings() -> None:
    sections = "limits|memory|sample|reasoning|window|perception"
    named = set(re.findall(rf"`((?:{sections})\.\w+)`", GUIDE))
    assert {"limits.streams", "memory.max_bytes"} <= named <= set(known_keys())
    given = dict(re.findall(r"`(OMNILIVE_\w+)=([^\s`]+)`", GUIDE))
    assert given
    load_config({}, given, None)
    assert set(re.findall(r"\bOMNILIVE_\w+", GUIDE)) - set(given) <= RESERVED


def test_defaults_are_the_defaults() -> None:
    limits = load_config({}, {}, None).limits
    shown = dict(re.findall(r"^\| `limits\.(\w+)` \| (\d+)", section("Limits"), re.MULTILINE))
    assert shown
    assert {name: getattr(limits, name) for name in shown} == {name: int(value) for name, value in shown.items()}


def test_limits_that_wait_for_a_start_are_named() -> None:
    [row] = [
        line
        for line in section("Cameras and limits without a restart").splitlines()
        if line.startswith("| `limits.") and line.endswith("| at the next start |")
    ]
    assert set(re.findall(r"`limits\.(\w+)`", row)) == AT_START


def test_every_alert_is_explained() -> None:
    rules = yaml.safe_load((ROOT / "docker" / "alerts.yml").read_text())["groups"][0]["rules"]
    explained = re.findall(r"^\| `(Omnilive\w+)` \|", section("Watching it"), re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules]


def test_figures_are_those_of_the_benchmarks() -> None:
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = re.findall(
        r"^\| .+? \| (.+?) \| `(omnilive bench \w+)` \| (\w+) \|$", section("How large a machine"), re.MULTILINE
    )
    assert len(rows) >= 8
    for value, command, _ in rows:
        assert f"`{command}`" in measured
        for number in re.findall(r"\d+(?:\.\d+)?", re.sub(r"\(\w+\)", "", value.replace("43 200", ""))):
            assert re.search(rf"(?<![\d.]){re.escape(number)}", measured), f"{number} of {command}"


def test_commands_are_commands() -> None:
    known = {one.name for one in app.registered_commands} | {one.name for one in app.registered_groups}
    typed = set(re.findall(r"(?:`|bin/)omnilive (\w+)", GUIDE))
    assert {"serve", "export", "import", "keys", "config"} <= typed
    assert typed - known <= {"bench"}
