"""Which streams are spared: when, which of them, and when everything is tried again."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from perception.sparing import BEHIND_US, LOOK_US, Sparing, Spent

ALIKE = {f"cam-{n}": 50_000 for n in range(10)}
SECOND = 1_000_000
LATE, ABREAST = BEHIND_US + 1, 0
KEYFRAMES = 0.1
"""Their share of what a stream costs."""


class Load:
    """Looks once a second at what a test says there is."""

    def __init__(self) -> None:
        self.sparing, self.now_us = Sparing(), 0
        self.spared: set[str] = set()
        self.look(ALIKE, ABREAST)

    def look(
        self, whole: Mapping[str, int], behind_us: int, busy: float = 1.0, times: int = 1, slower: float = 1.0
    ) -> set[str]:
        """whole: what each stream costs where all of it is decoded, on a machine that is so much slower."""
        for _ in range(times):
            self.now_us += LOOK_US
            spent = {name: self.spent(name, slower * cost) for name, cost in whole.items()}
            self.spared = set(self.sparing.look(spent, behind_us, round(busy * LOOK_US), self.now_us))
        return self.spared

    def spent(self, name: str, cost: float) -> Spent:
        keyframes = round(KEYFRAMES * cost)
        return Spent(keyframes, 0 if name in self.spared else round(cost) - keyframes, name not in self.spared)

    def until_none(self, **load: Any) -> int:
        """Seconds until everything is decoded again."""
        began_us = self.now_us
        while self.look(ALIKE, ABREAST, **load):
            assert self.now_us - began_us < 3600 * SECOND
        return (self.now_us - began_us) // SECOND


def test_a_look_is_due_once_a_second() -> None:
    sparing = Sparing()
    assert sparing.due(5)
    sparing.look({}, 0, 0, 5)
    assert not sparing.due(4 + LOOK_US)
    assert sparing.due(5 + LOOK_US)


def test_streams_that_cost_alike_are_spared_together() -> None:
    load = Load()
    assert load.look(ALIKE, LATE) == set()
    assert load.look(ALIKE, LATE) == set(ALIKE)


def test_one_long_step_is_no_overload() -> None:
    load = Load()
    for _ in range(5):
        assert load.look(ALIKE, LATE) == set()
        assert load.look(ALIKE, ABREAST) == set()


def test_decoding_that_costs_little_is_not_spared() -> None:
    """Where something else takes the time it would not help."""
    load = Load()
    load.sparing = Sparing()
    assert load.look({"cam": 20_000}, LATE, times=20) == set()


def test_a_costly_stream_is_spared_before_its_neighbours() -> None:
    load = Load()
    streams = {"huge": 800_000, "small": 10_000, "other": 12_000}
    load.look(streams, ABREAST, times=5)
    assert load.look(streams, LATE, times=2) == {"huge"}
    assert load.look(streams, LATE, times=3) == {"huge"}
    assert load.look(streams, LATE, times=4) == set(streams), "that was not enough"


def test_a_stream_that_comes_later_is_spared_as_those_that_cost_the_same() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    assert load.look({**ALIKE, "new": 60_000}, ABREAST) == {*ALIKE, "new"}
    assert load.look({**ALIKE, "new": 5_000}, ABREAST) == {*ALIKE, "new"}
    assert "new" not in load.look(ALIKE, ABREAST)


LIGHT = dict.fromkeys(ALIKE, 20_000)
"""0.2 of the time if all of it is decoded."""


def test_everything_is_tried_again_soon_when_there_is_room_and_later_each_time_that_was_in_vain() -> None:
    load = Load()
    waited = []
    for _ in range(4):
        assert load.look(ALIKE, LATE, times=2) == set(ALIKE)
        waited.append(load.until_none(busy=0.05))
    # It takes some looks to learn that the stage is idle.
    assert 5 <= waited[0] <= 12
    assert [later - first >= first - 7 for first, later in pairwise(waited)] == [True] * 3
    assert waited[3] >= 35


def test_a_trial_that_held_is_forgotten() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    first = load.until_none(busy=0.05)
    load.look(ALIKE, ABREAST, busy=0.1, times=70)
    load.look(ALIKE, LATE, times=2)
    assert load.until_none(busy=0.05) <= first


def test_nothing_is_tried_where_it_is_known_to_be_too_much_until_that_is_long_ago() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    assert load.look(ALIKE, ABREAST, busy=0.3, times=290) == set(ALIKE)
    assert load.look(ALIKE, ABREAST, busy=0.3, times=20) == set()


def test_a_stage_that_is_busy_with_keyframes_alone_tries_nothing_more() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    assert load.look(ALIKE, ABREAST, busy=0.7, times=200) == set(ALIKE)


def test_room_for_a_moment_is_no_room() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    for _ in range(20):
        assert load.look(ALIKE, ABREAST, busy=0.05, times=6) == set(ALIKE)
        assert load.look(ALIKE, ABREAST, busy=0.9, times=4) == set(ALIKE)


def test_what_was_measured_while_others_had_the_machine_is_not_held_against_the_streams() -> None:
    """A clock goes on while another process computes: all costs what it costs, times that."""
    load = Load()
    load.look(LIGHT, ABREAST, slower=5.0, times=5)
    assert load.look(LIGHT, LATE, slower=5.0, times=10) == set(LIGHT)
    assert load.look(LIGHT, ABREAST, slower=5.0, busy=0.5, times=60) == set(LIGHT), "the machine is as slow as before"
    seconds = 0
    while load.look(LIGHT, ABREAST, busy=0.1):
        seconds += 1
    assert seconds <= 20


@pytest.mark.parametrize("capacity", [0.3, 0.8, 1.1, 3.0])
def test_a_stage_that_is_always_as_busy_does_not_flap(capacity: float) -> None:
    """Ten streams that take a second of each second, keyframes a tenth of it, encoding a third of a second besides."""
    load, behind_s, turns, before = Load(), 0.0, 0, set[str]()
    streams = {name: 2 * cost for name, cost in ALIKE.items()}
    hours = 4
    for _ in range(hours * 3600):
        work_s = sum(streams.values()) / SECOND * (KEYFRAMES if load.spared else 1.0) + 0.1 + 0.2 * (not load.spared)
        behind_s = min(4.0, max(0.0, behind_s + work_s / capacity - 1))
        busy = 1.0 if behind_s else work_s / capacity
        load.look(streams, round(behind_s * SECOND), busy, slower=1 / capacity)
        turns, before = turns + (bool(load.spared) != bool(before)), load.spared
    assert bool(load.spared) == (capacity < 1.3)
    assert turns <= 2 * 6 * hours
