"""Drills: every frame of a sheet shows something else, and only its time tells it from the others."""

import re
from pathlib import Path

import numpy as np
import pytest

from training.drills import Drills, Still, stills_of
from training.lessons import LEVELS, Writer
from training.world import NUMBERS, PLACES, SECOND, World

SCRIPT = World(5).script()
TIMES = [n * SECOND // 2 for n in range(60)]
FIRST = 100
STILLS = list(stills_of(SCRIPT, TIMES, FIRST))
MADE = [
    Still(n, ((f"red {shape}", "top"), ("blue ring", "left"))[: n % 3], f"{n:03}")
    for n in range(9)
    for shape in ("star",)
]


def test_a_still_is_a_frame_of_the_film_with_all_at_rest_and_in_view() -> None:
    assert len(STILLS) > 5
    for still in STILLS:
        at_us = TIMES[still.row - FIRST]
        visits = SCRIPT.scene(at_us).present(at_us)
        assert {name for name, _ in still.places} == {visit.thing.name for visit in visits}
        assert all(place in PLACES for _, place in still.places)
        assert all(visit.whole_us <= at_us < visit.leaving_us for visit in visits)
        assert all(visit.leg(at_us).direction is None for visit in visits)


def test_what_is_asked_of_a_time_is_true_of_the_nearest_frame() -> None:
    dice = np.random.default_rng(3)
    by_row = {still.row: still for still in MADE}
    asked = 0
    for _ in range(50):
        sheet, items = Drills(MADE).draw(dice, LEVELS[3])
        assert [one.media_us for one in sheet.frames] == sorted(one.media_us for one in sheet.frames)
        for item in items:
            named = re.search(r"(\d+) s ago\?$", item.text)
            if named is None:
                continue
            at_us = sheet.now_us - int(named[1]) * SECOND
            still = by_row[min(sheet.frames, key=lambda one: abs(one.media_us - at_us)).index]
            true = {"count": NUMBERS[len(still.places)], "sign": still.sign, "place": dict(still.places)}
            kind = item.skill.split(".")[1]
            name = re.search(r"the (\w+ \w+) \d", item.text)
            assert item.answer == (true["place"][name[1]] if kind == "place" and name else true[kind])
            asked += 1
    assert asked > 200


def test_what_came_first_and_when_follow_from_the_frames() -> None:
    dice = np.random.default_rng(4)
    stills = [Still(0, (("red star", "top"),), None), Still(1, (("blue ring", "top"),), None)]
    orders = 0
    for _ in range(200):
        sheet, items = Drills(stills).draw(dice, LEVELS[2])
        first = {}
        for one in reversed(sheet.frames):
            first[stills[one.index].places[0][0]] = one.media_us
        for item in items:
            if item.skill == "drill.order.past":
                assert item.answer == min(first, key=first.__getitem__)
                orders += 1
            if item.skill == "drill.when.past" and item.answer not in {"now"}:
                name = item.text.removeprefix("When did the ").removesuffix(" first appear?")
                said = float(item.answer.split()[0])
                assert said == pytest.approx((sheet.now_us - first[name]) / SECOND, abs=0.51)
    assert orders > 10


def test_one_frame_is_asked_about_now_alone_and_by_letters_too() -> None:
    dice = np.random.default_rng(5)
    items = [item for _ in range(40) for item in Drills(MADE).draw(dice, LEVELS[0])[1]]
    assert all(" now?" in item.text for item in items)
    letters = [item for item in items if item.skill.startswith("drill.letter.")]
    assert {item.answer for item in letters} == {*"ABCD"}
    assert all(f"{item.answer}. " in item.text for item in letters)


def test_a_drill_is_written_as_any_lesson(blank: Path) -> None:
    dice = np.random.default_rng(6)
    sheet, items = Drills(STILLS).draw(dice, LEVELS[3])
    lesson = Writer(blank).write(dice, sheet, items, timeless=False)
    assert lesson.frames == [one.index for one in sheet.frames]
    assert len(lesson.skills) == len(items)
