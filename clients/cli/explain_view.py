"""Why a question was answered so, for people: the range, the gate, and every candidate with what spoke for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clients.cli.common import clock

COLUMNS: Final = ("", "stream", "event", "at", "score", "likeness", "salience", "words", "score is made of")
_PICKED: Final = "*"


def summary(body: Mapping[str, Any]) -> list[str]:
    """What was understood, a line each. body: the answer of `GET /v1/questions/{id}/explain`."""
    gate, candidates = body["gate"], body["candidates"]
    picked = sum(bool(one.get("picked")) for one in candidates)
    looks = "into the past" if gate.get("past") else "at what is in view"
    reasons = ", ".join(str(reason) for reason in gate.get("reasons", []))
    lines = [f"asked about {_range(body['range'])}", f"looked {looks}{f' ({reasons})' if reasons else ''}"]
    if candidates:
        lines.append(f"found {len(candidates)} candidates, picked {picked} of them ({_PICKED})")
    return lines


def rows(candidates: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row of COLUMNS for each candidate, as they come: those that were picked first, then the best of the rest."""
    return [_row(one) for one in candidates]


def _row(one: Mapping[str, Any]) -> list[str]:
    parts = sorted(one.get("parts", {}).items(), key=lambda part: -part[1])
    return [
        _PICKED if one.get("picked") else "",
        str(one["stream"]),
        f"{one['event']}/{one.get('n', 0)}",
        _media(one.get("media_us")),
        *(_number(one.get(name)) for name in ("score", "likeness", "salience", "words")),
        " + ".join(f"{name} {value:.2f}" for name, value in parts if value >= 0.005),
    ]


def _range(asked: Mapping[str, Any]) -> str:
    since, until = asked.get("since"), asked.get("until")
    if since is None and until is None:
        return "all that is remembered"
    return f"{clock(since)} - {clock(until)}"


def _media(at_us: int | None) -> str:
    """Media time as H:MM:SS.s."""
    if at_us is None:
        return "-"
    seconds = at_us / 1e6
    return f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02}:{seconds % 60:04.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
