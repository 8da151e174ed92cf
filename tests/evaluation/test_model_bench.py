"""How the shipped model is examined: which questions, on which frames, and how shares become figures."""

import pickle

import numpy as np
import pytest

from evaluation.micro.model_exam import EVIDENCE, pose
from evaluation.micro.model_recall import figures
from evaluation.micro.model_skills import SKILLS, Found, _forms_gap, _past_gap
from evaluation.micro.model_view import STREAM, View
from memory.messages import Evidence
from perception.window import WindowFrame
from training.world import SECOND, World


def view(seed: int, end_s: float = 29.9) -> View:
    """A film as perception would have it, every sample encoded."""
    script = World(seed).script().until(round(end_s * SECOND))
    times = range(0, script.duration_us, SECOND // 2)
    kept = [Evidence(STREAM, f"e{at}", 0, at, at, at, 1.0, b"") for at in times]
    window = [WindowFrame(STREAM, one.media_us, 0, b"", None) for one in kept[-8:]]
    return View(script, script.duration_us - SECOND // 10, window, kept)


@pytest.mark.parametrize("seed", range(5))
def test_every_question_has_frames_that_settle_it(seed: int) -> None:
    posed = list(pose(view(seed)))
    assert len(posed) > 10
    for one in posed:
        question = one.question
        assert question.accepts(question.answer)
        if question.about == "now":
            assert one.pieces == 0
            continue
        assert one.pieces in EVIDENCE
        if question.about == "past" and question.kind in {"colour", "place", "sign", "exist", "count"}:
            shown = [*(kept.media_us for kept in one.evidence), *(frame.media_us for frame in one.view.window)]
            assert any(question.truth_start_us <= at < question.truth_end_us for at in shown)


def test_all_skills_are_asked_about() -> None:
    kinds = {one.question.kind for seed in range(12) for end_s in (17.3, 22.6, 29.9) for one in pose(view(seed, end_s))}
    assert kinds == set(SKILLS)


def test_the_same_film_is_asked_the_same() -> None:
    asked = [[(one.question.text, one.evidence) for one in pose(view(3))] for _ in range(2)]
    assert asked[0] == asked[1]


def test_recall_counts_the_first_and_the_first_five() -> None:
    dice = np.random.default_rng(0)
    pictures = dice.normal(size=(1000, 64)).astype(np.float32)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    first, five = figures(pictures, pictures, full=True)
    assert (first.value, five.value, first.ok) == (1.0, 1.0, True)
    others = figures(pictures, np.roll(pictures, 1, axis=0), full=True)
    assert all(check.value is not None and check.value < 0.1 and not check.ok for check in others)


def test_the_gap_is_that_of_the_worst_number_of_frames() -> None:
    found = Found()
    for n in range(100):
        found.in_view["colour"].add(good=True)
        found.by_pieces[1]["colour"].add(good=True)
        found.by_pieces[8]["colour"].add(good=n % 10 != 0)
    check = _past_gap(found, full=True)
    assert check.value == pytest.approx(10)
    assert not check.ok
    assert "+0.0 on 1" in check.note


def test_what_a_process_found_is_joined_to_what_others_did() -> None:
    """It comes as bytes; a film may hold another number of frames than was wanted."""
    found, other = Found(), Found()
    for one, good in ((found, True), (other, False), (other, True)):
        one.skills["sign"].add(good=good)
        one.by_pieces[3]["sign"].add(good=good)
        one.refused.add(good=good)
        one.chance.append(0.25)
        one.films += 1
    found.join(pickle.loads(pickle.dumps(other)))
    scores = (found.skills["sign"], found.by_pieces[3]["sign"], found.refused)
    assert [(one.right, one.asked) for one in scores] == [(2, 3)] * 3
    assert (found.chance, found.films) == ([0.25] * 3, 3)


def test_the_gap_of_forms_is_that_of_the_worse_form() -> None:
    found = Found()
    for n in range(100):
        found.forms["free"].add(good=True)
        found.forms["letters"].add(good=n >= 2)
        found.forms["motion, free"].add(good=n >= 5)
        found.forms["motion, yes or no"].add(good=n >= 6)
    check = _forms_gap(found, full=True)
    assert check.value == pytest.approx(2)
    assert check.ok
