"""Forward tasks as they are meant: a question is put once, and the answer comes when it is time for it.

A server answers when it is asked; it does not speak up by itself. So a watcher stands before it: at every tick of the
video it puts the question again, and speaks for the model when the answer says that it is time. Here are its questions,
and the moments at which something is to be said.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.ovo.annotations import Annotations, FileRefused, Query, first_error
from evaluation.ovo.journal import Key
from evaluation.ovo.score import is_right
from evaluation.ovo.tasks import FORWARD

DECAY: Final = {"REC": 0.05, "SSR": 0.5, "CRR": 0.5}
"""What is said d seconds late counts 2 ** (-DECAY * d)."""
_GROWTH: Final = 0.2
"""The i-th count weighs e ** (_GROWTH * i)."""
_Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Moment:
    """From `since_s` on, until `until_s`, something is to be said. weight: in the score that falls with time."""

    since_s: float
    until_s: float
    said: str
    weight: float = 1.0


@dataclass(frozen=True)
class Watch:
    """One question that is put once. keys: its polls, by tick. once: nothing is to be said after the first time.

    contents: by tick, what is asked of a model that has just spoken; answer: what it is to say to that.
    """

    task: str
    video: str
    moments: Sequence[Moment]
    keys: Mapping[float, Key]
    once: bool = False
    contents: Mapping[float, Key] | None = None
    answer: str = ""


@dataclass(frozen=True)
class Watching:
    """All watches of a file, and the polls as queries: what a run poses. of: whose poll it is."""

    watches: Sequence[Watch]
    annotations: Annotations
    of: Mapping[Key, Watch]

    def wanted(self, query: Query, entries: Mapping[Key, Mapping[str, Any]]) -> bool:
        """Whether a poll still has to be put: not to one who has spoken, and what it meant only to one who just did."""
        watch = self.of[query.key]
        if not watch.once:
            return True
        spoke_s = next((at_s for at_s, key in watch.keys.items() if says_yes(watch.task, entries.get(key))), None)
        if watch.contents is not None and query.key in watch.contents.values():
            return spoke_s == query.at_s
        return spoke_s is None


def says_yes(task: str, entry: Mapping[str, Any] | None) -> bool:
    """Whether a poll's answer says that it is time."""
    return entry is not None and is_right(task, "Yes", entry.get("response"))


def watching(annotations: Annotations, every_s: float, *, contents: bool) -> Watching:
    """The watches of a file's forward items, asked every so many seconds.

    contents: ask one who says that there is enough to know what it is. Raises FileRefused for an item that does not
    tell its moments.
    """
    watches: list[Watch] = []
    queries: list[Query] = []
    asked: dict[int, list[Query]] = {}
    for query in annotations.queries:
        asked.setdefault(query.id, []).append(query)
    items = [item for item in annotations.items if item["task"] in FORWARD]
    for position, item in enumerate(items):
        made = _Maker(item, asked[item["id"]], every_s, contents)
        try:
            watches += made.watches()
        except ValidationError as error:
            raise FileRefused(f"forward item {position} (id {item['id']}): {first_error(error)}") from None
        queries += made.queries
    of = {key: one for one in watches for key in (*one.keys.values(), *(one.contents or {}).values())}
    return Watching(watches, Annotations(items, queries), of)


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Counted(_Told):
    end_times: list[_Moment]


class _Stepped(_Told):
    all_steps: list[str]
    start_time: list[_Moment]
    end_time: list[_Moment]

    @model_validator(mode="after")
    def _belong_together(self) -> "_Stepped":
        if not len(self.all_steps) == len(self.start_time) == len(self.end_time):
            raise ValueError("all_steps, start_time and end_time are not equally long")
        return self


class _Clued(_Told):
    question: str
    answer: str
    ask_time: _Moment
    clue_time: _Moment


class _Maker:
    """The watches of one item. `queries` fills up meanwhile."""

    def __init__(self, item: Mapping[str, Any], asked: Sequence[Query], every_s: float, contents: bool) -> None:
        self._item, self._asked, self._every_s, self._contents = item, asked, every_s, contents
        self._last_s = max(one.at_s for one in asked)
        self.queries: list[Query] = []

    def watches(self) -> Iterator[Watch]:
        """Raises ValidationError."""
        if self._item["task"] == "REC":
            yield self._counting()
        elif self._item["task"] == "SSR":
            yield from self._steps()
        else:
            yield self._clue()

    def _counting(self) -> Watch:
        ends = sorted(_Counted.model_validate(self._item).end_times)
        ends = [end_s for end_s in ends if end_s <= self._last_s]
        moments = [
            Moment(since_s, until_s, str(n), math.exp(_GROWTH * n))
            for n, (since_s, until_s) in enumerate(zip(ends, [*ends, self._end_s][1:], strict=True), start=1)
        ]
        keys = self._polls(self._asked[0].prompt, self._ticks(0.0))
        return Watch("REC", self._video, moments, keys)

    def _steps(self) -> Iterator[Watch]:
        told = _Stepped.model_validate(self._item)
        times = list(zip(told.all_steps, told.start_time, told.end_time, strict=True))
        prompts = {one["step"]: query.prompt for one, query in zip(self._item["test_info"], self._asked, strict=True)}
        for step, prompt in prompts.items():
            shown = [(start_s, end_s) for text, start_s, end_s in times if text == step and start_s <= self._last_s]
            moments = [Moment(start_s, min(end_s, self._end_s), "Yes") for start_s, end_s in sorted(shown)]
            yield Watch("SSR", self._video, moments, self._polls(prompt, self._ticks(0.0)))

    def _clue(self) -> Watch:
        told = _Clued.model_validate(self._item)
        ticks = self._ticks(told.ask_time)
        keys: dict[float, Key] = {}
        contents: dict[float, Key] = {}
        for at_s in ticks:
            keys |= self._polls(self._asked[0].prompt, [at_s])
            if self._contents:
                contents |= self._polls(told.question, [at_s])
        since_s = max(told.ask_time, told.clue_time)
        moments = [Moment(since_s, self._end_s, "Yes")] if since_s <= self._last_s else []
        return Watch("CRR", self._video, moments, keys, True, contents or None, told.answer)

    # ------------------------------------------------------------ polls

    @property
    def _video(self) -> str:
        return str(self._item["video"])

    @property
    def _end_s(self) -> float:
        """A tick behind the last poll: who has not spoken by then has not spoken."""
        return self._last_s + self._every_s

    def _ticks(self, first_s: float) -> list[float]:
        """From one tick behind the question to the last time that the file asks at."""
        count = max(0, math.floor((self._last_s - first_s) / self._every_s + 1e-9))
        return [round(first_s + n * self._every_s, 6) for n in range(1, count + 1)]

    def _polls(self, prompt: str, ticks: Sequence[float]) -> dict[float, Key]:
        made = {}
        for at_s in ticks:
            query = Query(self._item["id"], len(self.queries), self._item["task"], self._video, at_s, prompt, "")
            self.queries.append(query)
            made[at_s] = query.key
        return made
