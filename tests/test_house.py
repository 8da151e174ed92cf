"""The house's own rules: what documents say is there, and what code keeps to."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from evaluation.registry import BENCHES
from server.config import Config

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("perception", "memory", "reasoning", "server", "clients", "evaluation", "training")
LONGEST_FUNCTION = 60
LONGEST_FILE = 420


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_fits_on_screens(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    long = [one.name for one in functions(path) if (one.end_lineno or 0) - one.lineno >= LONGEST_FUNCTION]
    assert long == []


def test_names_of_test_files_are_unique() -> None:
    """Without packages pytest tells two files of one name apart by nothing."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_stages_read_no_clock() -> None:
    """Time comes in with messages or is handed in, so that a stage runs on file time in a test."""
    for stage in ("perception/stage.py", "perception/lane.py", "memory/stage.py", "reasoning/stage.py"):
        tree = ast.parse((ROOT / stage).read_text())
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"time", "datetime", "monotonic"}
        assert not read, stage


def test_the_readme_shows_the_tree_that_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    named = re.findall(r"^\| `(\w+)/` \|", readme, re.MULTILINE)
    assert set(PACKAGES) | {"tests", "docs"} <= set(named)
    for name in named:
        assert (ROOT / name).is_dir() or "comes later" in readme.split(f"`{name}/`")[1].splitlines()[0]


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE))
    assert documented == set(settings(Config))


def test_every_benchmark_is_documented() -> None:
    documented = (ROOT / "docs/benchmarks.md").read_text()
    for name, bench in BENCHES.items():
        assert f"| `{name}` |" in documented
        for part in bench.parts:
            assert (ROOT / (part.module.replace(".", "/") + ".py")).is_file()


def test_every_bar_of_reliability_has_its_tests() -> None:
    rows = re.findall(r"^\| ([A-Z]\d+) \|(.+)\|$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE)
    assert len(rows) == len({bar for bar, _ in rows})
    for bar, row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", row)
        assert named, bar
        for test in named:
            assert (ROOT / test).is_file(), f"{bar}: {test}"


def test_dependencies_are_bounded_and_say_why_they_are_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    for name in ("torch", "transformers", "av"):
        wanted = next(one for one in project["dependencies"] if re.match(rf"{name}\b", one))
        assert re.search(r">=?|==", wanted), wanted
        assert "<" in wanted or "==" in wanted, wanted
    assert project["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert "FFmpeg" in (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
