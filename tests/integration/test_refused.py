"""Starts that come to nothing: bad usage, and a stop before there is a server."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.models import resolve_model

Refusal = Callable[..., tuple[str, str, float]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--port", "abc"), "--port"), (("--prot", "1"), "--prot"), (("--config", "/"), "--config")],
)
def test_bad_usage_of_serve_has_a_code_of_the_interface(
    refusal: Refusal, arguments: tuple[str, str], named: str
) -> None:
    code, message, _ = refusal(*arguments)
    assert code == "config_invalid"
    assert named in message


@pytest.mark.parametrize(
    "variables",
    [
        {"OMNILIVE_MEMORY__MAX_BYTES": "9" * 23},
        {"OMNILIVE_MEMORY__MAX_AGE_S": "1e300"},
        {"OMNILIVE_LIMITS__MESSAGE_BYTES": str(19 * 2**20)},
        {"OMNILIVE_TIME_ZONE": "Mars/Phobos"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_settings_out_of_bounds_are_refused_in_one_line(refusal: Refusal, variables: dict[str, str]) -> None:
    assert refusal(**variables)[0] == "config_invalid"


@pytest.mark.skipif(not resolve_model("embedded").standin, reason="models ship: there is no stand-in")
def test_asked_to_stop_while_the_stand_in_is_made(launch: Any, until: Any, tmp_path: Path) -> None:
    server = launch(ready=False, XDG_CACHE_HOME=str(tmp_path))

    def makers() -> list[psutil.Process]:
        return [one for one in psutil.Process(server.pid).children() if "server.standin" in one.cmdline()]

    (child,) = until(makers)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.errors()
    assert not child.is_running()
    assert [file for file in (tmp_path / "omnilive").iterdir() if not file.name.startswith(".")] == []
