"""What was shown to somebody stays at its address, and changes nothing that is recalled or kept after it."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory import writing
from memory.config import MemoryConfig
from memory.keyframes import Keyframes
from memory.merging import merge
from memory.messages import FOREVER_US, Context, EventFound, FrameFound, GetEvent, GetFrame, Recall
from memory.rows import EventRow, Keyframe, to_half
from memory.stage import MemoryStage
from perception.messages import Barrier, StreamEnded

S = 1_000_000


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_the_frames_that_stand_for_an_event_do_not_depend_on_who_saw_them(
    tools: Any, seen: list[tuple[int, bool]], most: int
) -> None:
    quiet, asked = Keyframes(most), Keyframes(most)
    shown: dict[int, bytes] = {}
    for n, (scene, ask) in enumerate(seen):
        for frames in (quiet, asked):
            frames.offer(n * S, n + 1, b"%d" % n, to_half(tools.vector_of(str(scene))), n * S)
        if ask:
            told = [frame for frame in asked.frames if not frame.is_aside]
            asked.pin([frame.n for frame in told])
            shown |= {frame.n: frame.jpeg for frame in told}
    assert [frame for frame in asked.frames if not frame.is_aside] == list(quiet.frames)
    assert len(quiet) == len(asked) <= most
    assert shown.items() <= {frame.n: frame.jpeg for frame in asked.frames}.items()


def ask(stage: MemoryStage, tools: Any, words: str, at_us: int) -> Context:
    asked = Recall(1, [tools.stream], words, None, None, [at_us], 4)
    found: Context = tools.only(
        tools.drive(
            stage,
            asked,
        ),
        Context,
    )
    return found


def told(context: Context) -> list[tuple[int, int, bytes]]:
    return [(one.n, one.media_us, one.jpeg) for one in context.evidence]


STEPS = st.lists(st.sampled_from(["see", "see", "see", "cut", "ask"]), max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_questions_leave_no_trace_in_what_is_recalled(
    make_stage: Any, config: MemoryConfig, tools: Any, steps: list[str]
) -> None:
    """One stream is asked all along, the other only at the end: both recall the same, then and after a restart."""
    answers = []
    for name, asks in (("quiet", False), ("asked", True)):
        folder = f"{config.streams_folder}-{name}-{len(steps)}-{abs(hash(tuple(steps)))}"
        used = msgspec.structs.replace(config, streams_folder=folder)
        stage: MemoryStage = make_stage(used)
        tools.drive(stage, tools.opening())
        base = max(0, stage._streams[tools.stream].end_us) + S
        for n, step in enumerate([*steps, "see", "ask"]):
            at_us = base + n * S // 2
            if step == "ask":
                tools.drive(stage, Barrier(tools.stream, n))
                if asks:
                    ask(stage, tools, "what was there before", at_us)
            else:
                cut_us = at_us if step == "cut" else None
                tools.drive(stage, tools.percept(at_us, str(n * n % 7), cut_us=cut_us))
        end_us = base + 50 * S
        tools.drive(stage, StreamEnded(tools.stream, end_us, True), Barrier(tools.stream, 99))
        first = told(ask(stage, tools, "what was 4", end_us))
        stage.close()
        again = make_stage(used)
        assert told(ask(again, tools, "what was 4", end_us)) == first
        again.close()
        assert first
        answers.append([(at_us - base, n, jpeg.partition(b" at ")[0]) for n, at_us, jpeg in first])
    assert answers[0] == answers[1]


def test_a_frame_aside_is_served_after_a_restart_and_neither_listed_nor_recalled(
    make_stage: Any, stage: MemoryStage, tools: Any
) -> None:
    tools.drive(stage, *(tools.percept(n * S, str(n)) for n in range(3)), Barrier(tools.stream, 1))
    shown = ask(stage, tools, "what was there before", 3 * S).evidence
    tools.drive(stage, *(tools.percept(n * S, str(n)) for n in range(3, 25)), StreamEnded(tools.stream, 25 * S, True))
    stage.close()
    again = make_stage()
    listed = tools.only(tools.drive(again, GetEvent(tools.stream, 2, shown[0].event)), EventFound).event
    gone = [one for one in shown if one.n not in {frame.n for frame in listed.frames}]
    assert gone
    recalled = {one.n for one in ask(again, tools, "what was 1", 25 * S).evidence}
    for one in gone:
        found = tools.only(tools.drive(again, GetFrame(tools.stream, 2, one.event, one.n)), FrameFound)
        assert (found.jpeg, one.n in recalled) == (one.jpeg, False)


def event(seq: int, tools: Any, aside: int | None) -> EventRow:
    frames = []
    for n in range(4):
        at_us, picture = (10 * seq + n) * S, 10 * seq + n
        vector = to_half(tools.vector_of(str(picture)))
        kept = (-picture, b"") if n == aside else (picture, vector)
        frames.append(Keyframe(n, at_us, kept[0], b"<%d>" % picture, kept[1], at_us))
    start, end = 10 * seq * S, (10 * seq + 9) * S
    return EventRow(seq, f"e_{seq}", start, end, end, False, tuple(frames), (), b"")


def test_merging_lets_go_of_what_is_aside_and_gives_no_number_twice(store: Any, tools: Any) -> None:
    store.db.execute("BEGIN IMMEDIATE")
    for row in (event(1, tools, aside=3), event(2, tools, aside=3), event(99, tools, aside=None)):
        writing.put_event(store.db, row)
    store.db.execute("COMMIT")
    (made,) = merge(store.db, 5000 * S, 1, 8)
    assert [(frame.n, frame.picture) for frame in made.row.frames] == [
        (0, 10), (1, 11), (2, 12), (4, 20), (5, 21), (6, 22),
    ]  # fmt: skip
    assert store.reader.jpeg("e_1", 3) is None
    (left,) = store.db.execute("SELECT count(*) FROM pictures WHERE id < 0").fetchone()
    assert left == 0
    assert not store.reader.corrupt
    assert store.reader.oldest(0, FOREVER_US, 9)[0].frames == tuple(
        msgspec.structs.replace(frame, jpeg=b"", vector=b"") for frame in made.row.frames
    )
