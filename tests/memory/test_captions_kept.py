"""Captions in memory: which event is described next, its words found, merged, forgotten with it."""

from pathlib import Path
from typing import Any

import pytest

from memory.caption_messages import LONGEST_CAPTION, Captioned, CaptionKept, ToCaption, WantCaption
from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    Context,
    EventFound,
    EventPage,
    Forget,
    Forgotten,
    GetEvent,
    ListEvents,
    MemoryStatus,
    Recall,
)
from memory.stage import MemoryStage
from perception.messages import Barrier

S = 1_000_000


def watch(stage: MemoryStage, tools: Any, scenes: int, first: int = 0) -> list[str]:
    """Scenes of ten seconds, with a cut at each; ids of the closed ones, oldest first."""
    at = range(first, first + scenes)
    records = [
        tools.percept((10 * n + k) * S, f"scene{n}", cut_us=10 * n * S if k == 0 else None) for n in at for k in (0, 5)
    ]
    tools.drive(stage, *records, Barrier(tools.stream, 1))
    return [one.id for one in reversed(listed(stage, tools)) if not one.open]


def listed(stage: MemoryStage, tools: Any, q: str | None = None) -> list[Any]:
    return list(
        tools.only(tools.drive(stage, ListEvents(tools.stream, 7, q, 0, FOREVER_US, 50, None)), EventPage).events
    )


def given(stage: MemoryStage, tools: Any) -> ToCaption | None:
    """What memory hands out, if anything."""
    found = [one for one in tools.drive(stage, WantCaption()) if isinstance(one, ToCaption)]
    assert len(found) <= 1
    return found[0] if found else None


def test_the_newest_event_comes_first_then_older_ones(stage: MemoryStage, tools: Any) -> None:
    events = watch(stage, tools, 4)
    handed = []
    while (one := given(stage, tools)) is not None:
        handed.append(one.event)
        tools.drive(stage, Captioned(tools.stream, one.event, f"words of {one.event}"))
    assert handed == list(reversed(events))


def test_who_waits_is_given_the_next_event_when_it_ends(stage: MemoryStage, tools: Any) -> None:
    assert given(stage, tools) is None
    for n in range(2):
        stage.submit(tools.percept((10 * n) * S, f"scene{n}", cut_us=10 * n * S))
    wanted = tools.only(tools.drive(stage), ToCaption)
    assert [frame.media_us for frame in wanted.frames] == [0]
    assert wanted.frames[0].jpeg == b"<jpeg of scene0 at 0>"
    tools.drive(stage, tools.percept(20 * S, "scene2", cut_us=20 * S))
    assert given(stage, tools) is not None


def test_after_a_start_what_has_no_caption_is_handed_out(make_stage: Any, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening())
    first, second, *_ = watch(stage, tools, 3)
    tools.drive(stage, Captioned(tools.stream, second, "a red circle"))
    stage.close()
    again = make_stage()
    handed = []
    while (one := given(again, tools)) is not None:
        handed.append(one.event)
    assert first in handed
    assert second not in handed
    assert len(handed) == len(set(handed))


def test_a_caption_is_told_found_and_counted(stage: MemoryStage, tools: Any) -> None:
    event, *_ = watch(stage, tools, 3)
    before = next(one for one in reversed(tools.drive(stage, Barrier(tools.stream, 2))) if one)
    outputs = tools.drive(stage, Captioned(tools.stream, event, "  a porcupine\non the left "))
    assert before is not None
    assert tools.only(outputs, CaptionKept) == CaptionKept(tools.stream, event)
    record = tools.only(tools.drive(stage, GetEvent(tools.stream, 1, event)), EventFound).event
    assert record.caption == "a porcupine on the left"
    assert listed(stage, tools, "the porcupines")[0].id == event
    question = Recall(9, [tools.stream], "where was the porcupine", None, None, [40 * S], 1)
    [evidence] = tools.only(tools.drive(stage, question), Context).evidence
    assert evidence.event == event


def test_bytes_are_those_of_the_store(make_stage: Any, clock: Any, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening())
    event, *_ = watch(stage, tools, 3)

    def size() -> int:
        clock.now_us += 2 * S
        stage.submit(Captioned(tools.stream, event, "x" * (LONGEST_CAPTION + 5)))
        found: int = [one for one in tools.drive(stage) if isinstance(one, MemoryStatus)][-1].bytes
        return found

    clock.now_us += 2 * S
    before = [one for one in tools.drive(stage) if isinstance(one, MemoryStatus)]
    first, second = size(), size()
    assert first == second, "a new caption takes the place of the old one"
    if before:
        assert first - before[-1].bytes == 2 * LONGEST_CAPTION


def test_how_often_is_counted_by_what_was_said_and_seen_not_by_captions(stage: MemoryStage, tools: Any) -> None:
    """A caption that names something like it would make a time of it."""
    event, *_ = watch(stage, tools, 3)
    tools.drive(stage, Captioned(tools.stream, event, "a porcupine"))
    question = Recall(9, [tools.stream], "how many times was there a porcupine", None, None, [40 * S], 4)
    assert tools.only(tools.drive(stage, question), Context).counted is None


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_caption_is_forgotten_with_its_event(
    stage: MemoryStage, config: MemoryConfig, tools: Any, late: bool
) -> None:
    event, *_ = watch(stage, tools, 3)
    captioned = Captioned(tools.stream, event, "a porcupine named zanzibar")
    forget = Forget(tools.stream, 4, event, 0, 0)
    outputs = tools.drive(stage, *((forget, captioned) if late else (captioned, forget)))
    tools.only(outputs, Forgotten)
    assert listed(stage, tools, "zanzibar") == [] or all(
        one.caption is None for one in listed(stage, tools, "zanzibar")
    )
    content = b"".join(path.read_bytes() for path in Path(config.streams_folder).rglob("*") if path.is_file())
    assert b"zanzibar" not in content
    assert b"porcupin" not in content


def test_one_that_is_forgotten_or_open_is_not_handed_out(stage: MemoryStage, tools: Any) -> None:
    events = watch(stage, tools, 3)
    tools.drive(stage, Forget(tools.stream, 4, events[-1], 0, 0))
    handed = given(stage, tools)
    assert handed is not None
    assert handed.event == events[-2]
    assert given(stage, tools) is None
