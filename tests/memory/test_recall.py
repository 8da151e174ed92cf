"""Recall over several streams: each has a clock of its own, and all of them are asked about the same time."""

import json
from typing import Any

import msgspec
import pytest

from memory.messages import Context, MemoryOptions, OpenMemory, Recall
from memory.stage import MemoryStage
from perception.messages import Barrier

S = 1_000_000
START_US = 1_772_618_400 * S
LATER_S = 3600
DOOR, YARD = "default/door", "default/yard"
"""The yard's stream began an hour after the door's."""


@pytest.fixture
def two(make_stage: Any, tools: Any) -> MemoryStage:
    """Both were watched in the door's minutes 60 to 65, each ten seconds with another scene."""
    stage: MemoryStage = make_stage()
    for key, begin_s in ((DOOR, 0), (YARD, LATER_S)):
        tools.drive(stage, OpenMemory(key, START_US + begin_s * S, "{}", MemoryOptions(), "UTC"))
        for n in range(30):
            media_us = (LATER_S - begin_s + 10 * n) * S
            seen = tools.percept(media_us, f"{key}{n}", cut_us=media_us if n else None)
            tools.drive(stage, msgspec.structs.replace(seen, stream=key))
        tools.drive(stage, Barrier(key, 1))
    return stage


def ask(
    stage: MemoryStage, tools: Any, question: str, since_s: int | None = None, until_s: int | None = None, **more: Any
) -> Context:
    streams = more.get("streams", [DOOR, YARD])
    now_us = {DOOR: (LATER_S + 300) * S, YARD: 300 * S, "default/none": (LATER_S + 300) * S}
    edges = [None if edge is None else edge * S for edge in (since_s, until_s)]
    message = Recall(9, streams, question, *edges, [now_us[key] for key in streams], more.get("limit", 64))
    found: Context = tools.only(tools.drive(stage, message), Context)
    return found


def door_seconds(context: Context) -> dict[str, list[int]]:
    """When the evidence was seen, on the door's clock."""
    begins = {DOOR: 0, YARD: LATER_S}
    return {
        key: [one.media_us // S + begins[key] - LATER_S for one in context.evidence if one.stream == key]
        for key in begins
    }


@pytest.mark.parametrize("streams", [[DOOR, YARD], ["default/none", DOOR, YARD]])
def test_an_explicit_range_is_the_same_time_on_every_clock(two: MemoryStage, tools: Any, streams: list[str]) -> None:
    context = ask(two, tools, "what was there?", LATER_S + 105, LATER_S + 128, streams=streams)
    seen = door_seconds(context)
    assert seen[DOOR] == seen[YARD] == [100, 110, 120]
    assert [one.coverage.covered for one in context.coverage if one.stream in (DOOR, YARD)] == ["full", "full"]
    assert (context.since_us, context.until_us) == ((LATER_S + 105) * S, (LATER_S + 128) * S)


def test_a_range_of_the_yards_clock_is_read_on_it_where_it_comes_first(two: MemoryStage, tools: Any) -> None:
    seen = door_seconds(ask(two, tools, "what was there?", 105, 128, streams=[YARD, DOOR]))
    assert seen[DOOR] == seen[YARD] == [100, 110, 120]


def test_a_range_before_a_stream_began_finds_nothing_in_it(two: MemoryStage, tools: Any) -> None:
    context = ask(two, tools, "what was there?", None, LATER_S - 100)
    assert context.evidence == []
    assert [one.coverage.covered for one in context.coverage] == ["none", "none"]


def test_time_words_are_a_moment_on_each_clock(two: MemoryStage, tools: Any) -> None:
    context = ask(two, tools, "what was there 195 seconds ago?")
    parts = {(one["stream"], one["media_us"] // S): one["parts"] for one in json.loads(context.explain)["candidates"]}
    best = {key: max((m for m in parts if m[0] == key), key=lambda m: parts[m]["target"]) for key in (DOOR, YARD)}
    assert best == {DOOR: (DOOR, LATER_S + 100), YARD: (YARD, 100)}
    assert parts[best[DOOR]]["target"] == parts[best[YARD]]["target"]


def test_one_instant_is_told_of_one_stream_in_words(two: MemoryStage, tools: Any) -> None:
    words = "what was there 20 seconds ago?"
    context = ask(two, tools, words, streams=[YARD])
    assert context.instant_us == 280 * S
    assert "one instant" in json.loads(context.explain)["gate"]["reasons"]
    assert ask(two, tools, words).instant_us is None
    assert ask(two, tools, words, 270, 290, streams=[YARD]).instant_us is None


def test_what_is_recent_is_so_on_the_wall(two: MemoryStage, tools: Any) -> None:
    told = json.loads(ask(two, tools, "what happened there?").explain)["candidates"]
    recency = {(one["stream"], one["media_us"] // S): one["parts"]["recency"] for one in told}
    newest = sorted(recency, key=lambda one: -recency[one])[:2]
    assert set(newest) == {(DOOR, LATER_S + 290), (YARD, 290)}


def test_evidence_of_several_streams_is_in_the_order_of_the_wall(two: MemoryStage, tools: Any) -> None:
    context = ask(two, tools, "what was there?", LATER_S + 105, LATER_S + 128)
    assert [one.stream for one in context.evidence] == [DOOR, YARD] * 3
