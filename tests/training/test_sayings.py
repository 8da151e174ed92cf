"""What texts say of pictures, of which pictures it is true, and the codes of both."""

import numpy as np
import pytest
import torch

from training.codes import codes
from training.sayings import Content, caption, content_of, sayings
from training.world import COLOURS, SHAPES, UNSEEN_PAIRS, World, captions

ONE = Content((("red", "square", "top left"), ("blue", "ring", "centre")), None)
TWO = Content((("red", "square", "bottom"),), ("472", "top"))
NONE = Content((), None)


def test_captions_are_the_world_s_own() -> None:
    script = World(4).script()
    compared = 0
    for told in captions(script):
        at_us = (told.start_us + told.end_us) // 2
        if "moving" not in told.text:
            assert caption(content_of(script, at_us)) == told.text
            compared += 1
    assert compared > 5


def test_each_text_is_true_of_its_own_picture() -> None:
    contents = [ONE, TWO, NONE] * 20
    for seed in range(20):
        said, truth = sayings(np.random.default_rng(seed), contents)
        assert len(said) == len(contents)
        assert (truth.diagonal() == 1).all()


def test_truth_is_what_the_words_say() -> None:
    seen = set()
    for seed in range(200):
        said, truth = sayings(np.random.default_rng(seed), [ONE, TWO, NONE])
        for n, text in enumerate(one.text for one in said):
            column = truth[:, n].tolist()
            seen.add(text)
            if text == "nothing.":
                assert column == [0, 0, 1]
            elif text in {"the square", "something red", "a red square"}:
                assert column == [1, 1, 0]
            elif "472" in text:
                assert column == [0, 1, 0]
            elif "ring" in text:
                assert column == [1, 0, 0]
    assert {"a red square at the bottom, a sign that says 472 at the top.", "a blue ring", "472"} <= seen


def test_a_text_speaks_of_facts_of_its_own_picture() -> None:
    for seed in range(50):
        said, _ = sayings(np.random.default_rng(seed), [ONE, TWO])
        for one, content in zip(said, [ONE, TWO], strict=True):
            assert one.facts
            assert set(one.facts) <= set(content.facts())


def test_what_shares_more_facts_lies_closer() -> None:
    moved = Content((("red", "square", "top"), ("blue", "ring", "centre")), None)
    painted = Content((("cyan", "square", "top"), ("blue", "ring", "centre")), None)
    own, near, less, far, nothing = codes([one.facts() for one in (ONE, moved, painted, TWO, NONE)], 160)
    assert torch.allclose(own.norm(), torch.tensor(1.0))
    assert 1 > own @ near > own @ less > own @ far > own @ nothing


def test_what_is_bound_otherwise_is_another_code() -> None:
    swapped = Content((("blue", "square", "top left"), ("red", "ring", "centre")), None)
    one, other = codes([ONE.facts(), swapped.facts()], 160)
    assert one @ other < 0.8


@pytest.mark.parametrize(("colour", "shape"), [("red", "ring"), *sorted(UNSEEN_PAIRS)])
def test_a_look_tells_a_thing_from_two_that_share_it(colour: str, shape: str) -> None:
    """The colour on one thing and the shape on another are not the thing, with a pair that training never shows too."""
    other_colour = next(one for one in COLOURS if one != colour)
    other_shape = next(one for one in SHAPES if one != shape)
    held = Content(((colour, shape, "left"), (other_colour, other_shape, "top")), None)
    parted = Content(((colour, other_shape, "left"), (other_colour, shape, "top")), None)
    asked = [("colour", colour), ("shape", shape), ("look", colour, shape)]
    text, has, lacks = codes([asked, held.facts(), parted.facts()], 160)
    assert text @ has > text @ lacks + 0.1


def test_any_sign_answers_a_question_after_one() -> None:
    asked = [
        truth[:, n].tolist()
        for seed in range(60)
        for said, truth in [sayings(np.random.default_rng(seed), [ONE, TWO])]
        for n, one in enumerate(said)
        if one.text == "What did the sign say?"
    ]
    assert asked
    assert all(column == [0, 1] for column in asked)


def test_codes_are_always_the_same() -> None:
    assert torch.equal(codes([ONE.facts()], 32), codes([TWO.facts(), ONE.facts()], 32)[1:])
