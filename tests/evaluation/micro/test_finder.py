"""Many byte strings, looked for at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.micro.durable.finder import KEY, standing

# Of two letters only, so that much of what is sought does stand there.
WORDS = st.lists(st.binary(min_size=KEY, max_size=12).map(lambda drawn: bytes(b"ab"[one & 1] for one in drawn)))


@given(st.binary(max_size=400).map(lambda drawn: bytes(b"ab"[one & 1] for one in drawn)), WORDS)
def test_it_finds_what_a_search_one_by_one_finds(content: bytes, sought: list[bytes]) -> None:
    assert standing(content, set(sought)) == {one for one in sought if one in content}


@given(st.binary(max_size=60), st.binary(min_size=KEY, max_size=40), st.binary(max_size=60))
def test_it_is_found_at_any_offset(before: bytes, one: bytes, after: bytes) -> None:
    assert standing(before + one + after, {one, b"not there at all" + one}) >= {one}


def test_the_end_alone_is_not_the_string() -> None:
    assert standing(b"the end of it", {b"no end of it", b" end of it"}) == {b" end of it"}


def test_a_short_string_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        standing(b"something else", {b"short"})
