"""The report's plots as inline SVG, drawn by hand so that the page needs nothing else."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Final

from evaluation.ovo.score import Scores
from evaluation.ovo.show import figure
from evaluation.ovo.tasks import GROUP_OF, TASKS

_WIDTH: Final = 860
_LEFT: Final = 64
_RIGHT: Final = 64
_ROW: Final = 26
_TALL: Final = 220
_TOP: Final = 12
_TICKS: Final = (0, 20, 40, 60, 80, 100)


def score_bars(scores: Scores, baseline: Scores) -> str:
    """A bar a task with its interval; a tick where the baseline is. A wider gap parts the groups."""
    drawn, top = [], _TOP
    tops = []
    for before, task in zip((None, *TASKS), TASKS, strict=False):
        top += 10 if before is not None and GROUP_OF[before] != GROUP_OF[task] else 0
        tops.append(top)
        top += _ROW
    height = top + 24
    drawn += [_grid_x(share, top) for share in _TICKS]
    for task, at in zip(TASKS, tops, strict=True):
        drawn += _bar(task, at, scores, baseline)
    return _svg(height, drawn, "Score of each task with its 95 % interval, and what the constant answers reach")


def _bar(task: str, at: int, scores: Scores, baseline: Scores) -> list[str]:
    one, base, middle = scores.tasks[task], baseline.tasks[task], at + _ROW // 2
    drawn = [f'<text x="{_LEFT - 12}" y="{middle + 4}" text-anchor="end">{task}</text>']
    if one.score is None or one.low is None or one.high is None:
        return [*drawn, f'<text class="faint" x="{_LEFT + 8}" y="{middle + 4}">not asked</text>']
    width, low, high = _x(one.score) - _LEFT, _x(one.low), _x(one.high)
    drawn += [
        f'<rect class="{GROUP_OF[task]}" x="{_LEFT}" y="{at + 4}" width="{width:.1f}" height="{_ROW - 8}" rx="2"/>',
        f'<path class="whisker" d="M{low:.1f} {middle - 4}v8m0 -4H{high:.1f}m0 -4v8"/>',
        f'<text x="{max(high, _x(one.score)) + 8:.1f}" y="{middle + 4}">{figure(one.score)}</text>',
    ]
    if base.score is not None:
        drawn.append(f'<path class="base" d="M{_x(base.score):.1f} {at + 1}v{_ROW - 2}"/>')
    return drawn


def _x(percent: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * percent / 100


def _grid_x(share: int, bottom: int) -> str:
    x = f"{_x(share):.1f}"
    text = f'<text class="faint" x="{x}" y="{bottom + 18}" text-anchor="middle">{share} %</text>'
    return f'<path class="grid" d="M{x} {_TOP}V{bottom}"/>{text}'


def share_curve(times: Sequence[float], unit: str, label: str) -> str:
    """The share of answers that took no longer."""
    ordered = sorted(times)
    most = max(ordered[-1], 1.0)
    points = [(0.0, 0.0)]
    for n, time in enumerate(ordered, start=1):
        points += [(time / most, points[-1][1]), (time / most, n / len(ordered))]
    drawn = [_grid_y(share) for share in _TICKS]
    drawn += [_tick(part / 4, f"{most * part / 4:.0f} {unit}") for part in range(5)]
    drawn.append(f'<polyline class="line" points="{" ".join(f"{_across(x):.1f},{_up(y):.1f}" for x, y in points)}"/>')
    return _svg(_TALL + 30, drawn, label)


def share_steps(shares: Sequence[tuple[str, float, int]], label: str) -> str:
    """Shares (name, percent, of how many) in their order, joined by a line."""
    drawn = [_grid_y(share) for share in _TICKS]
    places = [((n + 0.5) / len(shares), percent / 100) for n, (_, percent, _) in enumerate(shares)]
    for (x, y), (x_next, y_next) in pairwise(places):
        drawn.append(f'<path class="line" d="M{_across(x):.1f} {_up(y):.1f}L{_across(x_next):.1f} {_up(y_next):.1f}"/>')
    for (x, y), (name, percent, of) in zip(places, shares, strict=True):
        drawn.append(f'<circle class="dot" cx="{_across(x):.1f}" cy="{_up(y):.1f}" r="4"/>')
        below = _up(y) + (20 if y > 0.9 else -10)
        drawn.append(f'<text x="{_across(x):.1f}" y="{below:.1f}" text-anchor="middle">{figure(percent)}</text>')
        drawn.append(_tick(x, f"{name} ({of})"))
    return _svg(_TALL + 30, drawn, label)


def _across(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _up(share: float) -> float:
    return _TALL - (_TALL - _TOP) * share


def _grid_y(share: int) -> str:
    y = f"{_up(share / 100):.1f}"
    text = f'<text class="faint" x="{_LEFT - 10}" y="{float(y) + 4:.1f}" text-anchor="end">{share} %</text>'
    return f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>{text}'


def _tick(share: float, text: str) -> str:
    return f'<text class="faint" x="{_across(share):.1f}" y="{_TALL + 20}" text-anchor="middle">{escape(text)}</text>'


def _svg(height: int, drawn: Sequence[str], label: str) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(label)}">'
    return f"{head}{''.join(drawn)}</svg>"
