"""Where needles are hidden: at their depths, apart from one another, in hay that shows nothing of their look."""

from collections import Counter
from itertools import pairwise

import pytest

from evaluation.needle.films import FPS, hay_script, note_picture, stretch
from evaluation.needle.looks import HAY_LOOKS, NEEDLE_LOOKS
from evaluation.needle.plan import DEPTHS, LENGTHS, REACH, Haystack, absent_question, haystacks


def some(length: int) -> list[Haystack]:
    return list(haystacks(7, length, 2))


@pytest.mark.parametrize("length", LENGTHS)
def test_every_cell_has_its_needles(length: int) -> None:
    cells = Counter(needle.depth for haystack in some(length) for needle in haystack.needles)
    assert cells == dict.fromkeys(DEPTHS, 2)


@pytest.mark.parametrize("length", [64, 512, 4096])
def test_notes_lie_apart_and_at_their_depth(length: int) -> None:
    for haystack in some(length):
        for needle in haystack.needles:
            assert abs(needle.note.index - needle.depth * length) <= 3
        notes = haystack.notes
        assert all(one.index + one.frames < two.index for one, two in pairwise(notes))
        assert notes[0].index >= 0
        assert notes[-1].index + notes[-1].frames <= length


def test_a_needle_goes_the_whole_way_with_what_is_round_it() -> None:
    for haystack in some(1024):
        stretches = haystack.stretches()
        assert all(one[1] < two[0] for one, two in pairwise(stretches))
        for needle in haystack.needles:
            first, last = needle.note.index - REACH, needle.note.index + needle.note.frames + REACH
            assert any(since <= max(0, first) and min(last, 1024) <= until for since, until in stretches)


def test_what_is_asked_for_is_nowhere_else() -> None:
    assert not set(NEEDLE_LOOKS) & set(HAY_LOOKS)
    for segment in range(3):
        seen = {(visit.thing.colour, visit.thing.shape) for visit in hay_script(segment).visits}
        assert seen <= set(HAY_LOOKS)
        assert not hay_script(segment).signs
    for haystack in some(1024):
        looks = [note.look for note in haystack.notes]
        asked = [needle.note.look for needle in haystack.needles]
        assert all(looks.count(look) == 1 for look in asked)
        assert not set(haystack.absent) & set(looks)
        assert all(len(note.code) == 3 and note.sign_place != note.place for note in haystack.notes)


def test_distractors_are_of_the_same_kind() -> None:
    looks = [note.look for haystack in some(4096) for note in haystack.distractors]
    assert len(looks) > 20
    assert set(looks) <= set(HAY_LOOKS)


def test_the_same_seed_hides_the_same() -> None:
    assert some(256) == some(256)
    assert some(256) != list(haystacks(8, 256, 2))


def test_questions_accept_the_truth_alone() -> None:
    note = next(needle.note for one in some(64) for needle in one.needles)
    question, code = note.question(), note.code_question()
    assert question.accepts(question.answer)
    assert not question.accepts("there is none")
    assert code.accepts(f"it says {note.code}")
    assert not code.accepts("a number")
    assert absent_question(note.look).accepts("There is none.")
    assert not absent_question(note.look).accepts("top left")


def test_a_note_is_shown_in_its_own_frames() -> None:
    [needle, *_] = next(haystacks(7, 64, 1)).needles
    note = needle.note
    before = list(stretch(note.index, note.index + note.frames + 1, []))
    with_note = list(stretch(note.index, note.index + note.frames + 1, [note]))
    assert len(before) == len(with_note) == FPS * (note.frames + 1)
    differs = [bool((one != two).any()) for one, two in zip(before, with_note, strict=True)]
    assert differs == [True] * (FPS * note.frames) + [False] * FPS
    assert (with_note[0] == note_picture(note, 0)).all()
