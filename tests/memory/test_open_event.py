"""The open event as it is told: only what is on disk, and every frame that was told is served from then on."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.messages import FOREVER_US, EventPage, FrameFound, GetFrame, ListEvents
from memory.stage import MemoryStage
from perception.messages import Barrier, Speech, StreamEnded, Unchanged

S = 1_000_000


def events_of(stage: MemoryStage, tools: Any) -> list[Any]:
    listing = ListEvents(tools.stream, 7, None, 0, FOREVER_US, 50, None)
    return list(tools.only(tools.drive(stage, listing), EventPage).events)


def test_nothing_is_listed_that_a_kill_would_lose(make_stage: Any, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening(), tools.percept(0, "red"), Barrier(tools.stream, 1))
    said = Speech(tools.stream, S, 2 * S, "not stored yet")
    tools.drive(stage, tools.percept(S, "blue"), said, Unchanged(tools.stream, 2 * S, 0))
    (listed,) = events_of(stage, tools)
    assert (listed.end_us, listed.transcript, [frame.media_us for frame in listed.frames]) == (0, None, [0])
    (stored,) = events_of(make_stage(), tools)
    assert (stored.end_us, stored.transcript, stored.frames) == (listed.end_us, listed.transcript, listed.frames)


STEPS = st.lists(st.sampled_from(["see", "see", "see", "commit", "list"]), max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_a_listed_frame_is_served_as_it_was(make_stage: Any, tools: Any, steps: list[str]) -> None:
    stage: MemoryStage = make_stage()
    told: dict[tuple[str, int], bytes] = {}
    tools.drive(stage, tools.opening())
    base = max(0, stage._streams[tools.stream].end_us) + S
    for n, step in enumerate([*steps, "list", "see", "commit"]):
        if step == "see":
            tools.drive(stage, tools.percept(base + n * S // 4, str(n * n % 7)))
        elif step == "commit":
            tools.drive(stage, Barrier(tools.stream, n))
        else:
            for event in events_of(stage, tools):
                for frame in event.frames:
                    found = tools.only(tools.drive(stage, GetFrame(tools.stream, 2, event.id, frame.n)), FrameFound)
                    assert told.setdefault((event.id, frame.n), found.jpeg) == found.jpeg
    tools.drive(stage, StreamEnded(tools.stream, base + 99 * S, True), Barrier(tools.stream, 99))
    for (event_id, number), jpeg in told.items():
        found = tools.only(tools.drive(stage, GetFrame(tools.stream, 2, event_id, number)), FrameFound)
        assert found.jpeg == jpeg
    stage.close()
