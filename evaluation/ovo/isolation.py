"""Does one stream's answer ever come from another stream? Four films at once, a thousand questions about all of them.

The films are twins in pairs: the same questions, opposite answers. Each question says which stream it is for, so that
what the oracle was shown, and who heard its answer, can be told apart; and each tells a lie, which no other question of
any stream may find in its prompt.
"""

import re
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clients.api import Api
from clients.live import Live
from evaluation.checks import Check
from evaluation.oracle.server import Heard
from evaluation.ovo.annotations import Query
from evaluation.ovo.synthetic.files import SyntheticSet, make_set
from evaluation.ovo.through import SEED, oracle_served
from evaluation.ovo.video import Video
from evaluation.registry import Progress

QUESTIONS: Final = 1000
STREAMS: Final = 4
_TRACK: Final = 0
_AT_ONCE: Final = 6
"""Questions that a stream may have open."""
_LIE: Final = "XYZ"
"""No sign of any film says so."""
_MARK: Final = re.compile(r"\[stream (\d+), question (\d+)\]")


@dataclass
class Asked:
    """One stream's questions: number -> answer, and evidence of other streams that was named."""

    answers: dict[int, str] = field(default_factory=dict)
    foreign: int = 0


def run(full: bool, progress: Progress) -> list[Check]:
    """The same in both profiles."""
    with tempfile.TemporaryDirectory(prefix="omnilive-ovo-") as scratch:
        made = make_set(Path(scratch) / "set", SEED + 1, STREAMS // 2, progress=progress)
        with oracle_served() as (oracle, server):
            progress(f"{QUESTIONS} questions about {STREAMS} streams at once")
            with Api(server.url) as api:
                for number in range(STREAMS):
                    api.add(f"film-{number}", {"push": True, "pace": "fast"})
            start = threading.Barrier(STREAMS)
            with ThreadPoolExecutor(STREAMS) as watchers:
                going = [watchers.submit(_watch, server.url, made, n, start) for n in range(STREAMS)]
                asked = [one.result() for one in going]
            heard = oracle.heard()
    return [judged(asked, heard)]


def _watch(url: str, made: SyntheticSet, number: int, start: threading.Barrier) -> Asked:
    """Show a film, and ask as much as its share all along."""
    name = next(film for film, at in made.films.items() if at == number)
    queries = [query for query in made.annotations.queries if query.video == name]
    units = list(Video(made.folder / name, fps=2.0).units())
    share = QUESTIONS // STREAMS
    asked = Asked()
    with Live(url, f"film-{number}") as live:
        live.announce(_TRACK, "h264")
        start.wait(60)
        for n, unit in enumerate(units):
            live.send(_TRACK, unit.data, unit.at_us)
            for question in range(n * share // len(units), (n + 1) * share // len(units)):
                live.ask(str(question), _marked(queries[question % len(queries)], number, question), max_tokens=16)
                if question >= _AT_ONCE:
                    _hear(live, question - _AT_ONCE, number, asked)
        for question in range(max(0, share - _AT_ONCE), share):
            _hear(live, question, number, asked)
    return asked


def _marked(query: Query, stream: int, question: int) -> str:
    return f"{query.prompt}[stream {stream}, question {question}] The sign says {_LIE}."


def _hear(live: Live, question: int, number: int, asked: Asked) -> None:
    answer = live.wait(str(question), 300).answer
    asked.answers[question] = answer["answer"]
    asked.foreign += any(one["stream"] != f"film-{number}" for one in answer["evidence"])


def judged(asked: Sequence[Asked], heard: Sequence[Heard]) -> Check:
    """Crossings: pictures of another film, evidence of another stream, an answer that was given to another question,
    words of another question in the prompt."""
    told: dict[tuple[int, int], str] = {}
    films = told_on = 0
    for one in heard:
        mark = _MARK.search(one.question)
        if mark is None:
            continue
        stream, question = int(mark[1]), int(mark[2])
        told[stream, question] = one.answer
        films += any(state.film != stream for state in one.seen)
        told_on += _MARK.search(one.beside) is not None or _LIE in one.beside
    foreign = sum(one.foreign for one in asked)
    swapped = sum(
        told.get((stream, question), answer) != answer
        for stream, one in enumerate(asked)
        for question, answer in one.answers.items()
    )
    answers = sum(len(one.answers) for one in asked)
    found = f"pictures {films}, evidence {foreign}, answers {swapped}, words {told_on}"
    note = f"of {answers} answers, {len(told)} by the oracle: {found}"
    if answers < QUESTIONS or len(told) < 0.99 * answers:
        return Check("ovo.isolation", None, "crossings", "<= 0", note=f"too few were answered: {note}")
    return Check("ovo.isolation", films + foreign + swapped + told_on, "crossings", "<= 0", note=note)
