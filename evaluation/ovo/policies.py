"""Answers that look at no picture: what a score must beat before it says anything about seeing."""

from collections.abc import Callable
from typing import Final

from evaluation.ovo.annotations import Query
from evaluation.ovo.tasks import FORWARD, LETTERS

Policy = Callable[[Query], str]

_UNABLE: Final = "unable to answer"


def constant(query: Query) -> str:
    """Always A, Yes, 1."""
    if query.task not in FORWARD:
        return "A"
    return "1" if query.task == "REC" else "Yes"


def unable_if_offered(query: Query) -> str:
    """The option that refuses, where there is one; else as `constant`."""
    for letter, option in zip(LETTERS, query.options, strict=False):
        if _UNABLE in option.lower():
            return letter
    return constant(query)


def longest_option(query: Query) -> str:
    """The option with most letters, the first of several; No and 0 where there are none: blind, and not constant."""
    if query.options:
        lengths = [len(option) for option in query.options]
        return LETTERS[lengths.index(max(lengths))]
    return "0" if query.task == "REC" else "No"


POLICIES: Final[dict[str, Policy]] = {
    "constant (A, Yes, 1)": constant,
    "unable if offered": unable_if_offered,
    "blind (longest option, No, 0)": longest_option,
}
