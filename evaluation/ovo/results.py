"""Result files of the official form: rows in, one record a query out; and the writing of such files."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evaluation.ovo.annotations import Annotations, FileRefused, first_error, is_forward, read_json
from evaluation.ovo.tasks import GROUP_OF, GROUPS, LETTERS, TASKS

Response = str | list[str] | None


@dataclass(frozen=True)
class Record:
    """What was answered to one query. gold: a letter, a number, Yes or No. repeated: its row is not the first of its
    id and task."""

    task: str
    id: int
    index: int | None
    gold: str
    response: Response
    repeated: bool = False


@dataclass(frozen=True)
class Results:
    """All records of a folder, in the order of its files. duplicates: rows beyond the first of each id and task."""

    records: Sequence[Record]
    duplicates: int


class _Loose(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _ChoiceRow(_Loose):
    id: int
    task: Literal["EPM", "ASI", "HLD", "OCR", "ACR", "ATR", "STU", "FPD", "OJR"]
    response: str | list[str] | None
    ground_truth: Annotated[str, Field(pattern=f"^[{LETTERS}]$")]


class _Counted(_Loose):
    count: Annotated[int, Field(ge=0)]
    response: str | list[str] | None


class _Told(_Loose):
    type: Annotated[int, Field(ge=0, le=1)]
    response: str | list[str] | None


class _CountRow(_Loose):
    id: int
    task: Literal["REC"]
    test_info: list[_Counted]


class _ToldRow(_Loose):
    id: int
    task: Literal["SSR", "CRR"]
    test_info: list[_Told]


_ROW: Final = TypeAdapter[_ChoiceRow | _CountRow | _ToldRow](
    Annotated[_ChoiceRow | _CountRow | _ToldRow, Field(discriminator="task")]
)


def load_results(folder: Path) -> Results:
    """Read every .json of a folder. Raises FileRefused, which names the first offending row and field."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileRefused("the folder holds no result file (*.json)")
    records: list[Record] = []
    seen: set[tuple[str, int]] = set()
    duplicates = 0
    for file in files:
        for row in _rows(file):
            repeated = (row.task, row.id) in seen
            duplicates += repeated
            seen.add((row.task, row.id))
            records += _records(row, repeated)
    return Results(records, duplicates)


def _rows(file: Path) -> Iterator[_ChoiceRow | _CountRow | _ToldRow]:
    content = read_json(file)
    if not isinstance(content, dict) or not set(GROUPS) & set(content):
        raise FileRefused(f"{file.name} is no result file: it has none of the fields {', '.join(GROUPS)}")
    for group in GROUPS:
        rows = content.get(group, [])
        if not isinstance(rows, list):
            raise FileRefused(f"{file.name}: field {group}: it should be a list")
        for position, row in enumerate(rows):
            try:
                yield _ROW.validate_python(row)
            except ValidationError as error:
                raise FileRefused(f"{file.name}: {group}: row {position}: {first_error(error)}") from None


def _records(row: _ChoiceRow | _CountRow | _ToldRow, repeated: bool) -> Iterator[Record]:
    if isinstance(row, _ChoiceRow):
        yield Record(row.task, row.id, None, row.ground_truth, row.response, repeated)
    elif isinstance(row, _CountRow):
        for index, counted in enumerate(row.test_info):
            yield Record(row.task, row.id, index, str(counted.count), counted.response, repeated)
    else:
        for index, told in enumerate(row.test_info):
            yield Record(row.task, row.id, index, ("No", "Yes")[told.type], told.response, repeated)


# ---------------------------------------------------------------- writing

Responses = Mapping[tuple[int, int], str | None]
"""By the key of a query: what was answered, None for nothing."""


def as_records(annotations: Annotations, responses: Responses) -> list[Record]:
    """What a result file of these responses would hold."""
    return [
        Record(query.task, query.id, query.index, query.gold, responses.get(query.key)) for query in annotations.queries
    ]


def write_results(path: Path, annotations: Annotations, responses: Responses) -> None:
    """One result file of all items, in the order of the annotation file; unanswered queries are null."""
    grouped: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for item in annotations.items:
        row = _forward_row(item, responses) if is_forward(item["task"]) else _choice_row(item, responses)
        grouped[GROUP_OF[item["task"]]].append(row)
    path.write_text(json.dumps(grouped, ensure_ascii=False, indent=1), encoding="utf-8")


def result_name(model: str, mode: str, items: Iterable[Mapping[str, Any]]) -> str:
    """`MODEL_TASK1_TASK2_MODE_1.json`, as the official runner names it."""
    tasks = {item["task"] for item in items}
    safe = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model).strip("-.") or "model"
    return "_".join([safe, *(task for task in TASKS if task in tasks), mode, "1"]) + ".json"


def _choice_row(item: Mapping[str, Any], responses: Responses) -> dict[str, Any]:
    kept = {name: item[name] for name in ("id", "video", "task", "question")}
    return {**kept, "response": responses.get((item["id"], -1)), "ground_truth": LETTERS[item["gt"]]}


def _forward_row(item: Mapping[str, Any], responses: Responses) -> dict[str, Any]:
    asked = [{**info, "response": responses.get((item["id"], index))} for index, info in enumerate(item["test_info"])]
    return {**item, "test_info": asked}
