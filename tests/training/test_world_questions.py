"""Questions, choices, truth spans and captions of the procedural world, against the script itself."""

from collections import Counter

import pytest

from training.world import (
    COLOURS,
    NONE,
    PLACES,
    PRESETS,
    SECOND,
    SHAPES,
    Appeared,
    Cut,
    Entered,
    Left,
    Moved,
    Script,
    SignShown,
    Thing,
    World,
    WorldQuestion,
    captions,
    questions,
)

SEEDS = range(25)
SQUARE, RING, STAR = Thing(1, "red", "square", 0.8), Thing(2, "blue", "ring", 0.8), Thing(3, "green", "star", 0.8)
STORY = Script(
    5,
    40 * SECOND,
    (
        Cut(0, 0, "plain", 1.0),
        Appeared(0, 0, SQUARE, 0),
        Entered(3 * SECOND, 5 * SECOND, RING, 4, "right"),
        SignShown(6 * SECOND, 9 * SECOND, "472", 8),
        Left(12 * SECOND, 14 * SECOND, SQUARE, 0, "up"),
        Moved(18 * SECOND, 20 * SECOND, RING, 4, 5, "right"),
        Cut(30 * SECOND, 30 * SECOND, "tiles", 0.9),
        Appeared(30 * SECOND, 30 * SECOND, STAR, 2),
    ),
)


def ask(script: Script, at_s: float) -> dict[str, WorldQuestion]:
    return {question.text: question for question in questions(script, round(at_s * SECOND), most=1000)}


# ---------------------------------------------------------------- one story, told by hand


def test_now_is_what_is_in_view() -> None:
    found = ask(STORY, 8)
    assert found["What colour is the square now?"].answer == "red"
    assert found["What shape is the blue object now?"].answer == "ring"
    assert found["Where is the red square now?"].answer == "top left"
    assert found["Where is the blue ring now?"].answer == "centre"
    assert found["How many objects are there now?"].answer == "two"
    assert found["What does the sign say now?"].answer == "472"
    assert found["Is there a red square now?"].answer == "yes"
    assert found["Is there a red ring now?"].answer == "no"
    assert found["What colour is the star now?"].answer == "there is none"
    assert found["Which way is the red square moving now?"].answer == "it is still"
    assert all(question.truth_end_us == 8 * SECOND + 1 for question in found.values() if question.about == "now")


def test_while_something_moves_only_motion_is_asked_of_now() -> None:
    found = ask(STORY, 19.5)
    assert {question.kind for question in found.values() if question.about == "now"} == {"motion"}
    assert found["Which way is the blue ring moving now?"].answer == "right"


def test_right_after_a_change_nothing_is_asked_of_now() -> None:
    assert not [question for question in ask(STORY, 30.5).values() if question.about == "now"]
    assert not [question for question in ask(STORY, 18.5).values() if question.about == "now"]


def test_the_past_is_what_has_gone() -> None:
    found = ask(STORY, 38)
    colour = found["What colour was the square?"]
    assert (colour.answer, colour.truth_start_us, colour.truth_end_us) == ("red", 0, 14 * SECOND)
    place = found["Where was the blue ring last at rest?"]
    assert (place.answer, place.truth_start_us, place.truth_end_us) == ("right", 20 * SECOND, 30 * SECOND)
    sign = found["What did the sign say?"]
    assert (sign.answer, sign.truth_start_us, sign.truth_end_us) == ("472", 6 * SECOND, 9 * SECOND)
    assert found["Was there ever a blue ring?"].answer == "yes"
    assert "What colour was the star?" not in found


def test_a_thing_in_view_is_not_asked_about_as_past() -> None:
    found = ask(STORY, 10)
    assert "What colour was the square?" not in found
    assert "Was there ever a red square?" not in found


def test_times_tell_apart_what_looks_do_not() -> None:
    found = ask(STORY, 38)
    assert found["How many objects were there 28 s ago?"].answer == "two"
    assert found["How many objects were there 13 s ago?"].answer == "one"
    assert found["Where was the blue ring 28 s ago?"].answer == "centre"
    assert found["Where was the blue ring 13 s ago?"].answer == "right"
    assert "How many objects were there 25 s ago?" not in found
    assert "How many objects were there 8 s ago?" not in found


def test_order_and_when() -> None:
    found = ask(STORY, 38)
    firsts = [question for text, question in found.items() if text.startswith("Which came first")]
    assert {question.answer for question in firsts} == {"red square", "blue ring"}
    assert found["When did the blue ring first appear?"].answer == "35 s ago"
    assert found["When did the green star first appear?"].answer == "8 s ago"


def test_what_never_was() -> None:
    found = ask(STORY, 38)
    assert found["What colour was the cross?"].answer == "there is none"
    assert found["Was there ever a red ring?"].answer == "no"
    assert found["Where was the green square last at rest?"].about == "never"
    assert not any("black heart" in text for text in found)


def test_what_is_yet_to_come_is_not_known() -> None:
    """At 20 s the star has never been there; at the moment that it comes, nothing is asked about it."""
    assert ask(STORY, 20)["What colour was the star?"].answer == "there is none"
    assert "What colour was the star?" not in ask(STORY, 30)
    assert "Was there ever a green star?" not in ask(STORY, 30)


def test_beyond_the_end_is_the_end() -> None:
    assert ask(STORY, 1000) == ask(STORY, 40)
    assert ask(STORY, 40)["Where is the green star now?"].answer == "top right"


def test_captions_say_what_is_there() -> None:
    told = {caption.start_us // SECOND: caption.text for caption in captions(STORY)}
    assert told[0] == "a red square at the top left."
    assert told[3] == "a red square at the top left, a blue ring moving right."
    assert told[6].endswith("a blue ring in the centre, a sign that says 472 at the bottom right.")
    assert told[30] == "a green star at the top right."


# ---------------------------------------------------------------- any world


@pytest.mark.parametrize("seed", SEEDS)
def test_every_world_can_be_asked_about_now_the_past_and_what_never_was(seed: int) -> None:
    script = World(seed).script()
    assert {question.about for question in questions(script, script.duration_us)} == {"now", "past", "never"}


@pytest.mark.parametrize("seed", SEEDS)
def test_questions_are_sound(seed: int) -> None:
    script = World(seed, PRESETS["many"]).script()
    for at_us in range(5 * SECOND, script.duration_us, 7 * SECOND // 2):
        asked = questions(script, at_us)
        assert len({question.text for question in asked}) == len(asked)
        for question in asked:
            assert 0 <= question.truth_start_us < question.truth_end_us
            assert question.truth_start_us <= at_us
            assert question.accepts(question.answer)
            assert not question.choices or question.answer in question.choices
            assert len(set(question.choices)) == len(question.choices) <= 4
            assert not any(question.accepts(choice) for choice in question.choices if choice != question.answer)


def test_questions_are_the_same_for_a_seed_and_bounded() -> None:
    script = World(7).script(120)
    asked = questions(script, script.duration_us, most=2)
    assert asked == questions(script, script.duration_us, most=2)
    assert max(Counter((question.kind, question.about) for question in asked).values()) == 2


def test_the_place_of_the_true_choice_gives_nothing_away() -> None:
    places: Counter[int] = Counter()
    for seed in range(60):
        script = World(seed).script()
        for question in questions(script, script.duration_us):
            if len(question.choices) == 4:
                places[question.choices.index(question.answer)] += 1
    assert min(places.values()) > 0.8 * max(places.values())


def test_that_there_is_none_among_the_choices_gives_nothing_away() -> None:
    true: Counter[bool] = Counter()
    for seed in range(60):
        script = World(seed).script()
        for question in questions(script, script.duration_us):
            if question.kind in {"colour", "place", "absent"} and NONE in question.choices:
                true[question.answer == NONE] += 1
    assert 0.2 < true[False] / true.total() < 0.8


def test_answers_are_spread_over_what_could_be_said() -> None:
    said: dict[str, Counter[str]] = {}
    for seed in range(150):
        script = World(seed).script()
        for question in questions(script, script.duration_us):
            said.setdefault(question.kind, Counter())[question.answer] += 1
    assert set(said["colour"]) == set(COLOURS)
    assert set(said["shape"]) == set(SHAPES)
    assert set(said["place"]) == set(PLACES)
    assert min(said["colour"].values()) > 0.4 * max(said["colour"].values())


def test_an_hour_is_asked_about_in_reasonable_time() -> None:
    script = World(1).script(3600)
    assert len(questions(script, script.duration_us)) > 20


# ---------------------------------------------------------------- which words are right


@pytest.mark.parametrize(
    ("kind", "answer", "right", "wrong"),
    [
        ("colour", "red", ["Red.", "It was red", "the square is RED!"], ["", "blue", "red or blue", "reddish"]),
        ("place", "top left", ["At the top left.", "top-left"], ["top", "left", "top right", "top left or bottom"]),
        ("place", "top", ["the top", "At the top."], ["top left", "bottom"]),
        ("count", "three", ["3", "There are three objects.", "three"], ["2", "two or three", "13", ""]),
        ("exist", "yes", ["Yes.", "yes, there was"], ["no", "No, yes", "maybe"]),
        ("exist", "no", ["No, there was none."], ["Yes"]),
        ("absent", "there is none", ["There was no ring.", "none", "I cannot tell."], ["red", "", "it was blue"]),
        ("when", "37 s", ["at 37 s", "36 s", "about 38 seconds"], ["at 50 s", "", "later"]),
        ("motion", "it is still", ["still", "It is still."], ["left", "still moving left"]),
        ("motion", "left", ["to the left"], ["right", "still"]),
    ],
)
def test_right_and_wrong_words(kind: str, answer: str, right: list[str], wrong: list[str]) -> None:
    question = WorldQuestion(kind, "?", answer, "now", 0, 1)
    assert [said for said in right if not question.accepts(said)] == []
    assert [said for said in wrong if question.accepts(said)] == []


def test_right_and_wrong_signs_and_orders() -> None:
    sign = WorldQuestion("sign", "?", "472", "now", 0, 1, ("472", "572", "412"))
    assert sign.accepts("The sign says 472.")
    assert not any(sign.accepts(said) for said in ("471", "4720", "472 or 572", ""))
    order = WorldQuestion("order", "?", "red square", "past", 0, 1, ("red square", "blue ring"))
    assert order.accepts("The red square came first.")
    assert not order.accepts("The blue ring.")
    assert not order.accepts("The red ring.")
