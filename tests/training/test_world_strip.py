"""The strip: what it says of a moment, and that it is read again after a codec, or not at all."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from training.world import (
    SECOND,
    STRIP_HEIGHT,
    Appeared,
    Cut,
    Moved,
    Script,
    SignShown,
    Thing,
    frame,
    read_strip,
    strip_state,
    with_strip,
)

RED, BLUE = Thing(1, "red", "square", 0.8), Thing(2, "blue", "ring", 0.8)
SCRIPT = Script(
    4711,
    12 * SECOND,
    (
        Cut(0, 0, "plain", 0.9),
        Appeared(0, 0, RED, 4),
        SignShown(SECOND, 2 * SECOND, "007", 0),
        Cut(6 * SECOND, 6 * SECOND, "tiles", 0.9),
        Appeared(6 * SECOND, 6 * SECOND, BLUE, 4),
        Appeared(6 * SECOND, 6 * SECOND, replace(RED, number=3), 8),
        Moved(7 * SECOND, 11 * SECOND, BLUE, 4, 3, "left"),
    ),
)


def test_a_state_says_what_is_so_at_its_moment() -> None:
    hanging, moving = strip_state(SCRIPT, 1_500_000), strip_state(SCRIPT, 9 * SECOND)
    assert (hanging.film, hanging.at_us, hanging.sign, hanging.taken_down) == (4711, 1_500_000, "007", 0)
    assert (hanging.cells[4], hanging.lead, hanging.before, hanging.mover) == ("red square", "red square", None, None)
    assert (moving.sign, moving.taken_down, moving.lead, moving.before) == (None, 1, "blue ring", "red square")
    assert (moving.cells[4], moving.cells[8], moving.mover) == (None, "red square", (33, 50))


@pytest.mark.parametrize("quality", [50, 95])
def test_it_is_read_again_after_a_codec(quality: int) -> None:
    for at_us in (0, 1_500_000, 9_300_000):
        state = strip_state(SCRIPT, at_us)
        written = io.BytesIO()
        drawn = with_strip(frame(SCRIPT, at_us, 336, 240), state)
        assert drawn.shape == (240 + STRIP_HEIGHT, 336, 3)
        Image.fromarray(drawn).save(written, "JPEG", quality=quality)
        assert read_strip(np.asarray(Image.open(written))) == state


def test_a_picture_without_one_or_with_a_damaged_one_says_nothing() -> None:
    drawn = with_strip(frame(SCRIPT, 0, 320, 240), strip_state(SCRIPT, 0))
    assert read_strip(drawn[:-8]) is None
    assert read_strip(drawn[:, :200]) is None
    assert read_strip(np.zeros((300, 400, 3), np.uint8)) is None
    drawn[-STRIP_HEIGHT:, :8] ^= 255
    assert read_strip(drawn) is None


def test_what_does_not_fit_is_refused() -> None:
    state = replace(strip_state(SCRIPT, 0), taken_down=16)
    with pytest.raises(ValueError, match="too large"):
        with_strip(frame(SCRIPT, 0, 320, 240), state)
