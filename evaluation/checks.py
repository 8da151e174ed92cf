"""The outcome of a benchmark: figures, each with the bar that it is held against."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evaluation.stats import wilson

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
_BAR = re.compile(r"^(<=|>=|==) (-?\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class Check:
    """One figure. bar: `"<= 1.3"`, or None for a figure that is stated without one.

    reached: the end of the 95 % interval that is nearest the bar, for shares in the quick profile; None: the value
    itself.
    value None: the check could not run, which is a failure; `note` says why.
    """

    id: str
    value: float | None
    unit: str
    bar: str | None = None
    reached: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the bar holds."""
        if self.value is None:
            return False
        if self.bar is None:
            return True
        match = _BAR.match(self.bar)
        if match is None:
            raise ValueError(f"not a bar: {self.bar!r}")
        figure = self.value if self.reached is None else self.reached
        return _COMPARISONS[match[1]](figure, float(match[2]))

    def as_json(self) -> dict[str, Any]:
        """The check as it stands in the last line of `omnilive bench`."""
        return {"id": self.id, "value": self.value, "unit": self.unit, "bar": self.bar, "ok": self.ok}


def share_check(name: str, right: int, asked: int, bar: str, *, full: bool, note: str) -> Check:
    """A share that must be at least so large; in the quick profile the high end of its interval is held to the bar."""
    if asked == 0:
        return Check(name, None, "share", bar, note=f"there is nothing to count; {note}")
    reached = None if full else wilson(right, asked).high
    return Check(name, right / asked, "share", bar, reached=reached, note=note)
