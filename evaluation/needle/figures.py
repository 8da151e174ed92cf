"""What was found of the needles, as figures: by length, by length and depth, beside what others would have shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from evaluation.checks import Check, share_check
from evaluation.stats import wilson

Key = TypeVar("Key")
BEST: Final = 5
BASELINES: Final = {
    "last4": "the newest 4 frames",
    "uniform64": "64 frames, evenly over all",
    "first_clip": "the first clip over 0.3, as the original takes it; answers from two of its frames at most",
    "first_clip_best": "the same with the threshold that serves it best on these very questions",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a needle. rank: its place among what was recalled, best first, from 0; None: it was not there.

    right: the answer to the question about it; in_view: the same asked while it was to be seen. shown: by which
    baselines it would have been shown.
    """

    length: int
    depth: float
    distractors: int
    frames: int
    rank: int | None
    right: bool
    in_view: bool
    shown: dict[str, bool] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether it is among the best."""
        return self.rank is not None and self.rank < BEST


@dataclass
class Found:
    """All that was found out. codes: of the same needles in the same order, what was read at the moment that was found.
    false_recalls: for each look that was nowhere, what was said of it; "" where it was denied."""

    needles: list[Outcome] = field(default_factory=list)
    codes: list[Outcome] = field(default_factory=list)
    false_recalls: list[str] = field(default_factory=list)


def figures(found: Found, drawn: str, *, full: bool) -> list[Check]:
    """All checks. drawn: where the heat map is."""
    lengths = _grouped(found.needles, lambda one: one.length)
    return [
        _recall5_low(lengths, full),
        _recall1(lengths, full),
        _worst_cell(found.needles, drawn, full),
        _answer_gap(found, full),
        _false_recall(found.false_recalls, full),
        *(_stated(f"needle.{name}", [one.shown[name] for one in found.needles], about)
          for name, about in BASELINES.items()),
        _stated("needle.code_recall5", [one.found for one in found.codes], "of the event that was recalled first"),
        _stated("needle.code_right", [one.right for one in found.codes], _in_view(found.codes)),
        _stated("needle.place_right", [one.right for one in found.needles], _in_view(found.needles)),
    ]  # fmt: skip


def _recall5_low(lengths: Mapping[int, Sequence[Outcome]], full: bool) -> Check:
    """Wilson's lower bound at the worst length; the quick profile, which has few needles, is held to the upper one."""
    bar = ">= 0.95"
    if not lengths:
        return Check("needle.recall5_low", None, "share", bar, note="there are no needles")
    bounds = {length: wilson(sum(one.found for one in of), len(of)) for length, of in lengths.items()}
    worst = min(bounds, key=lambda length: bounds[length].low)
    reached = None if full else bounds[worst].high
    note = ", ".join(f"{length}: {sum(one.found for one in of)} of {len(of)}" for length, of in sorted(lengths.items()))
    by_kind = _shares(one for of in lengths.values() for one in of)
    return Check("needle.recall5_low", bounds[worst].low, "share", bar, reached, f"{note}; {by_kind}")


def _shares(outcomes: Iterable[Outcome]) -> str:
    """Found by number of distractors, and by how long it was there."""
    known = list(outcomes)
    kinds: dict[str, Callable[[Outcome], int]] = {
        "distractors": lambda one: one.distractors,
        "frames": lambda one: one.frames,
    }
    return "; ".join(
        f"{name} {value}: {sum(one.found for one in of)} of {len(of)}"
        for name, key in kinds.items()
        for value, of in sorted(_grouped(known, key).items())
    )


def _recall1(lengths: Mapping[int, Sequence[Outcome]], full: bool) -> Check:
    firsts = {length: [one.rank == 0 for one in of] for length, of in lengths.items()}
    worst = min(firsts, key=lambda length: sum(firsts[length]) / len(firsts[length]), default=0)
    right = firsts.get(worst, [])
    note = f"worst length {worst}: {sum(right)} of {len(right)}"
    return share_check("needle.recall1", sum(right), len(right), ">= 0.85", full=full, note=note)


def _worst_cell(needles: Sequence[Outcome], drawn: str, full: bool) -> Check:
    cells = _grouped(needles, lambda one: (one.length, one.depth))
    worst = min(cells, key=lambda cell: sum(one.found for one in cells[cell]) / len(cells[cell]), default=(0, 0.0))
    of = cells.get(worst, [])
    note = f"length {worst[0]}, depth {worst[1]}: {sum(one.found for one in of)} of {len(of)}; {drawn}"
    return share_check("needle.cell", sum(one.found for one in of), len(of), ">= 0.80", full=full, note=note)


def _answer_gap(found: Found, full: bool) -> Check:
    """The larger one of two gaps: of codes, of which a guess is never right, and of places."""
    if not found.codes or not found.needles:
        return Check("needle.answer_gap", None, "points", "<= 5", note="there are no needles")
    gaps = [_Gap("codes", found.codes), _Gap("places", found.needles)]
    worst = max(gaps, key=lambda one: one.points)
    # The quick profile has few needles: it is held to what they leave open.
    reached = None if full else max(one.least for one in gaps)
    return Check("needle.answer_gap", worst.points, "points", "<= 5", reached, "; ".join(one.told() for one in gaps))


@dataclass(frozen=True)
class _Gap:
    """Points by which answers from memory are right less often than those in view."""

    name: str
    outcomes: Sequence[Outcome]

    @property
    def right(self) -> int:
        return sum(one.right for one in self.outcomes)

    @property
    def points(self) -> float:
        return 100 * (sum(one.in_view for one in self.outcomes) - self.right) / len(self.outcomes)

    @property
    def least(self) -> float:
        """As little as it may be: were as many answers right as the 95 % interval allows."""
        asked = len(self.outcomes)
        return self.points - 100 * (wilson(self.right, asked).high - self.right / asked)

    def told(self) -> str:
        """In words, by length."""
        lengths = _grouped(self.outcomes, lambda one: one.length)
        by_length = ", ".join(
            f"{length}: {sum(one.right for one in of)} of {len(of)}" for length, of in lengths.items()
        )
        seen, asked = sum(one.in_view for one in self.outcomes), len(self.outcomes)
        return f"{self.name}: in view {seen}, from memory {self.right} of {asked} ({by_length})"


def _false_recall(said: Sequence[str], full: bool) -> Check:
    if not said:
        return Check("needle.false_recall", None, "share", "<= 0.02", note="nothing was asked")
    false = [one for one in said if one]
    reached = None if full else wilson(len(false), len(said)).low
    note = f"{len(false)} of {len(said)} things that were nowhere; {', '.join(false[:5]) or 'none'}"
    return Check("needle.false_recall", len(false) / len(said), "share", "<= 0.02", reached, note)


def _stated(name: str, hits: Sequence[bool], about: str) -> Check:
    if not hits:
        return Check(name, None, "share", note="there are none")
    return Check(name, sum(hits) / len(hits), "share", note=f"{sum(hits)} of {len(hits)}; {about}")


def _in_view(outcomes: Sequence[Outcome]) -> str:
    return f"the same in view: {sum(one.in_view for one in outcomes)} of {len(outcomes)}"


def table(needles: Sequence[Outcome]) -> str:
    """Recall among the best 5 by length and depth, as Markdown."""
    cells = _grouped(needles, lambda one: (one.length, one.depth))
    depths = sorted({depth for _, depth in cells})
    lines = [f"| frames | {' | '.join(f'{depth:.1f}' for depth in depths)} |", "|---" * (len(depths) + 1) + "|"]
    for length in sorted({length for length, _ in cells}):
        row = [cells.get((length, depth), []) for depth in depths]
        told = [f"{sum(one.found for one in of)}/{len(of)}" if of else "-" for of in row]
        lines.append(f"| {length} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _grouped(outcomes: Iterable[Outcome], key: Callable[[Outcome], Key]) -> dict[Key, list[Outcome]]:
    groups: dict[Key, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(key(one), []).append(one)
    return groups
