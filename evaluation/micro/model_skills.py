"""What the model answers rightly, skill by skill, on films that it was not trained on, through the real stages.

Past skills are asked on 1, 4 and 8 frames of evidence that settle the question; recall itself is not under test here.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Final

from evaluation.checks import Check, share_check
from evaluation.micro.model_ask import Asker
from evaluation.micro.model_exam import EVIDENCE, Posed, films, pose
from evaluation.micro.model_view import PLAIN, Look, Viewer, embedded
from evaluation.micro.workers import workers
from evaluation.registry import Progress
from evaluation.stats import wilson
from training.world import NONE, PRESETS, Preset, as_letters, as_yes_no

SKILLS: Final = {
    "colour": 0.95,
    "shape": 0.95,
    "place": 0.95,
    "exist": 0.95,
    "sign": 0.95,
    "absent": 0.95,
    "count": 0.90,
    "motion": 0.90,
    "order": 0.90,
    "when": 0.90,
}
_FIRST_SEED: Final = 100_000
_UNSEEN_SEED: Final = 200_000
_ROBUST_SEED: Final = 300_000
_MOST_FILMS: Final = 3_000
_SHARES: Final = 4
"""Into so many parts the films are shared out, whatever the machine: the figures must not depend on its cores."""
_LOOKS: Final = (
    ("as usual", PLAIN, PRESETS["plain"]),
    ("small", Look(size=(256, 192)), PRESETS["plain"]),
    ("large", Look(size=(1280, 720)), PRESETS["plain"]),
    ("slow", Look(fps=5), PRESETS["plain"]),
    ("fast", Look(fps=25), PRESETS["plain"]),
    ("fine", Look(crf=18), PRESETS["plain"]),
    ("coarse", Look(crf=35), PRESETS["plain"]),
    ("dim and noisy", PLAIN, PRESETS["dark"]),
    ("noisy", PLAIN, replace(PRESETS["plain"], noise=6.0)),
)
_PAIRED: Final = ("colour", "shape", "place", "exist")
_WITH_PAST: Final = ("colour", "place", "exist", "sign", "count")


@dataclass
class Score:
    """Right answers of all."""

    right: int = 0
    asked: int = 0

    def add(self, *, good: bool) -> None:
        """Count one."""
        self.right += good
        self.asked += 1

    def join(self, other: "Score") -> None:
        """Count what another one counted."""
        self.right += other.right
        self.asked += other.asked

    @property
    def share(self) -> float:
        """Of nothing: 0."""
        return self.right / self.asked if self.asked else 0.0


Scores = defaultdict[str, Score]
_scores: Final = partial(defaultdict[str, Score], Score)


@dataclass
class Found:
    """All that was found out, by skill, by number of evidence frames, by form; films: how many were shown."""

    skills: Scores = field(default_factory=_scores)
    in_view: Scores = field(default_factory=_scores)
    by_pieces: dict[int, Scores] = field(default_factory=lambda: defaultdict(_scores))
    forms: Scores = field(default_factory=_scores)
    last_frame: Scores = field(default_factory=_scores)
    refused: Score = field(default_factory=Score)
    blind: Score = field(default_factory=Score)
    chance: list[float] = field(default_factory=list)
    films: int = 0

    def join(self, other: "Found") -> None:
        """Take in what was found out on other films."""
        _join(self.skills, other.skills)
        _join(self.in_view, other.in_view)
        _join(self.forms, other.forms)
        _join(self.last_frame, other.last_frame)
        for pieces, scores in other.by_pieces.items():
            _join(self.by_pieces[pieces], scores)
        self.refused.join(other.refused)
        self.blind.join(other.blind)
        self.chance += other.chance
        self.films += other.films


def _join(scores: Scores, more: Scores) -> None:
    for name, score in more.items():
        scores[name].join(score)


def run(full: bool, progress: Progress) -> list[Check]:
    """60 questions a skill in the quick profile, 500 in the full one."""
    most = 500 if full else 60
    found, unseen, looks = _found_out(most, progress)
    return [
        *(_share(f"model.{skill}", found.skills[skill], f">= {bar:.2f}", full, _beside(found, skill))
          for skill, bar in SKILLS.items()),
        _share("model.unseen_pairs", unseen, ">= 0.85", full),
        _false_refusal(found.refused, full),
        _past_gap(found, full),
        _forms_gap(found, full),
        _robust(looks, full),
        _blind(found, full),
    ]  # fmt: skip


# ---------------------------------------------------------------- asking


def _found_out(most: int, progress: Progress) -> tuple[Found, Score, dict[str, Score]]:
    """On films as they are; of pairs that no training showed; by how the films look."""
    found = Found()
    # How many processes there are is the machine's matter.
    with workers(_SHARES) as pool:
        shares = [pool.submit(_examine_share, n, most) for n in range(_SHARES)]
        unseen = pool.submit(_pairs, most)
        looks = {name: pool.submit(_overall, 2 * most, look, preset) for name, look, preset in _LOOKS}
        everything: list[Future[Any]] = [*shares, unseen, *looks.values()]
        for done, _ in enumerate(as_completed(everything), start=1):
            progress(f"{done} of {len(everything)} parts")
        for share in shares:
            found.join(share.result())
        return found, unseen.result(), {name: look.result() for name, look in looks.items()}


@cache
def _tools() -> tuple[Viewer, Asker]:
    perception, model = embedded()
    return Viewer(perception), Asker(model)


def _examine_share(share: int, most: int) -> Found:
    """Show films, each another, and ask until every skill has had its share of `most` questions."""
    viewer, asker = _tools()
    found, enough = Found(), -(-most // _SHARES)
    for view in films(viewer, _FIRST_SEED + share, every=_SHARES):
        found.films += 1
        for posed in pose(view):
            if found.skills[posed.question.kind].asked < enough:
                _examine(asker, posed, found)
        done = all(found.skills[skill].asked >= enough for skill in SKILLS)
        if done or found.films * _SHARES >= _MOST_FILMS:
            return found
    raise AssertionError("films never end")


def _examine(asker: Asker, posed: Posed, found: Found) -> None:
    question = posed.question
    said = asker.ask(posed.view, question.text, posed.evidence).text
    good = question.accepts(said)
    found.skills[question.kind].add(good=good)
    if question.kind in _WITH_PAST and question.about == "now":
        found.in_view[question.kind].add(good=good)
    if question.kind in _WITH_PAST and question.about == "past":
        found.by_pieces[posed.pieces][question.kind].add(good=good)
    if question.answer != NONE and question.kind != "exist":
        found.refused.add(good=replace(question, answer=NONE).accepts(said))
    found.last_frame[question.kind].add(good=question.accepts(asker.ask(posed.view, question.text, (), frames=1).text))
    _other_forms(asker, posed, found, good=good)


def _other_forms(asker: Asker, posed: Posed, found: Found, *, good: bool) -> None:
    """The same question with letters, without any frame, and as yes or no."""
    letters, yes_no = as_letters(posed.question), as_yes_no(posed.question)
    if letters is not None:
        found.forms["free"].add(good=good)
        found.forms["letters"].add(good=letters.accepts(asker.ask(posed.view, letters.text, posed.evidence).text))
        found.blind.add(good=letters.accepts(asker.ask_blind(letters.text)))
        found.chance.append(1 / len(letters.choices))
    if yes_no is not None:
        found.forms["motion, free"].add(good=good)
        found.forms["motion, yes or no"].add(
            good=yes_no.accepts(asker.ask(posed.view, yes_no.text, posed.evidence).text)
        )


def _pairs(most: int) -> Score:
    """Of looks that no training showed."""
    viewer, asker = _tools()
    score = Score()
    preset = replace(PRESETS["plain"], pairs="unseen")
    for number, view in enumerate(films(viewer, _UNSEEN_SEED, preset), start=1):
        for posed in pose(view, _PAIRED):
            if not posed.question.denies and score.asked < most:
                score.add(good=posed.question.accepts(asker.ask(view, posed.question.text, posed.evidence).text))
        if score.asked >= most or number == _MOST_FILMS:
            return score
    raise AssertionError("films never end")


def _overall(most: int, look: Look, preset: Preset) -> Score:
    """All skills together on films that look so: the same films for every look."""
    viewer, asker = _tools()
    score = Score()
    for view in films(viewer, _ROBUST_SEED, preset, look):
        for posed in pose(view):
            if score.asked < most:
                score.add(good=posed.question.accepts(asker.ask(view, posed.question.text, posed.evidence).text))
        if score.asked >= most:
            return score
    raise AssertionError("films never end")


# ---------------------------------------------------------------- figures


def _share(name: str, score: Score, bar: str, full: bool, beside: str = "") -> Check:
    interval = wilson(score.right, score.asked)
    note = f"{score.right} of {score.asked}, 95 % {interval.low:.3f} to {interval.high:.3f}"
    return share_check(name, score.right, score.asked, bar, full=full, note=f"{note}; {beside}" if beside else note)


def _beside(found: Found, skill: str) -> str:
    return f"from the last frame alone {found.last_frame[skill].share:.2f}"


def _false_refusal(score: Score, full: bool) -> Check:
    interval = wilson(score.right, score.asked)
    reached = None if full else interval.low
    note = f"{score.right} of {score.asked} questions that have an answer were denied"
    return Check("model.false_refusal", score.share, "share", "<= 0.05", reached=reached, note=note)


def _past_gap(found: Found, full: bool) -> Check:
    """The mean over kinds of question, for the number of evidence frames with which it is largest."""
    seen = _mean(found.in_view)
    gaps = {pieces: 100 * (seen - _mean(found.by_pieces[pieces])) for pieces in EVIDENCE if found.by_pieces[pieces]}
    told = ", ".join(f"{gap:+.1f} on {pieces}" for pieces, gap in gaps.items())
    worst = max(gaps, key=lambda pieces: gaps[pieces])
    return _gap("model.past_gap", gaps[worst], "<= 3", full, found.by_pieces[worst].values(), f"points: {told}")


def _forms_gap(found: Found, full: bool) -> Check:
    pairs = {"letters": ("free", "letters"), "yes or no": ("motion, free", "motion, yes or no")}
    gaps = {name: 100 * (found.forms[a].share - found.forms[b].share) for name, (a, b) in pairs.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    told = ", ".join(f"{gap:+.1f} as {name}" for name, gap in gaps.items())
    return _gap("model.forms_gap", gaps[worst], "<= 3", full, [found.forms[pairs[worst][1]]], f"points: {told}")


def _robust(looks: dict[str, Score], full: bool) -> Check:
    usual, *others = looks
    lost = {name: 100 * (looks[usual].share - looks[name].share) for name in others}
    worst = max(lost, key=lambda name: lost[name])
    told = ", ".join(f"{points:+.1f} {name}" for name, points in lost.items())
    note = f"points lost: {told}; {100 * looks[usual].share:.1f} % {usual}"
    return _gap("model.robust", lost[worst], "<= 5", full, [looks[worst]], note)


def _blind(found: Found, full: bool) -> Check:
    chance = 100 * sum(found.chance) / len(found.chance)
    over = 100 * found.blind.share - chance
    note = f"points over chance ({chance:.1f} %), on {found.blind.asked} questions with letters"
    return _gap("model.blind", over, "<= 3", full, [found.blind], note)


def _gap(name: str, points: float, bar: str, full: bool, scores: Iterable[Score], note: str) -> Check:
    """In the quick profile, less the half width of the interval of the share that was measured on fewest questions."""
    kept = list(scores)
    interval = wilson(sum(one.right for one in kept), sum(one.asked for one in kept))
    reached = None if full else points - 50 * (interval.high - interval.low)
    return Check(name, points, "points", bar, reached=reached, note=note)


def _mean(scores: Scores) -> float:
    shares = [score.share for score in scores.values() if score.asked]
    return sum(shares) / len(shares) if shares else 0.0
