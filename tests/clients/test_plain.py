"""Text of others: what would act on a terminal is shown as a sign, all else stays."""

import json

import pytest

from clients.plain import plain, plain_json, plain_line

ACTING = ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\r", "\b", "\0", "\x7f", "\u202e", "\u2066", "\ud83d"]


@pytest.mark.parametrize("acting", ACTING, ids=ascii)
def test_what_acts_is_shown_as_a_sign(acting: str) -> None:
    told = plain(f"a{acting}b")
    assert told == f"a\N{REPLACEMENT CHARACTER}{acting[1:].translate({7: 0xFFFD})}b"
    told.encode()


def test_what_only_shows_stays() -> None:
    for text in ("two lines\n\tand a tab", "Tür, дверь, 扉, باب, שלום", "👩‍👩‍👧 é ½ [bold] <b> \\x1b"):
        assert plain(text) == text


def test_a_line_is_one_line() -> None:
    assert plain_line(" a\nb\x1b[2J\r\n c ") == "a b\N{REPLACEMENT CHARACTER}[2J c"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_says_the_same_to_a_program(indent: int | None) -> None:
    body = {"answer": "".join(ACTING) + "Tür", "list": ["\x9b", 1, None]}
    text = plain_json(body, indent)
    assert json.loads(text) == body
    assert plain(text) == text
    assert "Tür" in text
