"""What counts as the right answer in words of a model's own."""

import pytest

from evaluation.ovo.annotations import Query
from evaluation.ovo.embedded import says


def choice(*options: str, gold: str) -> Query:
    return Query(0, None, "EPM", "a.mp4", 1.0, "Where?", gold, options)


@pytest.mark.parametrize(
    ("query", "response", "right"),
    [
        (choice("left", "right", gold="B"), "It is at the Right.", True),
        (choice("left", "right", gold="B"), "left or right", False),
        (choice("left", "right", gold="B"), "bright", False),
        (choice("red ring", "blue ring", gold="A"), "a red ring", True),
        (choice("left", "to the left", gold="B"), "to the left", True),
        (choice("left", "right", gold="A"), "", False),
        (Query(0, 0, "REC", "a.mp4", 1.0, "How many?", "3"), "3 times", True),
        (Query(0, 0, "REC", "a.mp4", 1.0, "How many?", "3"), "13", False),
        (Query(0, 0, "CRR", "a.mp4", 1.0, "Enough?", "Yes"), "yes", True),
        (Query(0, 0, "CRR", "a.mp4", 1.0, "Enough?", "No"), "I cannot tell.", False),
    ],
)
def test_words_of_its_own(query: Query, response: str, right: bool) -> None:
    assert says(query, response) is right
