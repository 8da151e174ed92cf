"""The prompts of OVO-Bench, byte for byte: curly quotes, trailing spaces and slips of the pen belong to them.

The four templates are OVO-Bench's (JoeLeelyf/OVO-Bench, MIT).
"""

from collections.abc import Sequence
from typing import Final

from evaluation.ovo.tasks import LETTERS

_CHOICE: Final = (
    "\nQuestion: {}\nOptions:\n{}\n\n"
    "Respond only with the letter corresponding to your chosen option (e.g., A, B, C). \n"
    "Do not include any additional text or explanation in your response.\n"
)
_COUNT: Final = (
    "\nYou're watching a video in which people may perform a certain type of action repetively. \n"
    "The person performing this kind of action are referred to as 'they' in the following statement.\n"
    "You're task is to count how many times have different people in the video perform this kind of action in total.\n"
    "One complete motion counts as one. \n"
    "Now, answer the following question: {}\n"
    "Provide your answer as a single number (e.g., 0, 1, 2, 3…) indicating the total count.\n"
    "Do not include any additional text or explanation in your response.\n"
)
_STEP: Final = (
    "\nYou're watching a tutorial video which contain a sequential of steps. \n"
    "The following is one step from the whole procedures: \n"
    "{}\n"
    "Your task is to determine if the man or woman in the video is currently performing this step.\n"
    "Answer only with “Yes” or “No”.\n"
    "Do not include any additional text or explanation in your response.\n"
)
_CLUE: Final = (
    "\nYou're responsible of answering questions based on the video content. \n"
    "The following question are relevant to the latest frames, i.e. the end of the video.\n"
    "{}\n"
    "Decide whether existing visual content, especially latest frames, i.e. frames that near the end of the video, "
    "provide enough information for answering the question.\n"
    "Answer only with “Yes” or “No”.\n"
    "Do not include any additional text or explanation in your response.\n"
)


def choice(question: str, options: Sequence[str]) -> str:
    """Of the nine tasks with letters."""
    listed = "; ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return _CHOICE.format(question, f"{listed};")


def count(activity: str) -> str:
    """Of REC. activity: in its gerund, as the file has it."""
    return _COUNT.format(f"How many times did they {activity}?")


def step(text: str) -> str:
    """Of SSR."""
    return _STEP.format(text)


def clue(question: str) -> str:
    """Of CRR."""
    return _CLUE.format(question)
