"""The page and the tables of a run: all that was measured is in them, and what a file says does no harm there."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from clients.cli.commands import run as command
from evaluation.ovo.html import report
from evaluation.ovo.running import times_of
from evaluation.ovo.scored import score_folder

ENTRY: dict[str, Any] = {"id": 0, "index": None, "response": "A", "timing": {"ttft_ms": 120.0}, "staleness_ms": 400}


def results(folder: Path, response: str) -> Path:
    folder.mkdir()
    row = {"id": 0, "video": "v", "task": "EPM", "question": "q", "response": response, "ground_truth": "A"}
    (folder / "r.json").write_text(json.dumps({"backward": [row], "realtime": [], "forward": []}))
    lines = [{"run": "ovo"}, ENTRY, {**ENTRY, "id": 1, "timing": {"ttft_ms": 480.0}}, {"id": 2, "index": None}]
    (folder / "run.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_the_page_stands_alone_and_shows_scores_and_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert command(["eval", "ovo", "score", str(results(tmp_path / "one", "A")), "--report", str(page), "--json"]) == 0
    text = page.read_text()
    assert "100.00" in text
    assert "<td>300</td><td>462</td><td>480</td>" in text
    assert text.count("<svg") == 3
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    for drawn in text.split("<svg")[1:]:
        ElementTree.fromstring(f"<svg{drawn.split('</svg>')[0]}</svg>")
    assert json.loads(capsys.readouterr().out)["tasks"]["EPM"]["score"] == 100.0


def test_names_are_escaped_and_a_run_without_times_has_no_plot_of_them(tmp_path: Path) -> None:
    scored = score_folder(results(tmp_path / "one", "B"), None)
    page = report(scored, [], "<script>")
    assert "<script>" not in page
    assert "<h2>Times" not in page


def test_two_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = results(tmp_path / "one", "A"), results(tmp_path / "two", "B")
    assert command(["eval", "ovo", "score", str(one), "--against", str(two)]) == 0
    assert "+100.00" in capsys.readouterr().out


def test_times_are_told_in_words() -> None:
    said = times_of([ENTRY, {**ENTRY, "timing": {"ttft_ms": 480.0}}, {"id": 2}])
    assert said == [
        "time to first token: median 300 ms, 95 % 462 ms, longest 480 ms",
        "staleness: median 400 ms, 95 % 400 ms, longest 400 ms",
    ]
