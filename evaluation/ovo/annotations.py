"""The official annotation file, read and checked: items in, queries out, each with its time, prompt and truth."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from evaluation.ovo import prompts
from evaluation.ovo.tasks import FORWARD, LETTERS, TASKS

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_SAID: Final = ("No", "Yes")
_Text = Annotated[str, Field(min_length=1)]
_Sign = Annotated[int, Field(ge=0, le=1)]


class FileRefused(ValueError):
    """A file is not of the official form; the text names the first item and field that are not."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Item(_Strict):
    id: int
    video: _Text


class _Choice(_Item):
    task: Literal["EPM", "ASI", "HLD", "OCR", "ACR", "ATR", "STU", "FPD", "OJR"]
    question: str
    options: Annotated[list[str], Field(min_length=2, max_length=len(LETTERS))]
    gt: Annotated[int, Field(ge=0)]
    realtime: _Seconds

    @model_validator(mode="after")
    def _gt_is_an_option(self) -> "_Choice":
        if self.gt >= len(self.options):
            raise ValueError(f"gt is {self.gt}, of {len(self.options)} options")
        return self


class _CountedAt(_Strict):
    realtime: _Seconds
    count: Annotated[int, Field(ge=0)]


class _StepAt(_Strict):
    realtime: _Seconds
    step: _Text
    type: _Sign


class _ClueAt(_Strict):
    realtime: _Seconds
    type: _Sign


class _Counting(_Item):
    task: Literal["REC"]
    activity: _Text
    test_info: Annotated[list[_CountedAt], Field(min_length=1)]


class _Steps(_Item):
    task: Literal["SSR"]
    test_info: Annotated[list[_StepAt], Field(min_length=1)]


class _Clues(_Item):
    task: Literal["CRR"]
    question: _Text
    test_info: Annotated[list[_ClueAt], Field(min_length=1)]


_ITEM: Final = TypeAdapter[_Choice | _Counting | _Steps | _Clues](
    Annotated[_Choice | _Counting | _Steps | _Clues, Field(discriminator="task")]
)


@dataclass(frozen=True)
class Query:
    """One question at one time. index: which one of a forward item, None of others. gold: a letter, number, Yes, No.

    options: of a multiple choice, as they stand in the file.
    """

    id: int
    index: int | None
    task: str
    video: str
    at_s: float
    prompt: str
    gold: str
    options: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        """Item and index, -1 for none: the order of the file."""
        return self.id, -1 if self.index is None else self.index


@dataclass(frozen=True)
class Annotations:
    """Items as they stand in the file, and all queries in the order of the file. path: of the file."""

    items: Sequence[dict[str, Any]]
    queries: Sequence[Query]
    path: Path | None = None


def load_annotations(path: Path) -> Annotations:
    """Read and check a file. Raises FileRefused, which names the first offending item and field."""
    items = read_json(path)
    if not isinstance(items, list) or not items:
        raise FileRefused("the annotation file is no list of items")
    seen: set[int] = set()
    queries: list[Query] = []
    for position, item in enumerate(items):
        checked = _checked(position, item)
        if checked.id in seen:
            raise FileRefused(f"item {position}: field id: {checked.id} occurs twice")
        seen.add(checked.id)
        queries += _queries(checked)
    return Annotations(items, queries, path)


def read_json(path: Path) -> Any:
    """Raises FileRefused for what cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise FileRefused(f"{path.name} cannot be read") from None
    except ValueError:
        raise FileRefused(f"{path.name} is no JSON") from None


def first_error(error: ValidationError) -> str:
    """The first offending field and what is wrong with it."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in TASKS)
    return f"field {field or 'task'}: {first['msg'].removeprefix('Value error, ')}"


def _checked(position: int, item: Any) -> _Choice | _Counting | _Steps | _Clues:
    try:
        return _ITEM.validate_python(item)
    except ValidationError as error:
        raise FileRefused(f"item {position}: {first_error(error)}") from None


def _queries(item: _Choice | _Counting | _Steps | _Clues) -> Iterator[Query]:
    if isinstance(item, _Choice):
        prompt, gold = prompts.choice(item.question, item.options), LETTERS[item.gt]
        yield Query(item.id, None, item.task, item.video, item.realtime, prompt, gold, tuple(item.options))
        return
    for index, (at_s, prompt, gold) in enumerate(_asked(item)):
        yield Query(item.id, index, item.task, item.video, at_s, prompt, gold)


def _asked(item: _Counting | _Steps | _Clues) -> Iterator[tuple[float, str, str]]:
    """When, what, and the truth then."""
    if isinstance(item, _Counting):
        yield from ((one.realtime, prompts.count(item.activity), str(one.count)) for one in item.test_info)
    elif isinstance(item, _Steps):
        yield from ((one.realtime, prompts.step(one.step), _SAID[one.type]) for one in item.test_info)
    else:
        yield from ((one.realtime, prompts.clue(item.question), _SAID[one.type]) for one in item.test_info)


def is_forward(task: str) -> bool:
    """Whether a task's items are asked at several times."""
    return task in FORWARD
