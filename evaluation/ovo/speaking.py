"""`omnilive eval ovo speak`: forward tasks whose question is put once, and a model that speaks when it is time."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from evaluation.checks import Check
from evaluation.hardware import commit, hardware
from evaluation.ovo.annotations import Annotations
from evaluation.ovo.asking import Settings
from evaluation.ovo.run import Asked, Job, ask
from evaluation.ovo.running import nulls_of, tell
from evaluation.ovo.show import figure
from evaluation.ovo.spoken import Spoken, blind, contents, measure, said_in
from evaluation.ovo.tasks import FORWARD
from evaluation.ovo.through import bench_set, oracle_served, part_of
from evaluation.ovo.watching import Watching, watching
from evaluation.registry import Progress

_FILMS: Final = (2, 10)
"""In the quick and the full profile."""
_EVERY_S: Final = 1.0
_HEADINGS: Final = {
    "decayed": "falls with time",
    "f1": "F1",
    "delay_s": "delay (s)",
    "false": "false alarms",
    "repeated": "repeated",
    "pauc": "PAUC",
    "content": "content",
}


def run(full: bool, progress: Progress) -> list[Check]:
    """The oracle through the server: what it says too late, too early or not at all, the server kept from it."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = bench_set(Path(scratch) / "set", full, progress, _FILMS)
        forward = part_of(made, lambda query: query.task in FORWARD)
        with oracle_served() as (_, server):
            settings = Settings("onepass", "exact", 16)
            asked, seen = spoken(
                Job(forward.annotations, made.folder, Path(scratch) / "spoken", settings, server.url, "oracle"),
                _EVERY_S, progress,
            )  # fmt: skip
    return judged(seen, asked.nulls)


def judged(seen: Mapping[str, Spoken], nulls: Mapping[str, Sequence[str]]) -> list[Check]:
    """The worst task's F1, and each task's score that falls with time."""
    worst = min(seen, key=lambda task: seen[task].f1 or 0.0)
    note = f"worst task {worst}; {', '.join(f'{task}: {_said(one)}' for task, one in seen.items())}; {dict(nulls)}"
    scores = [Check(f"ovo.self_{task.lower()}", one.decayed, "%") for task, one in seen.items()]
    return [Check("ovo.self_f1", seen[worst].f1, "%", ">= 99", note=note), *scores]


def _said(one: Spoken) -> str:
    return f"{one.moments} moments, {one.said} said, delay {figure(one.delay_s)} s, content {figure(one.content)}"


def spoken(job: Job, every_s: float, progress: Progress) -> tuple[Asked, dict[str, Spoken]]:
    """Watch all videos of a job's forward items; what was said, by task. Raises as `ask`, and FileRefused."""
    made = watching(job.annotations, every_s, contents=job.settings.mode != "live")
    asked = ask(replace(job, annotations=made.annotations, wanted=made.wanted), progress)
    return asked, seen_of(made, asked.entries)


def seen_of(made: Watching, entries: Mapping[Any, Mapping[str, Any]]) -> dict[str, Spoken]:
    """What was said, by task."""
    seen = measure([(watch, said_in(watch, entries)) for watch in made.watches])
    return {**seen, "CRR": replace(seen["CRR"], content=contents(made.watches, entries))}


def run_speak(job: Job, every_s: float, *, as_json: bool) -> int:
    """For people: a table, and the last line of JSON. Raises AnotherRun, ApiError, FileRefused."""
    asked, seen = spoken(job, every_s, lambda text: tell(f"ovo: {text}"))
    tell(f"{asked.asked} queries were asked now")
    for line in nulls_of(asked.nulls):
        tell(line)
    others = blind(watching(job.annotations, every_s, contents=False).watches)
    if not as_json:
        console = Console()
        console = console if console.is_terminal else Console(width=160)
        console.print(spoken_table({job.name: seen, **others}))
    print(json.dumps(last_line(seen, others), ensure_ascii=False, allow_nan=False))
    return 0


def forward_of(annotations: Annotations) -> Annotations:
    """The items that are asked again and again."""
    return Annotations(
        [item for item in annotations.items if item["task"] in FORWARD],
        [query for query in annotations.queries if query.task in FORWARD],
    )


def spoken_table(speakers: Mapping[str, Mapping[str, Spoken]]) -> Table:
    """A row for each task and speaker; in percent but for the delay."""
    table = Table(title="asked once, said when it is time", title_justify="left")
    for heading in ("task", "speaker"):
        table.add_column(heading)
    for heading in ("moments", "said", *_HEADINGS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in ("REC", "SSR", "CRR"):
        for name, seen in speakers.items():
            told = asdict(seen[task])
            table.add_row(
                task, name, str(told["moments"]), str(told["said"]), *(figure(told[key]) for key in _HEADINGS)
            )
        table.add_section()
    return table


def last_line(seen: Mapping[str, Spoken], others: Mapping[str, Mapping[str, Spoken]]) -> dict[str, Any]:
    """The shape of `omnilive bench`'s last line, and all figures."""
    checks = [Check(f"ovo.self_{task.lower()}", one.decayed, "%").as_json() for task, one in seen.items()]
    head = {"bench": "ovo", "commit": commit(), "hardware": hardware()}
    return {
        **head,
        "checks": [check for check in checks if check["value"] is not None],
        "forward": {task: asdict(one) for task, one in seen.items()},
        "baselines": {name: {task: asdict(one) for task, one in told.items()} for name, told in others.items()},
    }
