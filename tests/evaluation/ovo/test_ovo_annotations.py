"""Reading annotation files: queries in the order of the file, and the first offending field of a foreign one."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.ovo.annotations import FileRefused, load_annotations

CHOICE: dict[str, Any] = {
    "id": 0, "task": "EPM", "video": "a.mp4", "question": "Where?", "options": ["here", "there"], "gt": 1,
    "answer": "over there", "realtime": 3.5,
}  # fmt: skip
COUNTING: dict[str, Any] = {
    "id": 1, "task": "REC", "video": "a.mp4", "activity": "opening something", "start_times": [1], "end_times": [2],
    "test_info": [{"realtime": 4, "count": 0}, {"realtime": 2.0, "count": 3}],
}  # fmt: skip
STEPS: dict[str, Any] = {
    "id": 2, "task": "SSR", "video": "b.mp4", "tutorial": "T", "all_steps": ["cut"], "start_time": [1], "end_time": [2],
    "test_info": [{"realtime": 2, "step": "cut", "type": 1}],
}  # fmt: skip
CLUES: dict[str, Any] = {
    "id": 3, "task": "CRR", "video": "b.mp4", "question": "Who?", "answer": "She", "ask_time": 1, "clue_time": 2,
    "test_info": [{"realtime": 1, "type": 0}],
}  # fmt: skip


def written(folder: Path, items: Any) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(items))
    return path


def test_forward_items_are_asked_at_each_of_their_times(tmp_path: Path) -> None:
    queries = load_annotations(written(tmp_path, [CHOICE, COUNTING, STEPS, CLUES])).queries
    told = [(one.key, one.at_s, one.gold) for one in queries]
    assert told == [
        ((0, -1), 3.5, "B"), ((1, 0), 4.0, "0"), ((1, 1), 2.0, "3"), ((2, 0), 2.0, "Yes"), ((3, 0), 1.0, "No"),
    ]  # fmt: skip
    assert "\nQuestion: Where?\nOptions:\nA. here; B. there;\n\nRespond only" in queries[0].prompt
    assert "How many times did they opening something?\nProvide" in queries[1].prompt
    assert "whole procedures: \ncut\nYour task" in queries[3].prompt
    assert "Answer only with “Yes” or “No”.\n" in queries[4].prompt


@pytest.mark.parametrize(
    ("items", "named"),
    [
        ({"EPM": []}, "no list"),
        ([], "no list"),
        ([CHOICE, {**CHOICE, "id": 1, "task": "XYZ"}], "item 1: field task"),
        ([CHOICE, {"id": 1, "task": "EPM", "video": "a.mp4"}], "item 1: field question"),
        ([{**CHOICE, "gt": 2}], "item 0: field task: gt is 2, of 2 options"),
        ([{**CHOICE, "realtime": "3"}], "item 0: field realtime"),
        ([{**CHOICE, "realtime": -1}], "item 0: field realtime"),
        ([CHOICE, COUNTING, {**STEPS, "test_info": [{"realtime": 1, "type": 2, "step": "cut"}]}],
         "item 2: field test_info.0.type"),
        ([{**CLUES, "test_info": []}], "item 0: field test_info"),
        ([CHOICE, CHOICE], "item 1: field id: 0 occurs twice"),
        ([3], "item 0"),
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused_with_its_first_offending_field(tmp_path: Path, items: Any, named: str) -> None:
    with pytest.raises(FileRefused) as refused:
        load_annotations(written(tmp_path, items))
    assert named in str(refused.value)


def test_what_is_no_json_or_not_there_is_refused_without_its_place(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("[")
    for name in ("broken.json", "missing.json"):
        with pytest.raises(FileRefused, match=name) as refused:
            load_annotations(tmp_path / name)
        assert str(tmp_path) not in str(refused.value)
