"""The same questions as letters, and as yes or no."""

from training.world import World, WorldQuestion, as_letters, as_yes_no, questions

MOTION = WorldQuestion(
    "motion", "Which way is the red square moving now?", "left", "now", 0, 1, ("up", "left", "right", "it is still")
)


def test_letters_stand_for_the_choices() -> None:
    lettered = as_letters(MOTION)
    assert lettered is not None
    assert lettered.answer == "B"
    assert "A. up; B. left; C. right; D. it is still;" in lettered.text
    assert lettered.accepts("B")
    assert lettered.accepts("The answer is B.")
    assert not any(lettered.accepts(said) for said in ("A", "left", "", "A or B"))


def test_where_nothing_is_to_choose_there_are_no_letters() -> None:
    assert as_letters(WorldQuestion("when", "When?", "3 s ago", "past", 0, 1)) is None


def test_yes_and_no_are_asked_of_motion_alone() -> None:
    asked = as_yes_no(MOTION)
    assert asked is not None
    assert (asked.text, asked.answer) == ("Is the red square moving up now?", "no")
    still = as_yes_no(WorldQuestion("motion", MOTION.text, "it is still", "now", 0, 1, ("it is still", "up")))
    assert still is not None
    assert (still.text, still.answer) == ("Is the red square still now?", "yes")
    assert as_yes_no(WorldQuestion("colour", "What colour?", "red", "now", 0, 1, ("red", "blue"))) is None


def test_half_of_the_answers_are_yes() -> None:
    found = []
    for seed in range(60):
        script = World(seed).script()
        for at_us in range(5_000_000, 30_000_000, 1_300_000):
            found += [as_yes_no(question) for question in questions(script, at_us)]
    said = [question.answer for question in found if question is not None]
    assert len(said) > 300
    assert 0.4 < said.count("yes") / len(said) < 0.6
