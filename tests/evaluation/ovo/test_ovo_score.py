"""The official scores: each rule on its own, then averages, lists, nulls, duplicates and coverage of folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from clients.cli.commands import run as command
from evaluation.ovo.annotations import FileRefused
from evaluation.ovo.results import load_results
from evaluation.ovo.score import is_right, is_strictly_right, score
from evaluation.ovo.tasks import TASKS


@pytest.mark.parametrize(
    ("task", "gold", "response", "right"),
    [
        ("EPM", "A", "A", True),
        ("EPM", "A", "Assistant: B", True),
        ("EPM", "A", "a", False),
        ("EPM", "B", None, False),
        ("EPM", "B", ["B. there"], False),
        ("EPM", "B", ["B"], True),
        ("REC", "12", "1 or 2", True),
        ("REC", "1", "1 or 2", False),
        ("REC", "3", "three", False),
        ("REC", "3", ["3"], False),
        ("SSR", "No", "N", True),
        ("SSR", "No", "Not yet", True),
        ("SSR", "No", "no", False),
        ("CRR", "Yes", "Y", True),
        ("CRR", "Yes", "Yes No", True),
        ("CRR", "Yes", "N", False),
        ("CRR", "No", ["No."], False),
    ],
)
def test_each_rule_is_the_official_one(task: str, gold: str, response: Any, right: bool) -> None:
    assert is_right(task, gold, response) is right


def test_strictly_only_the_answer_itself_counts() -> None:
    assert is_strictly_right("EPM", "B", "(B) there")
    assert not is_strictly_right("EPM", "A", "Assistant: B")
    assert not is_strictly_right("EPM", "E", "ABCDE")
    assert is_strictly_right("REC", "3", "3 times")
    assert not is_strictly_right("REC", "12", "1 or 2")
    assert not is_strictly_right("SSR", "No", "Not yet")


def choice(n: int, task: str, response: Any, gold: str = "A") -> dict[str, Any]:
    return {"id": n, "video": "v", "task": task, "question": "q", "response": response, "ground_truth": gold}


def forward(n: int, task: str, asked: list[tuple[Any, Any]]) -> dict[str, Any]:
    name = "count" if task == "REC" else "type"
    return {"id": n, "task": task, "test_info": [{"realtime": 1, name: gold, "response": one} for gold, one in asked]}


def folder_of(folder: Path, **groups: list[dict[str, Any]]) -> Path:
    (folder / "results.json").write_text(json.dumps({"backward": [], "realtime": [], "forward": [], **groups}))
    return folder


def test_averages_are_of_tasks_and_groups_and_what_is_absent_is_null(tmp_path: Path) -> None:
    backward = [choice(0, "EPM", "A"), choice(1, "EPM", None), choice(2, "ASI", "A"), choice(2, "ASI", "A")]
    told = [forward(3, "SSR", [(1, "Yes"), (0, "Yes"), (0, "No"), (1, "No")])]
    scores = score(load_results(folder_of(tmp_path, backward=backward, forward=told)), dict.fromkeys(TASKS, 3))
    assert (scores.tasks["EPM"].score, scores.tasks["ASI"].score, scores.tasks["SSR"].score) == (50.0, 100.0, 50.0)
    assert scores.tasks["OCR"].score is None
    assert scores.groups == {"backward": 75.0, "realtime": None, "forward": 50.0}
    assert scores.overall == {"groups": 62.5, "tasks": None, "realtime_backward": None}
    assert (scores.nulls, scores.duplicates, scores.missing) == (1, 1, 3 * 12 - 2 - 1 - 3)
    assert scores.tasks["EPM"].low == pytest.approx(9.45, abs=0.01)


def test_lists_are_unwrapped_unless_the_official_slip_is_wanted(tmp_path: Path) -> None:
    rows = [choice(0, "EPM", ["A. here"]), choice(1, "ASI", ["A"])]
    told = [forward(2, "REC", [(3, ["3"])]), forward(3, "CRR", [(0, ["No."]), (1, ["Yes"])])]
    results = load_results(folder_of(tmp_path, backward=rows, forward=told))
    plain, listed = score(results), score(results, lists=True)
    assert [plain.tasks[task].score for task in ("EPM", "ASI", "REC", "CRR")] == [100.0] * 4
    assert [listed.tasks[task].score for task in ("EPM", "ASI", "REC", "CRR")] == [0.0, 100.0, None, 50.0]
    assert listed.groups["forward"] == 50.0


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (choice(0, "EPM", "A", "F"), "backward: row 1: field ground_truth"),
        (choice(0, "EPM", 3), "backward: row 1: field response"),
        (forward(0, "REC", [("x", "1")]), "backward: row 1: field test_info.0.count"),
        ({"id": 1, "task": "EPM"}, "backward: row 1: field response"),
    ],
)
def test_a_foreign_result_is_refused_by_row_and_field(tmp_path: Path, row: dict[str, Any], named: str) -> None:
    with pytest.raises(FileRefused, match=r"results\.json") as refused:
        load_results(folder_of(tmp_path, backward=[choice(5, "EPM", "A"), row]))
    assert named in str(refused.value)


def test_the_command_prints_one_last_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, realtime=[choice(0, "OCR", "Assistant: B"), choice(1, "OCR", "A")])
    assert command(["eval", "ovo", "score", str(tmp_path)]) == 0
    table, last = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    assert "100.00" in table
    assert command(["eval", "ovo", "score", str(tmp_path), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["tasks"] == json.loads(last)["tasks"]
    assert {"bench", "commit", "hardware", "checks"} < set(alone)
    assert alone["tasks"]["OCR"] | {"low": 0, "high": 0} == {
        "n": 2, "score": 100.0, "low": 0, "high": 0, "strict": 50.0, "nulls": 0,
    }  # fmt: skip
    assert alone["missing"] == 3035 - 2


def test_the_command_refuses_foreign_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "foreign.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        command(["eval", "ovo", "score", str(tmp_path)])
    assert ended.value.code == 1
    with pytest.raises(SystemExit) as ended:
        command(["eval", "ovo", "prompts", "--annotations", str(tmp_path / "foreign.json")])
    assert ended.value.code == 2
    assert "foreign.json" not in capsys.readouterr().out
