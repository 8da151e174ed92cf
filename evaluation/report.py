"""What a benchmark prints: a table for people, then as the last line one JSON object."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation.checks import Check
from evaluation.registry import Owed


def not_run(owed: Iterable[Owed], reason: str) -> list[Check]:
    """The figures that could not be measured: failures, with the reason."""
    return [Check(id=figure.id, value=None, unit=figure.unit, bar=figure.bar, note=reason) for figure in owed]


def complete(checks: Sequence[Check], owed: Sequence[Owed], reason: str) -> list[Check]:
    """The checks, and a failure for each figure that is owed but missing, or held against another bar."""
    bars = {figure.id: figure.bar for figure in owed}
    delivered = {check.id for check in checks}
    checks = [_with_its_bar(_finite(check), bars) for check in checks]
    return [*checks, *not_run((figure for figure in owed if figure.id not in delivered), reason)]


def _with_its_bar(check: Check, bars: Mapping[str, str | None]) -> Check:
    if check.bar == bars.get(check.id, check.bar):
        return check
    return replace(check, value=None, bar=bars[check.id], note=f"held against {check.bar}; {check.note}")


def _finite(check: Check) -> Check:
    """JSON has no word for infinity: such a figure counts as not measured."""
    if check.value is None or math.isfinite(check.value):
        return check
    return replace(check, value=None, note=f"not a finite number: {check.value}; {check.note}")


def line(bench: str, commit: str, hardware: dict[str, Any], checks: Sequence[Check]) -> str:
    """The last line: `{"bench","commit","hardware","checks":[{"id","value","unit","bar","ok"}]}`."""
    record = {
        "bench": bench,
        "commit": commit,
        "hardware": hardware,
        "checks": [check.as_json() for check in checks],
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def table(bench: str, checks: Sequence[Check], taken_s: float | None = None) -> Table:
    """The same for people, with the notes."""
    title = f"bench {bench}" if taken_s is None else f"bench {bench} ({taken_s:.0f} s)"
    result = Table(title=title, title_justify="left")
    for heading, justify in (("figure", "left"), ("value", "right"), ("unit", "left"), ("bar", "left")):
        result.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    result.add_column("holds")
    result.add_column("note", overflow="fold")
    for check in checks:
        verdict = Text("yes", style="green") if check.ok else Text("NO", style="bold red")
        row = (check.id, _figure(check.value), check.unit, check.bar or "stated")
        result.add_row(*row, verdict, Text(_note(check)))
    return result


def show(console: Console, bench: str, checks: Sequence[Check], taken_s: float | None = None) -> None:
    """Print the table."""
    console.print(table(bench, checks, taken_s))


def _figure(value: float | None) -> str:
    if value is None:
        return "not run"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def _note(check: Check) -> str:
    if check.reached is None or check.value is None:
        return check.note
    reached = f"95 % interval reaches {_figure(check.reached)}"
    return f"{reached}; {check.note}" if check.note else reached
