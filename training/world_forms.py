"""The same questions in other forms: a letter out of several choices, yes or no about what is happening now."""

from dataclasses import replace
from string import ascii_uppercase
from typing import Final

from training.world_questions import STILL, WorldQuestion

CANNOT_TELL: Final = "I cannot tell."
"""What is said of pictures that are not of this world."""
_DOING: Final = {
    "left": "moving left",
    "right": "moving right",
    "up": "moving up",
    "down": "moving down",
    STILL: "still",
}


def as_letters(question: WorldQuestion) -> WorldQuestion | None:
    """The question with its choices behind letters, to be answered by one; None where it has no choices."""
    if len(question.choices) < 2:
        return None
    lettered = list(zip(ascii_uppercase, question.choices, strict=False))
    listed = " ".join(f"{letter}. {choice};" for letter, choice in lettered)
    text = f"{question.text} Options: {listed} Answer with the letter."
    answer = next(letter for letter, choice in lettered if choice == question.answer)
    return replace(question, text=text, answer=answer, choices=tuple(letter for letter, _ in lettered))


def as_yes_no(question: WorldQuestion) -> WorldQuestion | None:
    """Whether one of the choices of a question about motion is happening now; None for other questions.

    Which choice it is follows from their order, so that half of the answers are yes.
    """
    if question.kind != "motion" or question.about != "now" or len(question.choices) < 2:
        return None
    others = [choice for choice in question.choices if choice != question.answer]
    right = question.choices.index(question.answer) % 2 == 0
    claimed = question.answer if right else others[0]
    name = question.text.removeprefix("Which way is the ").removesuffix(" moving now?")
    text = f"Is the {name} {_DOING[claimed]} now?"
    return replace(question, text=text, answer="yes" if right else "no", choices=("yes", "no"))
