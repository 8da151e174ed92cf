"""The oracle answers from the pictures it is given, newest last; what they do not show it does not guess well."""

from dataclasses import replace

import pytest

from evaluation.oracle.answer import answer
from evaluation.ovo import prompts
from training.world import PLACES, StripState

NOTHING = StripState(1, 0, (None,) * 9, None, None, 0, "pink star", None)
SIDES = ["left", "right", "top", "bottom"]


def showing(**places: str) -> StripState:
    return replace(NOTHING, cells=tuple(places.get(place.replace(" ", "_")) for place in PLACES))


def asked(question: str, options: list[str], *seen: StripState) -> str:
    return answer(prompts.choice(question, options), seen)


@pytest.mark.parametrize(
    ("question", "options", "seen", "letter"),
    [
        ("Where was the red ring?", SIDES, [showing(right="red ring"), NOTHING], "B"),
        ("Where was the red ring?", SIDES, [showing(right="red star")], "A"),
        ("Where was the red ring?", ["left", "right", "Unable to answer", "top"], [NOTHING], "C"),
        ("Where was the red ring?", ["left", "right", "Unable to answer", "top"], [], "C"),
        ("What did the pink star in the centre take the place of?", ["blue star", "red ring"],
         [replace(NOTHING, before="red ring"), replace(NOTHING, lead="blue star")], "B"),
        ("What is at the top right now?", ["red ring", "blue ring"],
         [showing(top_right="red ring"), showing(top_right="blue ring")], "B"),
        ("What colour is the ring now?", ["red", "blue"], [showing(left="blue ring", centre="red ring")], "B"),
        ("Where is the ring now, as seen from the centre?", ["above", "below"], [showing(bottom="red ring")], "B"),
        ("What does the sign say now?", ["123", "124"], [replace(NOTHING, sign="124")], "B"),
        ("Who is there?", ["he", "she"], [NOTHING], "A"),
    ],
)  # fmt: skip
def test_choices(question: str, options: list[str], seen: list[StripState], letter: str) -> None:
    assert asked(question, options, *seen) == letter


def test_where_something_goes_is_seen_in_two_pictures_only() -> None:
    before, last = (replace(NOTHING, mover=place) for place in ((50, 50), (50, 58)))
    way, place = "Which way is the pink star moving now?", "Which place will the pink star reach next?"
    assert asked(way, ["left", "right", "up", "down"], before, last) == "D"
    assert asked(place, SIDES, before, last) == "D"
    assert asked(way, ["left", "right", "up", "down"], last) == "A"
    assert asked(way, ["left", "right", "up", "down"], replace(before, lead="red star"), last) == "A"


def test_what_is_asked_again_and_again() -> None:
    counting = prompts.count("hang up a sign and take it down again")
    assert answer(counting, [replace(NOTHING, taken_down=3), replace(NOTHING, taken_down=4)]) == "4"
    assert answer(counting, []) == "0"
    step = prompts.step("show the pink star in the centre")
    assert (answer(step, [NOTHING]), answer(step, [])) == ("Yes", "No")
    assert answer(step, [NOTHING, replace(NOTHING, lead="red star")]) == "No"
    clue = prompts.clue("Where did the red ring appear?")
    assert answer(clue, [showing(bottom_left="red ring"), NOTHING]) == "Yes"
    assert answer(clue, [showing(centre="red ring")]) == "No"
    assert answer("Where did the red ring appear?", [showing(bottom_left="red ring"), NOTHING]) == "bottom left"
    assert answer("Where did the red ring appear?", [NOTHING]) == "I cannot tell."
    assert answer("How are you?", [NOTHING]) == "I cannot tell."
