"""The examples, run as they stand against a real server; each fits on half a screen."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from surroundings import ROOT, environment

from clients.api import Api

EXAMPLES = ROOT / "clients" / "examples"
LONGEST = 20


def run(example: str, *arguments: str, url: str) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example), *arguments],
        env=environment(OMNILIVE_URL=url), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(example: str, *arguments: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / example), *arguments],
        env=environment(OMNILIVE_URL=url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.terminate()


@pytest.fixture
def stream(server: Any) -> Iterator[str]:
    """A push stream that ends with the test."""
    with Api(server.url) as api:
        api.add("example", {"push": True})
        yield "example"
        api.remove("example")


def test_they_are_short() -> None:
    examples = sorted(EXAMPLES.glob("[a-z]*.py"))
    assert len(examples) >= 4
    for example in examples:
        lines = [line for line in example.read_text().splitlines() if line.strip()]
        code = [line for line in lines if not line.startswith(('"""', "import ", "from "))]
        assert len(code) <= LONGEST, example.name


def test_they_are_all_named_where_people_look() -> None:
    document = (ROOT / "docs" / "api.md").read_text()
    for example in EXAMPLES.glob("[a-z]*.py"):
        assert f"clients/examples/{example.name}" in document


def test_pictures_are_pushed_then_asked_about(server: Any, stream: str, make_clip: Any, until: Any) -> None:
    with Api(server.url) as api, running("follow_events.py", stream, url=server.url) as following:
        run("push_pictures.py", stream, str(make_clip()), url=server.url)
        until(lambda: api.stream(stream)["frames"]["received"] >= 10, 30)
        told = run("ask_over_rest.py", stream, "What is there now?", url=server.url).splitlines()
        assert told[0]
        asked = run("ask_as_it_comes.py", stream, "What was there before?", url=server.url)
        assert "seen in [" in asked
        until(lambda: api.stream(stream)["memory"]["events"] > 0, 30)
        for line in told[1:]:
            assert api.picture(line.split()[-1].removeprefix(server.url)).startswith(b"\xff\xd8")
        run("push_pictures.py", stream, str(make_clip()), url=server.url)
        assert following.stdout is not None
        assert following.stdout.readline().split()[3].startswith("e_")


def test_a_refusal_is_told(server: Any) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "ask_over_rest.py"), "nobody", "What?"],
        env=environment(OMNILIVE_URL=server.url), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "no stream of this id" in done.stderr) == (1, True)
