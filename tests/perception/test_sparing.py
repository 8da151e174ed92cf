"""Which streams are spared: when, which of them, and when everything is tried again."""

from collections.abc import Mapping

from perception.sparing import BEHIND_US, LOOK_US, Sparing

ALIKE = {f"cam-{n}": 50_000 for n in range(10)}
LATE, ABREAST = BEHIND_US + 1, 0


class Load:
    """Looks once a second at what a test says there is."""

    def __init__(self) -> None:
        self.sparing, self.now_us = Sparing(), 0
        self.look(ALIKE, ABREAST)

    def look(self, spent: Mapping[str, int], behind_us: int, busy: float = 1.0, times: int = 1) -> set[str]:
        spared: set[str] = set()
        for _ in range(times):
            self.now_us += LOOK_US
            spared = set(self.sparing.look(spent, behind_us, round(busy * LOOK_US), self.now_us))
        return spared


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
    less = dict.fromkeys(ALIKE, 5_000)
    assert load.look({**less, "new": 60_000}, ABREAST) == {*ALIKE, "new"}
    assert load.look({**less, "new": 5_000}, ABREAST) == {*ALIKE, "new"}
    assert "new" not in load.look(less, ABREAST)


def test_everything_is_tried_again_when_there_is_time_and_later_each_time_that_was_in_vain() -> None:
    load = Load()
    waited = []
    for _ in range(3):
        assert load.look(ALIKE, LATE, times=2) == set(ALIKE)
        seconds = 0
        while load.look(ALIKE, ABREAST, busy=0.1):
            seconds += 1
        waited.append(seconds)
    assert waited[0] >= 25
    assert waited[1] >= 2 * waited[0] - 2
    assert waited[2] >= 2 * waited[1] - 2


def test_a_trial_that_held_is_forgotten() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    assert load.look(ALIKE, ABREAST, busy=0.1, times=40) == set()
    load.look(ALIKE, ABREAST, busy=0.1, times=70)
    load.look(ALIKE, LATE, times=2)
    assert load.look(ALIKE, ABREAST, busy=0.1, times=40) == set()


def test_nothing_is_tried_where_it_is_known_to_be_too_much_until_that_is_long_ago() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    keyframes = dict.fromkeys(ALIKE, 5_000)
    assert load.look(keyframes, ABREAST, busy=0.3, times=200) == set(ALIKE)
    assert load.look(keyframes, ABREAST, busy=0.3, times=150) == set()


def test_a_stage_that_is_busy_with_keyframes_alone_tries_nothing_more() -> None:
    load = Load()
    load.look(ALIKE, LATE, times=2)
    assert load.look(ALIKE, ABREAST, busy=0.7, times=200) == set(ALIKE)
