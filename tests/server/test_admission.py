"""What is foretold of a question from its costs and from the line before it, and who is let in."""

from typing import Any

import msgspec
import pytest

from reasoning.messages import Costs
from server.admission import Admission, Asked, Late, most_open

COSTS = Costs(read_s=0.001, tokens=1000.0, encode_s=0.0, elsewhere_s=0.0, step_s=[0.01, 0.02], end_rate=0.0)
"""A second to read, 10 ms a token alone and 20 together with another."""


def asked(stream: str = "cam", said: int = 0, most: int = 100) -> Asked:
    return Asked(stream, 0.0, most, 0.0, said)


def admission(**changed: Any) -> Admission:
    made = Admission()
    made.costs = msgspec.structs.replace(COSTS, **changed)
    return made


def foretold(line: list[Asked], new: Asked | None = None, **changed: Any) -> float | None:
    found = admission(**changed).foretell(line, new or asked())
    return None if found is None else found.end_s


def test_alone_it_is_read_and_decoded() -> None:
    assert foretold([]) == pytest.approx(1.0 + 1.0)
    assert foretold([], Asked("cam", 1000.0, 100, 0.0)) == pytest.approx(2.0 + 1.0)
    assert foretold([], encode_s=0.5, elsewhere_s=0.25) == pytest.approx(2.75)
    assert foretold([], end_rate=0.1) == pytest.approx(1.0 + 0.1, rel=0.01)


def test_another_one_that_is_answered_shares_the_steps() -> None:
    assert foretold([asked(said=50)]) == pytest.approx(1.0 + 100 * 0.02)


def test_one_that_was_not_read_yet_is_read_before() -> None:
    assert foretold([asked()]) == pytest.approx(2.0 + 100 * 0.02)


def test_with_no_slot_free_others_must_end_first() -> None:
    # Each of the two has 50 tokens left: one of them ends on average after half of that.
    assert foretold([asked(said=50), asked(said=50)]) == pytest.approx(1.0 + 0.5 * 50 * 0.02 + 100 * 0.02)
    assert foretold([asked(said=1)] * 2 + [asked()] * 8) == pytest.approx(9.0 + 9 / 2 * 2.0 + 2.0, rel=0.01)


def test_of_another_stream_no_more_go_before_it_than_of_its_own() -> None:
    busy = [asked("busy") for _ in range(20)]
    assert foretold(busy, asked("quiet")) == foretold(busy[:1], asked("quiet"))
    assert foretold([asked("quiet"), *busy], asked("quiet")) == foretold([asked("quiet"), *busy[:2]], asked("quiet"))
    assert foretold(busy, asked("busy")) == foretold([asked()] * 20)


def test_nothing_is_refused_before_costs_are_known_or_where_nobody_is_before_it() -> None:
    unknown = Admission()
    assert unknown.foretell([], asked()) is None
    assert unknown.judge([asked()] * 63, asked(), 0.001) is None
    assert unknown.next_end_s([asked()], 0.0) == 1
    assert admission().judge([], asked(), 0.001) is None


def test_who_cannot_be_answered_in_time_is_told_when_to_ask_again() -> None:
    line = [asked() for _ in range(9)]
    takes_s = foretold(line)
    assert takes_s == pytest.approx(10.0 + 8 / 2 * 2.0 + 2.0)
    assert admission().judge(line, asked(), 40.0) is None
    late = admission().judge(line, asked(), 10.0)
    # Of its 10 seconds it takes 3 itself, and a wait counts twice: the 17 s of the line must go down to 3.5.
    assert late == Late(14, pytest.approx(takes_s))


def test_one_that_is_overdue_tells_at_once_that_answers_take_longer() -> None:
    line = [Asked("cam", 0.0, 100, at_s=10.0, foretold_s=2.0)]
    # One second of each is what it starts with.
    assert admission().slowness(line, 30.0) == pytest.approx((1 + 20) / (1 + 2))
    assert admission().slowness(line, 11.9) == 1.0
    assert admission().judge(line, Asked("cam", 0.0, 100, 11.9), 10.0) is None
    assert admission().judge(line, Asked("cam", 0.0, 100, 30.0), 10.0) is not None


def test_what_takes_too_long_even_alone_is_not_helped_by_waiting() -> None:
    assert admission().judge([asked()], asked(), 1.9) == Late(None, pytest.approx(2.0))


def test_it_learns_how_much_longer_answers_take_than_was_foretold() -> None:
    learned = admission()
    assert learned.slowness() == 1.0
    for _ in range(50):
        learned.learn(2.0, 6.0)
    assert learned.slowness() == pytest.approx(3.0, rel=0.01)
    line = [asked()]
    assert learned.judge(line, asked(), 20.0) is None
    assert admission().judge(line, asked(), 10.0) is None
    assert learned.judge(line, asked(), 10.0) == Late(3, pytest.approx(12, rel=0.01))
    learned.forget()
    assert (learned.slowness(), learned.costs) == (1.0, None)


@pytest.mark.parametrize(("took_s", "bound"), [(0.0, 0.25), (1e6, 16.0)])
def test_what_it_learns_has_bounds(took_s: float, bound: float) -> None:
    learned = admission()
    for _ in range(100):
        learned.learn(1.0, took_s)
    assert learned.slowness() == bound


def test_a_place_is_free_when_the_next_of_the_line_ends() -> None:
    # Two slots: each of the ten adds a second of reading and half of its hundred steps to the line.
    assert admission().next_end_s([asked() for _ in range(10)], 0.0) == 2
    assert admission(read_s=1e-6, step_s=[1e-5, 1e-5]).next_end_s([asked()] * 10, 0.0) == 1
    assert admission(read_s=1e6).next_end_s([asked()], 0.0) == 3600


def test_more_than_one_stream_may_have_are_open_in_all() -> None:
    assert most_open(64) == 1024
    assert most_open(4000) == 4000
