"""Labels of places against scripts that were written by hand."""

import numpy as np

from training.labels import EMPTY, FOREIGN, SIGN, UNSURE, blank_labels, labels_of
from training.world import COLOURS, SECOND, SHAPES, Appeared, Cut, Entered, Script, SignShown, Thing

SQUARE = Thing(1, "red", "square", 0.8)
RING = Thing(2, "blue", "ring", 0.8)
SCRIPT = Script(
    1,
    20 * SECOND,
    (
        Cut(0, 0, "plain", 0.9),
        Appeared(0, 0, SQUARE, 0),
        SignShown(0, 9 * SECOND, "472", 2),
        Entered(2 * SECOND, 5 * SECOND, RING, 4, "right"),
    ),
)


def kind(shape: str) -> int:
    return SHAPES.index(shape) + 1


def test_what_rests_is_in_its_place() -> None:
    labels = labels_of(SCRIPT, 6 * SECOND, 320, 240)
    expected = [kind("square"), EMPTY, SIGN, EMPTY, kind("ring"), EMPTY, EMPTY, EMPTY, EMPTY]
    assert labels.kinds.tolist() == expected
    assert labels.colours[[0, 4]].tolist() == [COLOURS.index("red"), COLOURS.index("blue")]
    assert labels.digits[2].tolist() == [4, 7, 2]
    assert np.allclose(labels.middles[[0, 4]], 0, atol=1e-6)
    assert (labels.digits[[0, 1, 3]] == UNSURE).all()


def test_between_two_places_nothing_is_said_of_them() -> None:
    kinds = {tuple(labels_of(SCRIPT, at, 320, 240).kinds[3:5]) for at in range(2 * SECOND, 5 * SECOND, 50_000)}
    assert kinds == {
        (UNSURE, EMPTY),
        (kind("ring"), EMPTY),
        (UNSURE, UNSURE),
        (EMPTY, kind("ring")),
    }


def test_a_sign_that_was_taken_down_is_gone() -> None:
    assert labels_of(SCRIPT, 10 * SECOND, 320, 240).kinds[2] == EMPTY


def test_of_strangers_every_place_is_strange() -> None:
    assert (blank_labels(FOREIGN).kinds == FOREIGN).all()
