"""A run's report as one HTML page that needs nothing else: scores with intervals and baselines, time to first token."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from evaluation.hardware import commit, hardware
from evaluation.ovo.score import Scores
from evaluation.ovo.scoring import Scored
from evaluation.ovo.show import OVERALL, figure
from evaluation.ovo.tasks import GROUP_OF, GROUPS, TASKS
from evaluation.stats import quantile

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2630;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #d8dee4}
td:first-child,th:first-child{text-align:left}h2{margin-top:2.5rem}svg{max-width:100%;height:auto}
.backward{fill:#8250df}.realtime{fill:#0969da}.forward{fill:#1a7f37}.note{color:#57606a}
svg text{font:12px system-ui,sans-serif;fill:#1c2630}
"""
_WIDTH, _ROW, _LEFT = 640, 24, 60


def report(scored: Scored, entries: Sequence[Mapping[str, Any]], named: str) -> str:
    """The page. entries: the sidecar's lines, none where there is no sidecar. named: what was scored."""
    parts = [
        f"<h1>OVO-Bench: {escape(named)}</h1>",
        f"<p class=note>commit {escape(commit())}; {escape(_machine())}</p>",
        "<h2>Scores</h2>",
        _bars(scored.scores, next(iter(scored.baselines.values()))),
        "<p class=note>Bars: score in percent; whiskers: 95 % Wilson interval; black ticks: always A, Yes, 1.</p>",
        _tasks(scored),
        "<h2>Averages that circulate</h2>",
        _rows(["average", "score"], [[name, figure(scored.scores.overall[key])] for key, name in OVERALL.items()]),
        _rows(["group", "score"], [[group, figure(scored.scores.groups[group])] for group in GROUPS]),
        f"<p>Nulls {scored.scores.nulls}, duplicate rows {scored.scores.duplicates}, "
        f"missing queries {scored.scores.missing}.</p>",
        *_times(entries),
    ]
    head = f"<meta charset=utf-8><title>OVO-Bench: {escape(named)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _machine() -> str:
    told = hardware()
    return f"{told['cpu']}, {told['cores']} cores, {told['gpu'] or 'no GPU'}, Python {told['python']}"


def _tasks(scored: Scored) -> str:
    heading = ["task", "queries", "score", "95 % interval", "strict", "nulls", *scored.baselines]
    rows = []
    for task in TASKS:
        one = scored.scores.tasks[task]
        interval = "-" if one.low is None else f"{figure(one.low)} to {figure(one.high)}"
        cells = [task, str(one.n), figure(one.score), interval, figure(one.strict), str(one.nulls)]
        rows.append([*cells, *(figure(base.tasks[task].score) for base in scored.baselines.values())])
    return _rows(heading, rows)


def _rows(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


# ---------------------------------------------------------------- plots


def _bars(scores: Scores, constant: Scores) -> str:
    drawn = []
    for n, task in enumerate(TASKS):
        one, base, top = scores.tasks[task], constant.tasks[task], n * _ROW
        drawn.append(f'<text x="8" y="{top + 16}">{task}</text>')
        if one.score is None or one.low is None or one.high is None:
            continue
        width = _x(one.score) - _LEFT
        drawn.append(
            f'<rect class="{GROUP_OF[task]}" x="{_LEFT}" y="{top + 4}" width="{width:.1f}" height="15"/>'
            f'<path d="M{_x(one.low):.1f} {top + 11}H{_x(one.high):.1f}" stroke="#57606a" stroke-width="2"/>'
            f'<text x="{_x(max(one.score, one.high)) + 6:.1f}" y="{top + 16}">{figure(one.score)}</text>'
        )
        if base.score is not None:
            drawn.append(f'<path d="M{_x(base.score):.1f} {top + 2}v19" stroke="#000" stroke-width="2"/>')
    return _svg(len(TASKS) * _ROW, drawn, "Score of each task, its interval, and the constant answers' score")


def _x(percent: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - 60) * percent / 100


def _svg(height: int, drawn: Sequence[str], label: str) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def _times(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Time to first token and staleness: quantiles, and the whole distribution."""
    told = {
        "time to first token (ms)": [entry["timing"]["ttft_ms"] for entry in entries if entry.get("timing")],
        "staleness of the newest picture (ms)": [
            entry["staleness_ms"] for entry in entries if entry.get("staleness_ms") is not None
        ],
    }
    rows = [[name, *(f"{quantile(times, q):.0f}" for q in (0.5, 0.95, 1.0))] for name, times in told.items() if times]
    if not rows:
        return []
    plots = [f"<p>{escape(name)}</p>{_curve(times)}" for name, times in told.items() if times]
    return ["<h2>Times</h2>", _rows(["", "median", "95 %", "longest"], rows), *plots]


def _curve(times: Sequence[float]) -> str:
    """The share of answers that took no longer."""
    ordered, height = sorted(times), 160
    most = max(ordered[-1], 1.0)
    points = " ".join(
        f"{_LEFT + (_WIDTH - _LEFT - 60) * time / most:.1f},{height - 20 - (height - 40) * (n + 1) / len(ordered):.1f}"
        for n, time in enumerate(ordered)
    )
    drawn = [
        f'<path d="M{_LEFT} 20V{height - 20}H{_WIDTH - 60}" fill="none" stroke="#57606a"/>',
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/>',
        f'<text x="8" y="26">100 %</text><text x="24" y="{height - 18}">0</text>',
        f'<text x="{_WIDTH - 56}" y="{height - 16}">{most:.0f}</text>',
    ]
    return _svg(height, drawn, "Share of answers that took no longer")
