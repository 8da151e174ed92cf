"""Lessons are what reasoning would send, and their questions do not see one another."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from perception.config import ModelConfig
from perception.vision import from_tensor
from perception.window import VisualTokens
from reasoning.local import load_engine
from training.blank import TOKENS
from training.lessons import LEVELS, Item, Writer, cannot_tell, choose, draw_sheet
from training.shelf import asked_at, collate
from training.tell import allowed, answer_loss
from training.watching import states_of, window_at
from training.words import END
from training.world import CANNOT_TELL, COLOURS, SECOND, UNSEEN_PAIRS, Sheet, Witness, World, questions

SCRIPT = World(5).script()
TIMES = [n * SECOND // 2 for n in range(60)]
STATES = states_of(SCRIPT, TIMES)
END_US = TIMES[-1] + 200_000
ITEMS = [
    Item("What colour is the square now?", "red", "colour"),
    Item("What did the sign say 14 s ago?", "428", "sign"),
    Item("Where was the red star last at rest?", "top left", "place"),
]


def test_a_lesson_is_the_prompt_that_reasoning_sends(blank: Path) -> None:
    dice = np.random.default_rng(3)
    writer, engine = Writer(blank), load_engine(ModelConfig(str(blank), dtype="float32"), 1 << 20)
    sheet = draw_sheet(dice, LEVELS[3], STATES, TIMES, END_US)
    prompt, order = writer.prompt(np.random.default_rng(4), sheet, timeless=False)
    lesson = writer.write(np.random.default_rng(4), sheet, ITEMS, timeless=False)
    frame = VisualTokens(from_tensor(torch.zeros(TOKENS, 4)), [], None)
    for number, item in enumerate(ITEMS, start=1):
        sent = engine.prompt_ids(replace(prompt, question=item.text), [frame] * len(order))
        taught = [
            token
            for token, segment, answer in zip(lesson.ids, lesson.segments, lesson.answers, strict=True)
            if segment in (0, number) and not answer
        ]
        assert taught == sent
        said = [
            token
            for token, segment, answer in zip(lesson.ids, lesson.segments, lesson.answers, strict=True)
            if segment == number and answer
        ]
        assert engine.family.tokenizer.decode(said) == f"{item.answer}{END}"
    assert lesson.frames == order


def test_frames_are_in_the_order_of_their_times(blank: Path) -> None:
    dice = np.random.default_rng(1)
    writer = Writer(blank)
    for newest in range(5, 60, 7):
        sheet = draw_sheet(dice, LEVELS[3], STATES, TIMES, TIMES[newest])
        _, order = writer.prompt(dice, sheet, timeless=True)
        assert order == [one.index for one in sheet.frames]
        assert len(sheet.window) <= 8
        assert len(sheet.evidence) <= 8
        assert sheet.window[-1].media_us == TIMES[newest]


def test_the_window_repeats_nothing_and_is_renewed() -> None:
    newest = next(n for n in range(20, 60) if STATES[n] == STATES[n - 1] == STATES[n - 2])
    window = window_at(STATES, TIMES, newest, 8)
    assert window[-1].media_us == TIMES[newest]
    assert window[-1].index < newest
    assert len({STATES[one.index] for one in window}) == len(window)


def test_only_what_the_sheet_settles_is_asked() -> None:
    dice = np.random.default_rng(2)
    witness = Witness(SCRIPT, TIMES)
    found = questions(SCRIPT, END_US, most=8)
    for _ in range(20):
        sheet = draw_sheet(dice, LEVELS[1], STATES, TIMES, END_US)
        plain = {one.text for one in found if witness.proves(one, sheet)}
        items = choose(dice, replace(LEVELS[1], forms=0.0), found, witness, sheet)
        assert items
        assert {item.text for item in items} <= plain


def test_of_strangers_nothing_can_be_told() -> None:
    items = cannot_tell(np.random.default_rng(0), LEVELS[3], questions(SCRIPT, END_US, most=8))
    assert {item.answer for item in items} == {CANNOT_TELL}
    lettered = {"letter" in item.text for item in items}
    assert lettered == {True, False}


def test_evidence_is_often_of_the_moment_that_a_question_names() -> None:
    dice = np.random.default_rng(12)
    settled = {True: 0, False: 0}
    for seed in range(10):
        script = World(seed).script()
        times = range(0, script.duration_us, 500_000)
        states, witness, end_us = states_of(script, times), Witness(script, times), times[-1]
        timed = [one for one in questions(script, end_us, most=8) if one.timed]
        for told in 10 * (True, False):
            sheet = draw_sheet(dice, LEVELS[1], states, times, end_us, timed if told else [])
            settled[told] += any(witness.proves(one, sheet) for one in timed)
    assert settled[True] > settled[False] > 0


def test_no_lesson_speaks_of_a_pair_that_is_held_back() -> None:
    said = {name for seed in range(20) for one in asked_at(World(seed).script(), END_US) for name in [one.text]}
    assert any("red square" in text for text in said)
    assert not any(f"{colour} {shape}" in text for colour, shape in UNSEEN_PAIRS for text in said)


def test_every_colour_is_denied_about_as_often() -> None:
    asked = [one for seed in range(60) for one in asked_at(World(seed).script(), END_US)]
    denied = Counter(one.text.split()[-2] for one in asked if one.kind == "exist" and one.about == "never")
    assert set(denied) == set(COLOURS)
    assert max(denied.values()) < 2 * min(denied.values())


def test_a_sheet_without_frames_is_a_lesson_too(blank: Path) -> None:
    items = cannot_tell(np.random.default_rng(0), LEVELS[0], questions(SCRIPT, END_US, most=8), "blind")
    lesson = Writer(blank).write(np.random.default_rng(1), Sheet((), (), END_US), items, timeless=False)
    assert lesson.frames == []
    assert set(lesson.skills) == {"blind"}


@pytest.fixture(scope="module")
def packed(blank: Path) -> tuple[Writer, np.ndarray]:
    """A writer, and features of 60 frames."""
    dice = np.random.default_rng(9)
    return Writer(blank), dice.normal(size=(60, TOKENS, 1440)).astype(np.float16)


def test_questions_of_a_lesson_do_not_see_one_another(blank: Path, packed: tuple[Writer, np.ndarray]) -> None:
    writer, features = packed
    model = AutoModelForImageTextToText.from_pretrained(blank, dtype=torch.float32).eval()
    sheet = draw_sheet(np.random.default_rng(3), LEVELS[2], STATES, TIMES, END_US)
    single = [writer.write(np.random.default_rng(4), sheet, [item], timeless=False) for item in ITEMS]
    whole = writer.write(np.random.default_rng(4), sheet, ITEMS, timeless=False)
    tokens = [sum(lesson.answers) for lesson in single]
    with torch.inference_mode():
        apart = [float(answer_loss(model, collate([lesson], features), rough=False)[0]) for lesson in single]
        together = float(answer_loss(model, collate([whole], features), rough=False)[0])
    expected = sum(loss * count for loss, count in zip(apart, tokens, strict=True)) / sum(tokens)
    assert together == pytest.approx(expected, rel=1e-4)


def test_padding_changes_nothing(blank: Path, packed: tuple[Writer, np.ndarray]) -> None:
    writer, features = packed
    model = AutoModelForImageTextToText.from_pretrained(blank, dtype=torch.float32).eval()
    long = writer.write(
        np.random.default_rng(4), draw_sheet(np.random.default_rng(3), LEVELS[3], STATES, TIMES, END_US), ITEMS, False
    )
    short = writer.write(
        np.random.default_rng(5), draw_sheet(np.random.default_rng(6), LEVELS[0], STATES, TIMES, END_US), ITEMS, False
    )
    with torch.inference_mode():
        both = float(answer_loss(model, collate([long, short], features), rough=False)[0])
        each = [float(answer_loss(model, collate([one], features), rough=False)[0]) for one in (long, short)]
    assert both == pytest.approx(sum(each) / 2, rel=1e-4)


def test_a_question_sees_the_sheet_and_itself() -> None:
    seen = allowed(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
