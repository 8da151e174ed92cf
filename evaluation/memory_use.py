"""Is memory asked where it is needed, left out where it is not, shown as proof, and gone when it is told to forget?

Films of the world are pushed to a real server and asked about at their ends; the same to one that recalls nothing and
whose window is the last four frames. Questions about the past are those that no frame of either window settles.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from clients.api import Api, ApiError, Json
from clients.demo_checks import Clock, Moment, moments_of
from clients.live import Live
from clients.media import VIDEO, MediaUnit, media_units
from evaluation.checks import Check, share_check
from evaluation.ovo.asking import START
from evaluation.ovo.through import PATIENT
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import Z95
from training.world import NONE, SECOND, Script, Thing, World, WorldQuestion, questions, write_video

FILMS: Final = (16, 120)
"""In the quick and the full profile."""
ONE_AT_A_TIME: Final = {**PATIENT, "OMNILIVE_REASONING__THREADS": "1"}
"""Nothing is a matter of speed here, and threads of a model this small wait for one another."""
LAST_FOUR: Final = {"OMNILIVE_WINDOW__FRAMES": "4", "OMNILIVE_MEMORY__EVIDENCE": "0"}
_FIRST_SEED: Final = 700_000
_SHORTEST_US: Final = 20 * SECOND
_FPS: Final = 10
_OUT_OF_VIEW_US: Final = 6 * SECOND
"""The now window holds eight frames of two a second; a still one stands for what was a little before it."""
_OF_A_KIND: Final = 2
_FORGET: Final = 2
"""So many questions of a film are asked again once what they rest on is forgotten."""
_FORGETTABLE: Final = frozenset({"colour", "place", "exist", "sign"})
_TOKENS: Final = 16


@dataclass(frozen=True)
class Film:
    """A film with the moment of its newest frame."""

    script: Script
    now_us: int
    units: Sequence[MediaUnit]


@dataclass(frozen=True)
class Told:
    """A question and what was said. proved: the evidence holds the true moment."""

    question: WorldQuestion
    said: str
    proved: bool

    @property
    def right(self) -> bool:
        """Whether it is true."""
        return self.question.accepts(self.said)


@dataclass(frozen=True)
class Again:
    """What was said once what a question rests on was forgotten. shown: evidence of it came back all the same."""

    question: WorldQuestion
    said: str
    shown: bool
    covered: bool = True

    @property
    def gone(self) -> bool:
        """Whether it is not known any more, and nothing of it was shown."""
        return not self.shown and (not self.covered or is_not_known(self.question, self.said))


@dataclass
class Seen:
    """All answers of one server, in the order of the films, and what was said after something was forgotten."""

    told: list[Told] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)

    def about(self, about: str) -> list[Told]:
        """Those about now, or about the past."""
        return [one for one in self.told if one.question.about == about]


def run(full: bool, progress: Progress) -> list[Check]:
    """16 films in the quick profile, 120 in the full one."""
    with tempfile.TemporaryDirectory(prefix="omnilive-memory-") as scratch:
        films = [make_film(_FIRST_SEED + n, Path(scratch)) for n in range(FILMS[full])]
    whole = _shown(films, {}, progress, "with memory")
    bare = _shown(films, LAST_FOUR, progress, "with the last four frames alone")
    return figures(whole, bare, full=full)


# ---------------------------------------------------------------- films and questions


def make_film(seed: int, folder: Path) -> Film:
    """Half of them end in quiet, half are broken off anywhere, so that something may be moving."""
    dice = np.random.default_rng([seed, 92])
    script = World(seed).script()
    if dice.random() < 0.5:
        script = script.until(int(dice.integers(_SHORTEST_US, script.duration_us)) // 100_000 * 100_000)
    path = write_video(script, folder / f"{seed}.mp4", fps=_FPS, sound=None)
    newest_us = (script.duration_us * _FPS // SECOND - 1) * SECOND // _FPS
    return Film(script, newest_us, list(media_units(path)))


def choose(film: Film) -> list[WorldQuestion]:
    """At most two of each kind about now, and about what has been out of view for a while."""
    dice = np.random.default_rng([film.script.seed, 93])
    alike: dict[tuple[str, str], list[WorldQuestion]] = {}
    for one in questions(film.script, film.now_us, most=1000):
        past = one.about == "past" and one.truth_end_us < film.now_us - _OUT_OF_VIEW_US
        if past or one.about == "now":
            alike.setdefault((one.kind, one.about), []).append(one)
    return [some[n] for some in alike.values() for n in sorted(dice.permutation(len(some))[:_OF_A_KIND])]


def when_shown(script: Script, question: WorldQuestion) -> list[tuple[int, int]]:
    """All times at which what the question asks for was to be seen."""
    if question.kind == "sign":
        return [(sign.start_us, sign.end_us) for sign in script.signs]
    return [(one.start_us, one.end_us) for one in script.visits if question.text in _asked_of(one.thing)]


def _asked_of(thing: Thing) -> set[str]:
    """What is asked about this thing, whenever it was there."""
    return {
        f"What colour was the {thing.shape}?",
        f"Where was the {thing.name} last at rest?",
        f"Was there ever a {thing.name}?",
    }


def is_not_known(question: WorldQuestion, said: str) -> bool:
    """Whether it is said that there was no such thing, or that one cannot tell."""
    return replace(question, answer=NONE, choices=()).accepts(said)


# ---------------------------------------------------------------- asking


def _shown(films: Sequence[Film], settings: dict[str, str], progress: Progress, how: str) -> Seen:
    seen = Seen()
    with ServerProcess(environment={**ONE_AT_A_TIME, **settings}) as server, Api(server.url) as api:
        for n, film in enumerate(films):
            _watch(api, film, seen)
            progress(f"{n + 1} of {len(films)} films, {len(seen.told)} answers {how}")
    return seen


def _watch(api: Api, film: Film, seen: Seen) -> None:
    with _pushed(api, film) as (stream, live):
        asked = choose(film)
        answers = [_ask(live, one) for one in asked]
        events, clock = api.events(stream), Clock(datetime.fromisoformat(START))
        told = [_told(question, answer, events, clock) for question, answer in zip(asked, answers, strict=True)]
        seen.told += told
        known = [one for one in told if _rests_on_memory(one)]
        for one in known[:_FORGET]:
            seen.again.append(_forget_and_ask(api, stream, live, film, one.question))


@contextmanager
def _pushed(api: Api, film: Film) -> Iterator[tuple[str, Live]]:
    """The film as a stream of its own; what is asked comes behind all of it."""
    stream = f"film-{film.script.seed}"
    api.add(stream, {"push": True, "pace": "fast", "start": START})
    try:
        with Live(api.url, stream) as live:
            live.announce(VIDEO, "h264")
            for unit in film.units:
                live.send(VIDEO, unit.data, unit.pts_us)
            yield stream, live
    finally:
        api.remove(stream)


def _ask(live: Live, question: WorldQuestion, again: str = "") -> Json:
    """The Answer; where it is refused, one that says nothing but that."""
    name = f"{question.text}{again}"
    try:
        live.ask(name, question.text, max_tokens=_TOKENS)
        return live.wait(name).answer
    except ApiError as error:
        return {"answer": f"not known: {error.code}", "evidence": [], "finish_reason": "error"}


def _told(question: WorldQuestion, answer: Json, events: Sequence[Json], clock: Clock) -> Told:
    moments = moments_of(answer, events, clock, lambda _: b"")
    return Told(question, answer["answer"], any(proves(moment, question) for moment in moments))


def proves(moment: Moment, question: WorldQuestion) -> bool:
    """Whether its picture was taken while the truth could be seen; of a question that names a time, whether its event
    holds that time, since a picture stands for all of the time until the next."""
    return (replace(moment, frame_us=None) if question.timed else moment).proves(question)


def _rests_on_memory(one: Told) -> bool:
    question = one.question
    return question.about == "past" and question.kind in _FORGETTABLE and not question.timed and one.right


def _forget_and_ask(api: Api, stream: str, live: Live, film: Film, question: WorldQuestion) -> Again:
    """Forget all that showed it, and ask again."""
    for since_us, until_us in when_shown(film.script, question):
        api.delete(f"/v1/streams/{stream}/memory", since=str(since_us / SECOND), until=str(until_us / SECOND))
    answer = _ask(live, question, again=" (again)")
    moments = moments_of(answer, api.events(stream), Clock(datetime.fromisoformat(START)), lambda _: b"")
    shown = any(proves(moment, question) for moment in moments)
    return Again(question, answer["answer"], shown, answer["finish_reason"] != "not_covered")


# ---------------------------------------------------------------- figures


def figures(whole: Seen, bare: Seen, *, full: bool) -> list[Check]:
    """What memory costs questions about now, gives those about the past; what its answers rest on."""
    right = [one for one in whole.about("past") if one.right and one.question.kind != "order"]
    proved = sum(one.proved for one in right)
    gone = sum(one.gone for one in whole.again)
    return [
        _difference("gate.now_loss", bare.about("now"), whole.about("now"), "<= 1", full),
        _difference("gate.past_gain", whole.about("past"), bare.about("past"), ">= 40", full),
        share_check("memory.evidence", proved, len(right), ">= 0.95", full=full, note=_unproved(right)),
        share_check("memory.forgotten", gone, len(whole.again), ">= 0.95", full=full, note=_remembered(whole.again)),
    ]  # fmt: skip


def _difference(name: str, more: Sequence[Told], less: Sequence[Told], bar: str, full: bool) -> Check:
    """Points by which the one is more often right than the other, on the same questions."""
    pairs = list(zip(more, less, strict=True))
    if not pairs:
        return Check(name, None, "points", bar, note="nothing was asked")
    won, lost = (sum(one.right > two.right for one, two in turn) for turn in (pairs, [(b, a) for a, b in pairs]))
    points = 100 * (won - lost) / len(pairs)
    # Of pairs only those count that differ; one is added, so that no difference at all is no certainty.
    wide = 100 * Z95 * math.sqrt(won + lost + 1) / len(pairs)
    reached = None if full else (points - wide if bar.startswith("<=") else points + wide)
    counts = [f"{sum(one.right for one in told)} of {len(pairs)}" for told in (more, less)]
    note = f"{counts[0]} against {counts[1]}; {_by_kind(pairs)}"
    return Check(name, points, "points", bar, reached, note)


def _by_kind(pairs: Sequence[tuple[Told, Told]]) -> str:
    """Right answers of both, by kind."""
    asked = Counter(one.question.kind for one, _ in pairs)
    first = Counter(one.question.kind for one, _ in pairs if one.right)
    second = Counter(one.question.kind for one, two in pairs if two.right)
    return ", ".join(f"{kind} {first[kind]} and {second[kind]} of {count}" for kind, count in asked.items())


def _unproved(right: Sequence[Told]) -> str:
    by_kind = Counter(one.question.kind for one in right if not one.proved)
    told = ", ".join(f"{count} {kind}" for kind, count in by_kind.items()) or "none"
    return f"of {len(right)} right answers about the past without the true moment: {told}"


def _remembered(again: Sequence[Again]) -> str:
    """What was said to be known all the same."""
    left = [one for one in again if not one.gone]
    told = ", ".join(f"{one.question.text!r}: {one.said!r}" for one in left[:5]) or "none"
    shown = sum(one.shown for one in again)
    return f"{len(again) - len(left)} of {len(again)}; evidence of it was shown {shown} times; still said: {told}"
