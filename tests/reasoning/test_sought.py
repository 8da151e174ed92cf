"""What is looked for in memory: a short question as it is, of a long prompt what it asks."""

import pytest

from reasoning.sought import sought

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
