"""What is kept: by bytes on disk, by age on a clock that may jump, by neither more than has to go."""

import os
from pathlib import Path
from typing import Any

from memory import writing
from memory.config import MemoryConfig
from memory.messages import FOREVER_US, EventPage, GapRecord, ListEvents
from memory.retention import Budget, retain
from memory.rows import EventRow, Keyframe
from memory.store import Store

S = 1_000_000
HOUR = 3600 * S
DAY = 24 * HOUR
PLENTY = 1 << 40


def put(store: Store, seq: int, start_us: int, size: int = 10) -> None:
    frame = Keyframe(0, start_us, seq, os.urandom(size), b"", start_us)
    event = EventRow(seq, f"e_{seq}", start_us, start_us + S, start_us, False, (frame,), (), b"")
    writing.put_event(store.db, event)


def gone(store: Store, budget: Budget) -> list[int]:
    found: list[int] = []
    while True:
        retained = retain(store, store.db, budget)
        found += [one.seq for one in retained.gone]
        if not retained.more:
            return found


def test_a_camera_that_is_off_at_night_forgets_what_is_old(store: Store) -> None:
    for day in range(40):
        for hour in range(6, 22):
            put(store, 24 * day + hour + 1, day * DAY + hour * HOUR)
        writing.put_gap(store.db, GapRecord(day * DAY + 21 * HOUR + S, (day + 1) * DAY + 6 * HOUR, "offline"))
    budget = Budget(PLENTY, 30 * DAY)
    # The newest event is of day 39, 21:00; the night before it is not a day old.
    assert gone(store, budget) == [
        24 * day + hour + 1 for day in range(9) for hour in range(6, 22) if day < 8 or hour < 21
    ]
    assert gone(store, budget) == []


def test_an_error_of_the_clock_takes_nothing_for_a_day(store: Store) -> None:
    put(store, 1, 0)
    put(store, 2, 10 * S)
    writing.put_gap(store.db, GapRecord(11 * S, 400 * DAY, "clock"))
    put(store, 3, 400 * DAY)
    assert gone(store, Budget(PLENTY, DAY)) == []
    put(store, 4, 401 * DAY)
    assert gone(store, Budget(PLENTY, 2 * DAY)) == [1, 2]


def test_a_full_budget_takes_no_more_than_has_to_go(store: Store) -> None:
    for seq in range(1, 41):
        put(store, seq, seq * HOUR, 60_000)
    budget = Budget(store.used_bytes() - 10_000, 30 * HOUR)
    assert gone(store, budget) == list(range(1, 10))
    assert gone(store, Budget(store.used_bytes() - 10_000, 30 * HOUR)) == [10]


def test_a_smaller_budget_makes_the_file_smaller(make_stage: Any, config: MemoryConfig, tools: Any) -> None:
    stage = make_stage()
    tools.drive(stage, tools.opening())
    for n in range(60):
        tools.drive(stage, tools.percept(n * 10 * S, str(n), os.urandom(100_000), cut_us=n * 10 * S if n else None))
    folder = Path(config.streams_folder) / "default" / "cam"
    assert sum(path.stat().st_size for path in folder.iterdir()) > 6_000_000
    tools.drive(stage, tools.opening(max_bytes=1_000_000))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_200_000
    page = tools.only(tools.drive(stage, ListEvents(tools.stream, 7, None, 0, FOREVER_US, 100, None)), EventPage)
    assert 5 < len(page.events) < 11
