"""What makes a synthetic set trustworthy, proved from its encoded films: the answers are in the pixels alone.

Blind policies reach chance. Questions about the past cannot be answered from the newest frames, those about now only
from them; motion takes several frames in their order; the future tells nothing. Letters, yes and no, and counts are
balanced, and every question has another answer in the twin film.
"""

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import av
from rich.table import Table

from evaluation.clips import Picture
from evaluation.oracle.answer import answer
from evaluation.ovo.annotations import Query, read_json
from evaluation.ovo.policies import POLICIES
from evaluation.ovo.score import is_right
from evaluation.ovo.synthetic.files import SyntheticSet
from evaluation.ovo.synthetic.plan import SCENE_S
from evaluation.ovo.tasks import GROUP_OF, GROUPS, TASKS
from training.world import StripState, read_strip

MOTION: Final = ("ACR", "FPD")
"""One frame shows where something is, not where it goes."""
CHANCE: Final = {task: {"HLD": 0.5, "SSR": 0.5, "CRR": 0.5}.get(task, 0.25) for task in TASKS}
"""Of those who see nothing; of HLD by always refusing. REC has none: its best constant is stated."""
PROOF: Final = "proof.json"
WINDOW_S: Final = 4.0
"""At one frame a second the last four frames."""
_SAMPLED_S: Final = 1.0
_MOST_BY_TIME: Final = 1 / 3
"""Who knows when it is asked, and what is usual then, may count right so often."""
_SURE: Final = 0.99
_Z99: Final = 2.5758293035489004

Timed = Sequence[tuple[float, StripState | None]]


@dataclass(frozen=True)
class Row:
    """Shares of right answers in one task. oracle: from all frames before the question; paired: of twins of which the
    oracle has both right. By less: newest: the frames of the last WINDOW_S seconds; last: the last one; shuffled: all
    in another order; past: all but those of the newest scene; future: all from the question on. blind: the best of the
    policies; for REC, of those who know how often which count is right at the time.
    """

    task: str
    n: int
    oracle: float
    paired: float
    newest: float
    last: float
    shuffled: float
    past: float
    future: float
    blind: float


@dataclass(frozen=True)
class Proof:
    """The table, and in words what does not hold."""

    rows: Sequence[Row]
    broken: Sequence[str]


def prove(made: SyntheticSet) -> Proof:
    """Read every film and answer every question in every way."""
    seen = {film: sampled(made.folder / film) for film in made.films}
    rows = [_row(made, task, seen) for task in TASKS if any(one.task == task for one in made.annotations.queries)]
    broken = [*_unanswered(rows), *_too_easy(rows), *_unneeded(rows), *_unbalanced(made), *_untwinned(made)]
    return Proof(rows, broken)


def sampled(film: Path) -> list[tuple[float, StripState | None]]:
    """Times and strips of a film's frames, one a second, from the encoded pixels."""
    found: list[tuple[float, StripState | None]] = []
    with av.open(str(film)) as container:
        for shown in container.decode(video=0):
            if not found or shown.time - found[-1][0] >= _SAMPLED_S - 1e-6:
                found.append((shown.time, read_strip(cast(Picture, shown.to_ndarray(format="rgb24")))))
    return found


HEADINGS: Final = (
    "task", "group", "queries", "oracle", "both twins", f"newest {WINDOW_S:.0f} s", "last frame", "shuffled",
    "past only", "future only", "best blind", "chance",
)  # fmt: skip


def proof_rows(proof: Proof) -> list[list[str]]:
    """For people, as HEADINGS has it: shares in percent."""
    rows = []
    for row in proof.rows:
        shares = (row.oracle, row.paired, row.newest, row.last, row.shuffled, row.past, row.future, row.blind)
        chance = "-" if row.task == "REC" else f"{100 * CHANCE[row.task]:.0f}"
        rows.append([row.task, GROUP_OF[row.task], str(row.n), *(f"{100 * share:.1f}" for share in shares), chance])
    return rows


def proof_table(proof: Proof) -> Table:
    """The same as a table."""
    table = Table(title="proof, from the encoded films", title_justify="left")
    for n, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if n < 2 else "right", no_wrap=True)
    for row in proof_rows(proof):
        table.add_row(*row)
    return table


def keep_proof(folder: Path, proof: Proof) -> None:
    """Beside the set, for reports."""
    told = {"headings": HEADINGS, "rows": proof_rows(proof), "broken": proof.broken}
    (folder / PROOF).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def kept_proof(folder: Path) -> tuple[list[str], list[list[str]], list[str]] | None:
    """Headings, rows and what is broken, as kept; None where nothing is. Raises FileRefused."""
    if not (folder / PROOF).is_file():
        return None
    told = read_json(folder / PROOF)
    return told["headings"], told["rows"], told["broken"]


def margin(share: float, n: int) -> float:
    """Half the width of the 99 % interval of a share that is chance."""
    return _Z99 * math.sqrt(share * (1 - share) / n)


# ---------------------------------------------------------------- shares


Frames = list[tuple[float, StripState]]
Shown = Callable[[Query, Frames], Frames]

_LESS: Final[Mapping[str, Shown]] = {
    "newest": lambda query, frames: [one for one in frames if query.at_s - WINDOW_S <= one[0] < query.at_s],
    "last": lambda query, frames: _before(query, frames)[-1:],
    "shuffled": lambda query, frames: _shuffled(query, _before(query, frames)),
    "past": lambda query, frames: [one for one in frames if one[0] < query.at_s - SCENE_S],
    "future": lambda query, frames: [one for one in frames if one[0] >= query.at_s],
}


def _row(made: SyntheticSet, task: str, seen: Mapping[str, Timed]) -> Row:
    queries = [query for query in made.annotations.queries if query.task == task]
    whole = {film: [(at_s, state) for at_s, state in frames if state is not None] for film, frames in seen.items()}

    def share(shown: Shown) -> float:
        right = [_answered(query, shown(query, whole[query.video])) for query in queries]
        return sum(right) / len(right)

    right = {query.key: _answered(query, _before(query, whole[query.video])) for query in queries}
    twins: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for query in queries:
        twins[made.truths[query.id].asked, query.key[1]].append(right[query.key])
    return Row(
        task=task,
        n=len(queries),
        oracle=sum(right.values()) / len(right),
        paired=sum(all(both) for both in twins.values()) / len(twins),
        blind=_by_time(queries) if task == "REC" else _best_policy(task, queries),
        **{name: share(shown) for name, shown in _LESS.items()},
    )


def _before(query: Query, frames: Frames) -> Frames:
    return [one for one in frames if one[0] < query.at_s]


def _shuffled(query: Query, frames: Frames) -> Frames:
    return random.Random(f"{query.video}/{query.key}").sample(frames, len(frames))


def _best_policy(task: str, queries: Sequence[Query]) -> float:
    return max(
        sum(is_right(task, query.gold, policy(query)) for query in queries) / len(queries)
        for policy in POLICIES.values()
    )


def _by_time(queries: Sequence[Query]) -> float:
    """Of counts: the share that is the usual one at its time, over times at which more than one is possible."""
    golds: dict[float, Counter[str]] = defaultdict(Counter)
    for query in queries:
        golds[query.at_s][query.gold] += 1
    return sum(max(counted.values()) for counted in golds.values()) / len(queries)


def _answered(query: Query, frames: Frames) -> bool:
    return is_right(query.task, query.gold, answer(query.prompt, [state for _, state in frames]))


# ---------------------------------------------------------------- obligations


def _unanswered(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.oracle < _SURE:
            yield f"{row.task}: the pixels give only {100 * row.oracle:.1f} % of the answers"


def _too_easy(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        most = CHANCE[row.task] + margin(CHANCE[row.task], row.n)
        for name, share in _no_way(row).items():
            if share > most:
                yield f"{row.task}: {name} gives {100 * share:.1f} % of the answers"


def _no_way(row: Row) -> dict[str, float]:
    """What must lead to chance."""
    if row.task == "REC":
        return {}
    group = GROUP_OF[row.task]
    ways = {"seeing nothing": row.blind}
    if group != "forward" and row.task not in MOTION:
        ways["the future"] = row.future
    if group == "backward":
        ways["the newest frames"] = row.newest
    if group == "realtime":
        ways["the past"] = row.past
    if row.task in MOTION:
        ways |= {"the last frame": row.last, "frames in another order": row.shuffled}
    return ways


def _unneeded(rows: Sequence[Row]) -> Iterator[str]:
    """What must do: of the past all but the newest frames, of now the last one; and counts that time does not tell."""
    for row in rows:
        if row.task in GROUPS["backward"] and row.past < _SURE:
            yield f"{row.task}: it takes more than the past, which gives {100 * row.past:.1f} % of the answers"
        if row.task in GROUPS["realtime"] and row.task not in MOTION and row.last < _SURE:
            yield f"{row.task}: it takes more than the last frame, which gives {100 * row.last:.1f} % of the answers"
        if row.task == "REC" and row.blind > _MOST_BY_TIME + margin(_MOST_BY_TIME, row.n):
            yield f"REC: the time alone gives {100 * row.blind:.1f} % of the counts"


def _unbalanced(made: SyntheticSet) -> Iterator[str]:
    letters: dict[str, Counter[str]] = defaultdict(Counter)
    words: dict[tuple[str, float], Counter[str]] = defaultdict(Counter)
    for query in made.annotations.queries:
        if query.options:
            letters[query.task][query.gold] += 1
        elif query.task != "REC":
            words[query.task, query.at_s][query.gold] += 1
    for task, counted in letters.items():
        if len({counted[letter] for letter in "ABCD"}) > 1:
            yield f"{task}: letters are not equally often right: {dict(counted)}"
    for (task, at_s), counted in words.items():
        if counted["Yes"] != counted["No"]:
            yield f"{task}: at {at_s:.0f} s yes is right {counted['Yes']} times, no {counted['No']} times"


def _untwinned(made: SyntheticSet) -> Iterator[str]:
    golds: dict[str, set[str]] = defaultdict(set)
    for query in made.annotations.queries:
        if query.options:
            golds[made.truths[query.id].asked].add(query.gold)
    for asked, found in golds.items():
        if len(found) < 2:
            yield f"{asked}: has the same answer in both films"
