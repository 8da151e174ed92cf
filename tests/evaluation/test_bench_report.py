"""What `omnilive bench` prints and returns: the last line's shape, failures with their reason, the exit status."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation import bench, report
from evaluation.checks import Check
from evaluation.hardware import ROOT, commit, hardware
from evaluation.registry import BENCHES, Bench, Owed, Part

STUB = """
from evaluation.checks import Check

def run(full, progress):
    progress("measuring")
    return [Check("stub.one", {value}, "s", "<= 2", note="said [in passing]"), Check("stub.two", 7.0, "MiB")]
"""
OWES = (Owed("stub.one", "s", "<= 2"), Owed("stub.two", "MiB"))


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers a benchmark whose module is the given text."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def register(name: str, text: str) -> None:
        (tmp_path / f"stub_{name}.py").write_text(text)
        monkeypatch.setitem(BENCHES, name, Bench(name, "a stub", (Part(f"stub_{name}", OWES),)))

    return register


def last_line(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str, str]:
    out, err = capsys.readouterr()
    return json.loads(out.splitlines()[-1]), out, err


def test_a_table_and_the_last_line(stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stub("good", STUB.format(value=1.5))
    assert bench.main("good", full=False, json=False) == 0
    record, out, err = last_line(capsys)
    assert list(record) == ["bench", "commit", "hardware", "checks"]
    assert record["bench"] == "good"
    assert record["checks"] == [
        {"id": "stub.one", "value": 1.5, "unit": "s", "bar": "<= 2", "ok": True},
        {"id": "stub.two", "value": 7.0, "unit": "MiB", "bar": None, "ok": True},
    ]
    assert "said [in passing]" in out
    assert "measuring" in err


def test_json_alone_is_the_only_line(stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stub("plain", STUB.format(value=1.5))
    assert bench.main("plain", full=False, json=True) == 0
    _, out, err = last_line(capsys)
    assert len(out.splitlines()) == 1
    assert "stub.one" in err


def test_a_bar_that_is_missed_is_exit_1(stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stub("slow", STUB.format(value=2.5))
    assert bench.main("slow", full=False, json=True) == 1
    assert [check["ok"] for check in last_line(capsys)[0]["checks"]] == [False, True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def run(full, progress):\n    raise RuntimeError('no camera here')\n", "no camera here"),
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
        ("def run(full, progress):\n    return []\n", "did not deliver"),
    ],
)
def test_what_cannot_run_is_a_failure_with_its_reason(
    stub: Any, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    stub("broken" + str(abs(hash(text))), text)
    name = next(reversed(BENCHES))
    assert bench.main(name, full=False, json=False) == 1
    record, out, _ = last_line(capsys)
    assert [(check["id"], check["value"], check["bar"], check["ok"]) for check in record["checks"]] == [
        ("stub.one", None, "<= 2", False),
        ("stub.two", None, None, False),
    ]
    assert reason in out


def test_a_figure_that_is_not_finite_is_a_failure() -> None:
    for value in (float("nan"), float("inf")):
        (check, missing) = report.complete([Check("stub.one", value, "s", "<= 2")], OWES, "missing")
        assert check.value is None
        assert not check.ok
        assert missing.id == "stub.two"


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main("rnig", full=False, json=False) == 2
    assert "ring" in capsys.readouterr().err


def test_only_the_parts_run_that_deliver_what_is_asked_for(
    stub: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("parts", STUB.format(value=1.5))
    other = Part("no_such_module_at_all", (Owed("other.one", "s"),))
    monkeypatch.setitem(BENCHES, "parts", replace(BENCHES["parts"], parts=(*BENCHES["parts"].parts, other)))
    assert bench.main("parts", full=False, json=True, only=["stub.two"]) == 0
    assert [check["id"] for check in last_line(capsys)[0]["checks"]] == ["stub.one", "stub.two"]
    assert bench.main("parts", full=False, json=True, only=["stub.three"]) == 2
    assert "stub.one, stub.two, other.one" in capsys.readouterr().err


def test_every_figure_is_owed_once() -> None:
    ids = [figure.id for one in BENCHES.values() for part in one.parts for figure in part.owes]
    assert len(ids) == len(set(ids))


def test_all_runs_each_and_says_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool, bool]] = []

    def apart(one: Bench, full: bool, json: bool) -> int:
        asked.append((one.name, full, json))
        return 1 if one.name == "b" else 0

    monkeypatch.setattr(bench, "_run_apart", apart)
    monkeypatch.setattr(bench, "has_cuda", lambda: False)
    monkeypatch.setattr(bench, "has_browser", lambda: False)
    some = {
        name: Bench(name, "", (), needs_cuda=name == "gpu", needs_browser=name == "page")
        for name in ("a", "gpu", "page", "b", "c")
    }
    monkeypatch.setattr(bench, "BENCHES", some)
    assert bench.main("all", full=True, json=True) == 1
    assert asked == [("a", True, True), ("b", True, True), ("c", True, True)]
    said = capsys.readouterr().err
    assert "gpu: left out" in said
    assert "page: left out" in said


def test_a_benchmark_that_dies_still_owes_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Its process knows no benchmark of this name: it ends with status 2 and without a line."""
    gone = Bench("gone", "", (Part("nowhere", OWES),))
    assert bench._run_apart(gone, full=False, json=True) == 1
    record, _, err = last_line(capsys)
    assert [check["value"] for check in record["checks"]] == [None, None]
    assert "status 2" in err


def test_the_machine_and_the_commit_are_named(tmp_path: Path) -> None:
    machine = hardware()
    assert machine["cores"] >= 1
    assert machine["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert isinstance(machine["cpu"], str)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a").write_text("a")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("b")
    assert commit(tmp_path) == f"{clean}-dirty"


def test_a_folder_that_is_no_checkout_is_named_by_version(tmp_path: Path) -> None:
    named = commit(tmp_path)
    assert named == "unknown" or named.startswith("version ")
    assert commit(ROOT / "evaluation") == named
