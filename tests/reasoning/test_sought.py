"""What is looked for in memory: a short question as it is, of a long prompt what it asks."""

import pytest

from reasoning.sought import is_plain, sought

_FORM = "Respond only with the letter of your option. Do not include any text. " * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I lost my keys. Where are they?", "I lost my keys. Where are they?"),
        (f"\nQuestion: Where was the red ring?\nOptions:\nA. left; B. right?;\n\n{_FORM}", "Where was the red ring?"),
        (f"\nQuestion: What does he do after the knot\nOptions:\nA. sleep;\n{_FORM}", "What does he do after the knot"),
        (f"You watch a video. {_FORM}\nNow, answer this: How often did they sit?\n{_FORM}", "How often did they sit?"),
        (f"Who came?\n{_FORM}\nAnd who left? {_FORM}", "Who came? And who left?"),
        (_FORM, _FORM),
        ("", ""),
    ],
)
def test_of_a_long_prompt_memory_gets_the_question(text: str, expected: str) -> None:
    assert sought(text) == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("How many times did the red car come today?", True),
        ("How often was A. Smith here?", True),
        ("How often? A. once B. twice", False),
        ("How many times did it ring? Options: A. once; B. twice; Answer with the letter.", False),
        ("How many times did it ring?\nOne number.", False),
        (f"How many times did it ring? {_FORM}", False),
    ],
)
def test_who_names_a_form_gets_no_words_of_the_server_s_own(text: str, plain: bool) -> None:
    assert is_plain(text) is plain
