"""The stage as the server and reasoning see it: one answer to each request, events, forgetting, restarts."""

import json
import os
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from memory.config import MemoryConfig
from memory.messages import (
    FOREVER_US,
    BarrierReached,
    Context,
    DropMemory,
    Dropped,
    EventCommitted,
    EventFound,
    EventPage,
    Forget,
    Forgotten,
    FrameFound,
    GetEvent,
    GetFrame,
    ListEvents,
    MemoryOpened,
    MemoryOptions,
    MemoryStatus,
    Recall,
    Refused,
    SearchPicture,
    StreamRestored,
    Updated,
    UpdateMemory,
)
from memory.stage import MemoryStage
from perception.errors import StartRefused
from perception.messages import Barrier, Gap, Speech, StreamEnded, Unchanged

S = 1_000_000


def listing(stream: str, q: str | None = None, since: int = 0, until: int = FOREVER_US, **more: Any) -> ListEvents:
    return ListEvents(stream, 7, q, since, until, more.get("limit", 50), more.get("cursor"))


def recall(stream: str, question: str, now: int, since: int | None = None, until: int | None = None) -> Recall:
    return Recall(9, [stream], question, since, until, [now], 4)


def three_scenes(tools: Any) -> list[Any]:
    """Red, green and blue for ten seconds each, with words in the second."""
    records: list[Any] = []
    for n, scene in enumerate(("red", "green", "blue")):
        start = n * 10 * S
        cut = start if n else None
        records += [tools.percept(start, scene, cut_us=cut)]
        records += [Unchanged(tools.stream, start + i * S, 0) for i in range(1, 10)]
    records.insert(20, Speech(tools.stream, 12 * S, 14 * S, "the parcel has arrived"))
    return records


def test_scenes_become_events_with_frames(stage: MemoryStage, tools: Any) -> None:
    outputs = tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 5))
    assert tools.only(outputs, BarrierReached) == BarrierReached(tools.stream, 5)
    closed = [one.event for one in outputs if isinstance(one, EventCommitted)]
    assert [(e.start_us, e.end_us) for e in closed] == [(0, 10 * S), (10 * S, 20 * S)]
    page = tools.only(tools.drive(stage, listing(tools.stream)), EventPage)
    assert [(e.start_us, e.open) for e in page.events] == [(20 * S, True), (10 * S, False), (0, False)]
    assert page.events[1].transcript == "the parcel has arrived"
    assert page.next_cursor is None
    found = tools.only(tools.drive(stage, GetEvent(tools.stream, 1, page.events[2].id)), EventFound)
    assert found.event == page.events[2]
    frame = tools.only(tools.drive(stage, GetFrame(tools.stream, 2, found.event.id, 0)), FrameFound)
    assert frame.jpeg == b"<jpeg of red at 0>"


def test_the_list_pages_and_refuses_a_foreign_cursor(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    seen, cursor = [], None
    for _ in range(3):
        page = tools.only(tools.drive(stage, listing(tools.stream, limit=1, cursor=cursor)), EventPage)
        seen += [e.start_us for e in page.events]
        cursor = page.next_cursor
    assert (seen, cursor) == ([20 * S, 10 * S, 0], None)
    for bad in ("r1", "t", "t-1", "nonsense", "t9999999999999999999999"):
        refused = tools.only(tools.drive(stage, listing(tools.stream, cursor=bad)), Refused)
        assert (refused.fault.code, refused.fault.param) == ("invalid_field", "cursor")


def test_words_and_pictures_find_their_event(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    for q, start in (("parcels arriving", 10 * S), ("something red", 0), ("something blue", 20 * S)):
        page = tools.only(tools.drive(stage, listing(tools.stream, q)), EventPage)
        assert page.events[0].start_us == start, q
        assert [e.score for e in page.events] == sorted((e.score for e in page.events), reverse=True)
    for colour, start in (((30, 200, 30), 10 * S), ((30, 30, 220), 20 * S)):
        search = SearchPicture(tools.stream, 3, tools.picture(colour), 0, FOREVER_US, 10)
        page = tools.only(tools.drive(stage, search), EventPage)
        assert page.events[0].start_us == start
        search = SearchPicture(tools.stream, 3, tools.picture(colour, "JPEG"), 0, 10 * S, 10)
        assert [e.start_us for e in tools.only(tools.drive(stage, search), EventPage).events] == [0]


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff nothing", b"BM" + bytes(60)])
def test_what_is_no_picture_is_refused(stage: MemoryStage, tools: Any, data: bytes) -> None:
    refused = tools.only(tools.drive(stage, SearchPicture(tools.stream, 3, data, 0, FOREVER_US, 10)), Refused)
    assert refused.fault.code == "invalid_image"


def test_unknown_streams_events_and_frames_are_refused(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, tools.percept(0), Barrier(tools.stream, 1))
    event = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events[0].id
    for message, code in (
        (listing("default/other"), "stream_not_found"),
        (GetEvent("default/other", 7, event), "stream_not_found"),
        (GetEvent(tools.stream, 7, "e_none"), "event_not_found"),
        (GetFrame(tools.stream, 7, event, 3), "event_not_found"),
        (GetFrame(tools.stream, 7, "e_none", 0), "event_not_found"),
        (Forget(tools.stream, 7, "e_none", 0, 0), "event_not_found"),
        (Forget("default/other", 7, None, 0, 1), "stream_not_found"),
    ):
        assert tools.only(tools.drive(stage, message), Refused).fault.code == code
    context = tools.only(tools.drive(stage, recall("default/other", "what was there?", 0)), Context)
    assert context.coverage[0].coverage.covered == "none"
    assert context.evidence == []


def test_a_key_that_leaves_the_folder_is_no_stream(make_stage: Any, tools: Any, tmp_path: Path) -> None:
    stage = make_stage()
    for key in ("default/../../x", "../x", "default", "default/.hidden", "a/b/c", "default/"):
        opened = tools.only(tools.drive(stage, tools.opening(key)), MemoryOpened)
        assert opened.fault is not None
        tools.only(tools.drive(stage, DropMemory(key, 3)), Dropped)
    assert [path.name for path in tmp_path.iterdir()] == ["streams"]


def test_recall_brings_the_moment_that_is_meant(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    now = 29 * S
    context = tools.only(tools.drive(stage, recall(tools.stream, "what was there 25 seconds ago?", now)), Context)
    assert context.needs_past
    assert context.evidence[0].jpeg == b"<jpeg of red at 0>"
    assert context.coverage[0].coverage.covered == "full"
    context = tools.only(tools.drive(stage, recall(tools.stream, "was anything green", now)), Context)
    best = max(context.evidence, key=lambda one: one.score)
    assert (best.jpeg, best.start_us, best.end_us) == (b"<jpeg of green at 10000000>", 10 * S, 20 * S)
    assert [e.media_us for e in context.evidence] == sorted(e.media_us for e in context.evidence)
    told = json.loads(context.explain)
    assert told["gate"]["past"]
    assert sum(one["picked"] for one in told["candidates"]) == len(context.evidence)
    frame = tools.only(tools.drive(stage, GetFrame(tools.stream, 2, best.event, best.n)), FrameFound)
    assert frame.jpeg == best.jpeg


def test_the_open_event_is_recalled_before_it_is_committed(stage: MemoryStage, tools: Any) -> None:
    for record in (tools.percept(0, "red"), tools.percept(S, "green"), tools.percept(2 * S, "blue")):
        stage.submit(record)
    context = tools.only(tools.drive(stage, recall(tools.stream, "what was green", 3 * S)), Context)
    assert {e.jpeg for e in context.evidence} >= {b"<jpeg of green at 1000000>", b"<jpeg of red at 0>"}


def test_frames_that_were_shown_stay(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *(tools.percept(n * S, str(n)) for n in range(3)), Barrier(tools.stream, 1))
    context = tools.only(tools.drive(stage, recall(tools.stream, "what was there before", 3 * S)), Context)
    assert len(context.evidence) == 3
    tools.drive(stage, *(tools.percept(n * S, str(n)) for n in range(3, 25)), StreamEnded(tools.stream, 25 * S, True))
    for one in context.evidence:
        frame = tools.only(tools.drive(stage, GetFrame(tools.stream, 2, one.event, one.n)), FrameFound)
        assert frame.jpeg == one.jpeg


def test_a_question_about_now_gets_no_past(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    context = tools.only(tools.drive(stage, recall(tools.stream, "What colour is the wall now?", 29 * S)), Context)
    assert (context.needs_past, context.evidence, context.since_us) == (False, [], None)
    assert context.coverage[0].coverage.covered == "full"


def test_coverage_is_honest(stage: MemoryStage, tools: Any) -> None:
    records = three_scenes(tools)
    after = [tools.percept(100 * S, "white"), *(Unchanged(tools.stream, (100 + n) * S, 0) for n in range(1, 10))]
    tools.drive(stage, *records, Gap(tools.stream, 29 * S, 100 * S, "offline"), *after, Barrier(tools.stream, 1))
    cases = [
        (0, 20, "full", 0),
        (20, 60, "partial", 1),
        (40, 80, "none", 1),
        (200, 300, "none", 0),
        (0, 109, "partial", 1),
    ]
    for since, until, covered, gaps in cases:
        asked = recall(tools.stream, "what was that?", 109 * S, since * S, until * S)
        coverage = tools.only(tools.drive(stage, asked), Context).coverage[0].coverage
        assert (coverage.covered, len(coverage.gaps)) == (covered, gaps), (since, until)
        assert (coverage.start_us, coverage.end_us) == (0, 109 * S + 1)
    asked = recall(tools.stream, "what was there?", 109 * S, 40 * S, 80 * S)
    context = tools.only(tools.drive(stage, asked), Context)
    assert (context.evidence, context.since_us, context.until_us) == ([], 40 * S, 80 * S)


def test_speech_of_the_range_comes_along(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    asked = recall(tools.stream, "what was said?", 29 * S, 10 * S, 20 * S)
    lines = tools.only(tools.drive(stage, asked), Context).speech
    assert [(line.start_us, line.text) for line in lines] == [(12 * S, "the parcel has arrived")]
    asked = recall(tools.stream, "what was said?", 29 * S, 0, 5 * S)
    assert tools.only(tools.drive(stage, asked), Context).speech == []


# ---------------------------------------------------------------- forgetting


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_forgetting_leaves_no_byte(stage: MemoryStage, config: MemoryConfig, tools: Any) -> None:
    secret, word = os.urandom(40_000), "xylocarpzebra"
    half = tools.vector_of("secretvector").astype("float16").tobytes()
    records = [
        tools.percept(0, "red"),
        tools.percept(10 * S, "secretvector", jpeg=secret, cut_us=10 * S),
        Speech(tools.stream, 11 * S, 12 * S, f"say {word} aloud"),
        tools.percept(20 * S, "blue", cut_us=20 * S),
        Speech(tools.stream, 21 * S, 22 * S, "harmless words stay"),
        Barrier(tools.stream, 1),
    ]
    tools.drive(stage, *records)
    folder = Path(config.streams_folder)
    before = everything_below(folder)
    assert all(secret[at : at + 64] in before for at in (0, 8000, 16_000))
    assert word.encode() in before
    assert half[:64] in before
    events = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events
    outputs = tools.drive(stage, Forget(tools.stream, 4, None, 11 * S, 12 * S))
    gone = tools.only(outputs, Forgotten)
    assert gone.events == [events[1].id]
    assert (gone.start_us, gone.end_us) == (10 * S, 20 * S - 1)
    assert gone.bytes > len(secret)
    after = everything_below(folder)
    for at in range(0, len(secret) - 64, 1000):
        assert secret[at : at + 64] not in after
    assert word[:5].encode() not in after
    assert half[:32] not in after
    assert b"harmless" in after
    assert (
        tools.only(tools.drive(stage, GetEvent(tools.stream, 1, events[1].id)), Refused).fault.code == "event_not_found"
    )
    assert [e.id for e in tools.only(tools.drive(stage, listing(tools.stream, word)), EventPage).events] != [
        events[1].id
    ]
    context = tools.only(tools.drive(stage, recall(tools.stream, f"was {word} said?", 23 * S)), Context)
    assert events[1].id not in {e.event for e in context.evidence}
    assert word not in str(context.speech)
    asked = recall(tools.stream, "what was there?", 23 * S, 12 * S, 18 * S)
    assert tools.only(tools.drive(stage, asked), Context).coverage[0].coverage.covered == "none"


def test_the_open_event_goes_and_late_records_stay_out(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, tools.percept(0, "red"), Unchanged(tools.stream, 5 * S, 0), Barrier(tools.stream, 1))
    outputs = tools.drive(
        stage, Unchanged(tools.stream, 6 * S, 0), Forget(tools.stream, 4, None, 6 * S, 8 * S),
        tools.percept(7 * S, "late"), Unchanged(tools.stream, 7 * S + 1, 0),
        Speech(tools.stream, 7 * S, 9 * S, "late"), tools.percept(9 * S, "new"),
        Barrier(tools.stream, 2),
    )  # fmt: skip
    gone = tools.only(outputs, Forgotten)
    assert (len(gone.events), gone.start_us, gone.end_us) == (1, 0, 6 * S)
    page = tools.only(tools.drive(stage, listing(tools.stream)), EventPage)
    assert [(e.start_us, e.transcript, len(e.frames)) for e in page.events] == [(9 * S, None, 1)]


def test_forgetting_one_event_leaves_the_others(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    events = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, events[1].id, 0, 0)), Forgotten)
    assert gone.events == [events[1].id]
    left = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events
    assert [e.id for e in left] == [events[0].id, events[2].id]
    page = tools.only(tools.drive(stage, listing(tools.stream, "something green")), EventPage)
    assert events[1].id not in {e.id for e in page.events}


def test_forgetting_all_keeps_what_comes_after(stage: MemoryStage, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    outputs = tools.drive(stage, Forget(tools.stream, 4, None, 0, FOREVER_US), tools.percept(40 * S, "red"))
    assert len(tools.only(outputs, Forgotten).events) == 3
    tools.drive(stage, Barrier(tools.stream, 2))
    assert [e.start_us for e in tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events] == [40 * S]


def test_a_stream_can_be_forgotten_when_its_log_is_due(stage: MemoryStage, tools: Any, monkeypatch: Any) -> None:
    """A commit may be the one after which the log is moved into the database: not of one that is gone."""
    monkeypatch.setattr("memory.store._CHECKPOINT_BYTES", 1)
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    assert tools.only(tools.drive(stage, DropMemory(tools.stream, 4)), Dropped) == Dropped(tools.stream, 4)


def test_forgetting_an_empty_range_answers(stage: MemoryStage, tools: Any) -> None:
    gone = tools.only(tools.drive(stage, Forget(tools.stream, 4, None, 0, S)), Forgotten)
    assert (gone.events, gone.bytes, gone.start_us, gone.end_us) == ([], 0, -1, -1)


def test_a_dropped_stream_leaves_nothing_and_can_come_again(
    stage: MemoryStage, config: MemoryConfig, tools: Any
) -> None:  # fmt: skip
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    outputs = tools.drive(stage, DropMemory(tools.stream, 6), tools.opening(), tools.percept(0))
    assert tools.only(outputs, Dropped) == Dropped(tools.stream, 6)
    assert tools.only(outputs, MemoryOpened) == MemoryOpened(tools.stream, 0, None)
    assert b"jpeg of red" not in everything_below(Path(config.streams_folder))
    assert tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events == []
    assert tools.only(tools.drive(stage, DropMemory("default/never", 8)), Dropped) == Dropped("default/never", 8)


# ---------------------------------------------------------------- restarts, settings, status


def test_a_restart_restores_everything(make_stage: Any, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), *three_scenes(tools), Barrier(tools.stream, 1))
    before = tools.only(tools.drive(first, listing(tools.stream)), EventPage).events
    settings = UpdateMemory(tools.stream, 7, '{"id": "cam", "v": 2}', MemoryOptions(max_event_us=5 * S), "UTC")
    assert tools.only(tools.drive(first, settings), Updated) == Updated(7)
    first.close()
    second = make_stage()
    assert second.has_work()
    outputs = tools.drive(second)
    assert tools.only(outputs, StreamRestored) == StreamRestored(tools.stream, '{"id": "cam", "v": 2}', 29 * S)
    after = tools.only(tools.drive(second, listing(tools.stream)), EventPage).events
    assert [msgspec.structs.replace(e, open=False) for e in before] == after
    assert tools.only(tools.drive(second, tools.opening()), MemoryOpened).end_us == 29 * S
    page = tools.only(tools.drive(second, listing(tools.stream, "something green")), EventPage)
    assert page.events[0].start_us == 10 * S
    more = [tools.percept(32 * S, "white"), Barrier(tools.stream, 2)]
    tools.drive(second, *more)
    assert tools.only(tools.drive(second, listing(tools.stream)), EventPage).events[0].start_us == 32 * S


def test_forgotten_stays_forgotten_over_a_restart(make_stage: Any, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), *three_scenes(tools), Barrier(tools.stream, 1))
    tools.drive(first, Forget(tools.stream, 4, None, 0, 30 * S))
    first.close()
    second = make_stage()
    assert tools.only(tools.drive(second), StreamRestored).end_us == 29 * S
    tools.drive(second, tools.percept(29 * S + 1, "late"), Barrier(tools.stream, 1))
    assert tools.only(tools.drive(second, listing(tools.stream)), EventPage).events == []


def test_time_that_a_restart_missed_is_a_gap(make_stage: Any, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), *three_scenes(tools), Barrier(tools.stream, 1))
    first.close()
    second = make_stage()
    tools.drive(second, tools.percept(60 * S, "white"), Barrier(tools.stream, 2))
    context = tools.only(tools.drive(second, recall(tools.stream, "what was there?", 60 * S, 0, 61 * S)), Context)
    gaps = context.coverage[0].coverage.gaps
    assert [(gap.start_us, gap.end_us, gap.reason) for gap in gaps] == [(29 * S, 60 * S, "restart")]


def test_a_later_format_is_refused_and_not_touched(make_stage: Any, config: MemoryConfig, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening())
    first.close()
    file = next(Path(config.streams_folder).rglob("memory.sqlite"))
    data = bytearray(file.read_bytes())
    data[60:64] = (99).to_bytes(4, "big")
    file.write_bytes(data)
    with pytest.raises(StartRefused) as refused:
        make_stage()
    assert refused.value.code == "data_format_unknown"
    assert file.read_bytes() == bytes(data)


def test_a_damaged_store_keeps_nobody_from_starting(make_stage: Any, config: MemoryConfig, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), tools.opening("default/other"))
    first.close()
    file = Path(config.streams_folder) / "default" / "cam" / "memory.sqlite"
    file.write_bytes(b"SQLite format 4" + os.urandom(9000))
    second = make_stage()
    assert tools.only(tools.drive(second), StreamRestored).stream == "default/other"
    assert tools.only(tools.drive(second, tools.opening()), MemoryOpened).fault.code == "internal_error"
    tools.only(tools.drive(second, DropMemory(tools.stream, 1)), Dropped)
    assert tools.only(tools.drive(second, tools.opening()), MemoryOpened).fault is None


def test_folders_and_files_are_the_owners_alone(stage: MemoryStage, config: MemoryConfig, tools: Any) -> None:
    tools.drive(stage, *three_scenes(tools), Barrier(tools.stream, 1))
    root = Path(config.streams_folder)
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert {path.name for path in (root / "default" / "cam").iterdir()} <= {
        "memory.sqlite", "memory.sqlite-wal", "memory.sqlite-shm",
    }  # fmt: skip


def test_status_comes_after_commits_and_at_most_once_a_second(stage: MemoryStage, clock: Any, tools: Any) -> None:
    clock.now_us += 2 * S
    told = []
    for barrier in (1, 2):
        outputs = tools.drive(stage, *(three_scenes(tools) if barrier == 1 else ()), Barrier(tools.stream, barrier))
        in_this_second = [one for one in outputs if isinstance(one, MemoryStatus)]
        assert len(in_this_second) <= 1
        told += in_this_second
        clock.now_us += S
    status = told[-1]
    assert (status.events, status.start_us, status.end_us, status.gaps) == (3, 0, 29 * S, 0)
    assert status.bytes > 3000
    assert status.fault is None


def test_the_open_event_is_committed_every_few_seconds(make_stage: Any, clock: Any, tools: Any) -> None:
    first = make_stage()
    tools.drive(first, tools.opening(), tools.percept(0, "red"), Unchanged(tools.stream, 4 * S, 0))
    assert not first.has_work()
    clock.now_us += 5 * S
    assert first.has_work()
    tools.drive(first)
    second = make_stage()
    assert tools.only(tools.drive(second), StreamRestored).end_us == 4 * S


def test_the_writer_wakes_the_loop(make_stage: Any, tools: Any) -> None:
    rung: list[bool] = []
    stage = make_stage(notify=lambda: rung.append(True))
    stage.submit(tools.opening())
    stage.submit(tools.percept(0))
    stage.submit(Barrier(tools.stream, 1))
    outputs = stage.step()
    while not any(isinstance(one, BarrierReached) for one in outputs):
        if stage.has_work():
            outputs += stage.step()
    assert rung


# ---------------------------------------------------------------- budgets


def test_the_byte_budget_merges_the_old_and_drops_the_oldest(make_stage: Any, config: MemoryConfig, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening(max_bytes=2 * 2**20))
    for n in range(80):
        tools.drive(stage, tools.percept(n * 10 * S, str(n), os.urandom(60_000), cut_us=n * 10 * S if n else None))
    tools.drive(stage, Barrier(tools.stream, 1))
    events = tools.only(tools.drive(stage, listing(tools.stream, limit=1000)), EventPage).events
    assert 20 < len(events) < 40
    assert events[0].start_us == 790 * S
    assert all(two.end_us <= one.start_us for one, two in pairwise(events))
    assert events[0].merged == 1 < events[-1].merged
    size = sum(path.stat().st_size for path in Path(config.streams_folder).rglob("*") if path.is_file())
    assert size < 4 * 2**20
    page = tools.only(tools.drive(stage, listing(tools.stream, "a 3", limit=1000)), EventPage)
    assert {e.id for e in page.events} == {e.id for e in events}
    asked = recall(tools.stream, "what was there?", 800 * S, 0, events[-1].start_us - S)
    assert tools.only(tools.drive(stage, asked), Context).coverage[0].coverage.covered == "none"


def test_age_drops_the_oldest_but_a_clock_that_jumps_does_not(make_stage: Any, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening(max_age_us=100 * S))
    for n in range(30):
        tools.drive(stage, tools.percept(n * 10 * S, str(n), cut_us=n * 10 * S if n else None))
    before = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events
    assert 10 <= len(before) <= 13
    year = 365 * 86_400 * S
    tools.drive(stage, tools.percept(year, "late"), tools.percept(year + 10 * S, "later", cut_us=year + 10 * S))
    after = tools.only(tools.drive(stage, listing(tools.stream)), EventPage).events
    assert {e.id for e in before[1:]} <= {e.id for e in after}
