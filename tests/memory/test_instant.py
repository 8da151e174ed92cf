"""Which questions ask how things were at one instant."""

import pytest

from memory.instant import instant_of
from memory.timewords import Moment, parse

S = 1_000_000
NOW = Moment(100 * S, 1_767_225_600 * S, "UTC", (0, 100 * S))


@pytest.mark.parametrize(
    ("question", "at_s"),
    [
        ("How many objects were there 12 s ago?", 88),
        ("What did the sign say 12 seconds ago?", 88),
        ("Was the door open twenty seconds ago?", 80),
        ("What colour was the car at 00:00:37?", 37.5),
        ("Where was the red ring at 37 s?", 37),
    ],
)
def test_a_state_at_a_second_is_one(question: str, at_s: float) -> None:
    assert instant_of(parse(question, NOW)) == at_s * S


@pytest.mark.parametrize(
    "question",
    [
        "What happened 12 s ago?",
        "Which way was the car moving 5 s ago?",
        "Who came in 5 s ago?",
        "What was said 5 s ago?",
        "How many times was it there 12 s ago?",
        "Is it still there as 12 s ago?",
        "What was on the table before 12 s ago?",
        "Was the ring there more than 12 s ago?",
        "Who was there an hour ago?",
        "Who was there in the last 5 seconds?",
        "Where was the ring first?",
        "Where is the ring?",
    ],
)
def test_what_goes_on_or_compares_or_names_a_while_is_none(question: str) -> None:
    assert instant_of(parse(question, NOW)) is None
