"""The twelve tasks about a pair of films: annotation items in the official form, and the truth beside them.

Of every multiple choice the right letters of the two films differ, and over all pairs each letter is right equally
often. Yes and No are right equally often at each time at which they are asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evaluation.ovo.synthetic.plan import (
    CURRENT,
    DOUBTED,
    FOLLOWING,
    HEADING,
    MET,
    MOVING,
    SCENE_S,
    SIDES,
    Pair,
    Plan,
)
from evaluation.ovo.synthetic.script import WAYS
from evaluation.ovo.tasks import LETTERS

UNABLE: Final = "Unable to answer"
RELATIONS: Final = {"left": "to the left", "right": "to the right", "top": "above", "bottom": "below"}
ACTIVITY: Final = "hang up a sign and take it down again"
_SOON_S: Final = 7 * SCENE_S
_LATER_S: Final = 12 * SCENE_S
_COUNTED_AT_S: Final = (7, 15, 25, 45, 69, 83)
"""At none of them a sign is taken down."""
_CLUE_ASKED_S: Final = 5 * SCENE_S + 2
_EARLY, _LATE = (0, 6), (12, 18)
"""Seconds after the question about a clue."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Truth:
    """Beside an item. proof: seconds in which the film shows the answer, None where it never does. asked: what is
    common to the item and its twin. stale, future: letters of answers that were right before, and that will be."""

    asked: str
    proof: Span | None = None
    stale: str | None = None
    future: str | None = None


@dataclass
class Item:
    """An annotation item without its id and video."""

    task: str
    fields: dict[str, Any]
    truth: Truth


@dataclass(frozen=True)
class _Asked:
    """A multiple choice of a pair of films: the right answers in both, and the wrong ones."""

    task: str
    question: str
    right: tuple[str, str]
    wrong: tuple[str, str]
    at_s: int
    slot: int
    proof: tuple[Span | None, Span | None] = (None, None)
    timed: bool = field(default=False)


def items_of(pair: Pair) -> tuple[list[Item], list[Item]]:
    """The items of both films: the same questions in the same order."""
    asked = [*_backward(pair), *_now(pair), *_motion(pair)]
    both = [[_choice(pair, one, film) for one in asked] for film in (0, 1)]
    for film, items in enumerate(both):
        items += [_counting(pair, film), _steps(pair, film), *_clues(pair, film)]
    return both[0], both[1]


def _choice(pair: Pair, asked: _Asked, film: int) -> Item:
    """The right letters of both films are A and B, or C and D; in every second pair the other way round."""
    first = 0 if (pair.number + asked.slot) % 2 == 0 else 2
    places = (first, first + 1) if pair.number // 2 % 2 == 0 else (first + 1, first)
    options = ["", "", "", ""]
    options[places[0]], options[places[1]] = asked.right
    left = [n for n, option in enumerate(options) if not option]
    options[left[0]], options[left[1]] = asked.wrong
    fields = {
        "question": asked.question,
        "answer": asked.right[film],
        "options": options,
        "gt": places[film],
        "realtime": asked.at_s,
    }
    stale, future = (LETTERS[left[0]], LETTERS[left[1]]) if asked.timed else (None, None)
    name = f"{pair.number}/{asked.task}/{asked.slot}/{asked.at_s}"
    return Item(asked.task, fields, Truth(name, asked.proof[film], stale, future))


# ---------------------------------------------------------------- the past


def _backward(pair: Pair) -> Iterator[_Asked]:
    films, end_s = pair.films, pair.films[0].duration_s
    for slot, (scene, look) in enumerate(zip(MET, pair.met, strict=True)):
        right = (_side(films[0], scene), _side(films[1], scene))
        for at_s in (_SOON_S, end_s):
            question, spans = f"Where was the {look}?", (_span(scene), _span(scene))
            yield _Asked("EPM", question, right, _others(SIDES, right), at_s, slot, spans)
    for slot, (scene, look) in enumerate(zip(DOUBTED, pair.doubted, strict=True)):
        place, span = _side(films[slot], scene), _span(scene)
        right, proof = ((place, UNABLE), (span, None)) if slot == 0 else ((UNABLE, place), (None, span))
        for at_s in (_SOON_S, end_s):
            yield _Asked("HLD", f"Where was the {look}?", right, _others(SIDES, (place, "")), at_s, slot, proof)
    for slot, scene in enumerate(FOLLOWING):
        right, after = (films[0].leads[scene], films[1].leads[scene]), films[0].leads[scene + 1]
        question, span = f"What did the {after} in the centre take the place of?", _span(scene + 1)
        for at_s in (_SOON_S, end_s) if slot == 0 else (_LATER_S, end_s):
            yield _Asked("ASI", question, right, (films[0].leads[0], films[0].leads[6]), at_s, slot, (span, span))


def _side(plan: Plan, scene: int) -> str:
    side = plan.sides[scene]
    assert side is not None
    return side[1]


def _span(scene: int) -> Span:
    return scene * SCENE_S, (scene + 1) * SCENE_S


def _others(all_of_them: Sequence[str], right: tuple[str, str]) -> tuple[str, str]:
    first, second = [one for one in all_of_them if one not in right][:2]
    return first, second


# ---------------------------------------------------------------- now


def _now(pair: Pair) -> Iterator[_Asked]:
    """What has changed some seconds before, and will change some seconds after: both are among the options."""
    one, two = pair.films
    for slot, scene in enumerate(CURRENT):
        near = scene * SCENE_S + (SCENE_S if pair.probes else 3)
        signs = [[text for text, since, _ in film.signs if since // SCENE_S == scene] for film in pair.films]
        texts = {since // SCENE_S: text for text, since, _ in one.signs}
        told: dict[str, tuple[str, tuple[Any, Any], tuple[Any, Any], int]] = {
            "OJR": (
                "What is at the top right now?",
                (one.corners[scene], two.corners[scene]),
                (one.corners[scene - 1], one.corners[scene + 1]),
                near,
            ),
            "ATR": (
                f"What colour is the {pair.kind} now?",
                (_colour(one, scene), _colour(two, scene)),
                (_colour(one, scene - 1), _colour(one, scene + 1)),
                near,
            ),
            "STU": (
                f"Where is the {pair.kind} now, as seen from the centre?",
                (RELATIONS[_side(one, scene)], RELATIONS[_side(two, scene)]),
                (RELATIONS[_side(one, scene - 1)], RELATIONS[_side(one, scene + 1)]),
                near,
            ),
            "OCR": (
                "What does the sign say now?",
                (signs[0][0], signs[1][0]),
                (texts[scene - 1], texts[scene + 1]),
                max(near, scene * SCENE_S + 4),
            ),
        }
        for task, (question, right, wrong, at_s) in told.items():
            span = (scene * SCENE_S, at_s)
            yield _Asked(task, question, right, wrong, at_s, slot, (span, span), timed=True)


def _colour(plan: Plan, scene: int) -> str:
    side = plan.sides[scene]
    assert side is not None
    return side[0].split()[0]


def _motion(pair: Pair) -> Iterator[_Asked]:
    one, two = pair.films
    for scenes, task in ((MOVING, "ACR"), (HEADING, "FPD")):
        for slot, scene in enumerate(scenes):
            sides = (one.heading[scene] or "", two.heading[scene] or "")
            lead, at_s = one.leads[scene], scene * SCENE_S + 4
            span = (scene * SCENE_S, at_s)
            if task == "ACR":
                right = (WAYS[sides[0]], WAYS[sides[1]])
                question, wrong = f"Which way is the {lead} moving now?", _others(list(WAYS.values()), right)
            else:
                right, wrong = sides, _others(SIDES, sides)
                question = f"Which place will the {lead} reach next?"
            yield _Asked(task, question, right, wrong, at_s, slot, (span, span))


# ---------------------------------------------------------------- what is asked again and again


def _counting(pair: Pair, film: int) -> Item:
    signs = pair.films[film].signs
    asked = [
        {"realtime": at_s, "count": sum(until <= at_s for _, _, until in signs)}
        for at_s in _COUNTED_AT_S
        if at_s <= pair.films[film].duration_s
    ]
    fields = {
        "activity": ACTIVITY,
        "start_times": [since for _, since, _ in signs],
        "end_times": [until for _, _, until in signs],
        "test_info": asked,
    }
    return Item("REC", fields, Truth(f"{pair.number}/REC"))


def _steps(pair: Pair, film: int) -> Item:
    """At each time one step that is being shown, and one that is not but was or will be."""
    leads, (first, second) = pair.films[film].leads, FOLLOWING
    swapped = (leads[first], leads[second]) if film == 0 else (leads[second], leads[first])
    asked = [
        {"realtime": scene * SCENE_S + after_s, "step": _step(look), "type": int(leads[scene] == look)}
        for scene, after_s, looks in (
            (first, 2, swapped),
            (first + 1, 2, (leads[first + 1], leads[first])),
            (second - 1, SCENE_S - 2, (leads[second - 1], leads[second])),
            (second, 5, swapped),
        )
        for look in looks
    ]
    fields = {
        "tutorial": f"Film{pair.number}",
        "all_steps": [_step(look) for look in leads],
        "start_time": [scene * SCENE_S for scene in range(len(leads))],
        "end_time": [(scene + 1) * SCENE_S for scene in range(len(leads))],
        "test_info": asked,
    }
    return Item("SSR", fields, Truth(f"{pair.number}/SSR"))


def _step(look: str) -> str:
    return f"show the {look} in the centre"


def _clues(pair: Pair, film: int) -> Iterator[Item]:
    """Of the four of a pair two are there from the first, one comes late, and of one only its like ever comes."""
    films = pair.films
    for slot, look in enumerate(pair.clues):
        clue = films[film].clues[slot]
        since_s = clue[1] * SCENE_S if clue is not None and clue[0] == look else None
        from_start = since_s is not None and since_s < _CLUE_ASKED_S
        offsets = _EARLY if from_start else (*_EARLY, *_LATE)
        never_s = films[film].duration_s + 1
        clue_s = never_s if since_s is None else since_s
        asked = [
            {"realtime": _CLUE_ASKED_S + after_s, "type": int(_CLUE_ASKED_S + after_s >= clue_s)} for after_s in offsets
        ]
        fields = {
            "question": f"Where did the {look} appear?",
            "answer": UNABLE if since_s is None else ("bottom left", "bottom right")[slot],
            "ask_time": _CLUE_ASKED_S,
            "clue_time": clue_s,
            "test_info": asked,
        }
        yield Item("CRR", fields, Truth(f"{pair.number}/CRR/{slot}"))
