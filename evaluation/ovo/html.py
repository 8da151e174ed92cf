"""A run's report as one HTML page that needs nothing else: scores with intervals and baselines, what is known of a
synthetic set's answers, times."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from evaluation.hardware import commit, hardware
from evaluation.ovo.plots import score_bars, share_curve, share_steps
from evaluation.ovo.scored import Scored
from evaluation.ovo.show import OVERALL, figure, insight_lines
from evaluation.ovo.tasks import GROUP_OF, GROUPS, TASKS
from evaluation.stats import quantile

if TYPE_CHECKING:
    from evaluation.ovo.synthetic.insight import Insight

_STYLE: Final = """
:root{--ink:#1c2630;--faint:#57606a;--rule:#d8dee4;--paper:#fff;--backward:#8250df;--realtime:#0969da;--forward:#1a7f37}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2.5rem auto;padding:0 1.25rem;color:var(--ink);
background:var(--paper)}
h1{margin:0;font-size:1.9rem}h2{margin:3rem 0 .5rem;font-size:1.25rem}p{max-width:48rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
td,th{padding:.28rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600;color:var(--faint);white-space:normal;vertical-align:bottom;max-width:7rem}td:first-child,th:first-child{text-align:left;padding-left:0}
.wide{overflow-x:auto}.note{color:var(--faint);font-size:.9rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem;margin:1.5rem 0}
.card{border:1px solid var(--rule);border-radius:8px;padding:.8rem 1rem}
.card b{display:block;font-size:1.8rem;line-height:1.2;font-variant-numeric:tabular-nums}
.card span{color:var(--faint);font-size:.85rem}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .35em 0 1em}.key:first-child{margin-left:0}
svg{max-width:100%;height:auto;display:block;margin:.5rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .faint{fill:var(--faint)}
.backward{fill:var(--backward);background:var(--backward)}.realtime{fill:var(--realtime);background:var(--realtime)}
.forward{fill:var(--forward);background:var(--forward)}
.grid{stroke:var(--rule)}.whisker{stroke:var(--ink);stroke-width:1.5;fill:none}.base{stroke:#cf222e;stroke-width:2.5}
.line{fill:none;stroke:var(--realtime);stroke-width:2}.dot{fill:var(--realtime)}
"""
_BROKEN: Final = "broken: "


def report(
    scored: Scored,
    entries: Sequence[Mapping[str, Any]],
    named: str,
    proof: tuple[Sequence[str], Sequence[Sequence[str]], Sequence[str]] | None = None,
) -> str:
    """The page. entries: the sidecar's lines, none where there is no sidecar. named: what was scored. proof: of a
    synthetic set: headings, rows, what is broken."""
    parts = [
        f"<h1>OVO-Bench: {escape(named)}</h1>",
        f"<p class=note>commit {escape(commit()[:12])}; {escape(_machine())}</p>",
        _cards(scored),
        *_scores(scored),
        *([] if scored.insight is None else _insight(scored.insight)),
        *([] if proof is None else _proof(*proof)),
        *_times(entries),
    ]
    view = '<meta name="viewport" content="width=device-width,initial-scale=1">'
    head = f"<meta charset=utf-8>{view}<title>OVO-Bench: {escape(named)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _machine() -> str:
    told = hardware()
    return f"{told['cpu']}, {told['cores']} cores, {told['gpu'] or 'no GPU'}, Python {told['python']}"


def _cards(scored: Scored) -> str:
    """The averages that circulate, by name, and the groups."""
    told = {name: scored.scores.overall[key] for key, name in OVERALL.items()}
    told |= {f"{group} (mean of {len(tasks)} tasks)": scored.scores.groups[group] for group, tasks in GROUPS.items()}
    cards = (f"<div class=card><b>{figure(value)}</b><span>{escape(name)}</span></div>" for name, value in told.items())
    return f"<div class=cards>{''.join(cards)}</div>"


def _scores(scored: Scored) -> list[str]:
    keys = "".join(f'<i class="key {group}"></i>{group}' for group in GROUPS)
    scores = scored.scores
    return [
        "<h2>Scores</h2>",
        f"<p class=note>{keys}. Whiskers: 95 % Wilson interval; red: always A, Yes, 1.</p>",
        score_bars(scores, next(iter(scored.baselines.values()))),
        _tasks(scored),
        "<p class=note>strict: the share of responses that begin with the right letter, word or number. "
        "Last columns: what answering without looking reaches.</p>",
        f"<p>Nulls {scores.nulls}, duplicate rows {scores.duplicates}, missing queries {scores.missing}.</p>",
    ]


def _tasks(scored: Scored) -> str:
    heading = ["task", "group", "queries", "score", "95 % interval", "strict", "nulls", *scored.baselines]
    rows = []
    for task in TASKS:
        one = scored.scores.tasks[task]
        interval = "-" if one.low is None else f"{figure(one.low)} to {figure(one.high)}"
        cells = [task, GROUP_OF[task], str(one.n), figure(one.score), interval, figure(one.strict), str(one.nulls)]
        rows.append([*cells, *(figure(base.tasks[task].score) for base in scored.baselines.values())])
    return _rows(heading, rows)


def _insight(insight: "Insight") -> list[str]:
    shares = [(f"{one.from_s} s and more", 100 * one.right / one.n, one.n) for one in insight.distances]
    drawn = [] if not shares else [share_steps(shares, "Right answers by the time since what proves them")]
    rows = [[f"{one.from_s} s", str(one.scenes), str(one.n), str(one.right)] for one in insight.distances]
    return [
        "<h2>How far back</h2>",
        "<p class=note>Questions about the past: right answers in percent, by the time since the moment that proves "
        "them; in brackets how many were asked.</p>",
        *drawn,
        _rows(["at least", "scenes since, at most", "queries", "right"], rows),
        *(f"<p>{escape(line)}</p>" for line in insight_lines(insight)),
    ]


def _proof(heading: Sequence[str], rows: Sequence[Sequence[str]], broken: Sequence[str]) -> list[str]:
    said = [f"<p>{_BROKEN}{escape(line)}</p>" for line in broken] or ["<p>Every obligation holds.</p>"]
    about = "What the films' encoded frames alone give, in percent of right answers."
    return ["<h2>Proof of the set</h2>", f"<p class=note>{about}</p>", _rows(heading, rows), *said]


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
    plots = [
        f"<p class=note>{escape(name)}: the share of answers with no more</p>{share_curve(times, 'ms', name)}"
        for name, times in told.items()
        if times
    ]
    return ["<h2>Times</h2>", _rows(["", "median", "95 %", "longest"], rows), *plots]


def _rows(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"
