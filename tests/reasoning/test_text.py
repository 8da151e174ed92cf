"""Token ids to deltas: never half a character, and together the whole text."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from reasoning.local import LocalEngine
from reasoning.text import TextStream

HALF = "\ufffd"
TEXTS = (
    "The dog runs on the beach.",
    " leading and trailing  spaces \n\n",
    "Grüße aus Köln: 12 °C, 5 €, naïve café",
    "漢字とかな、한국어",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 family, \U0001f1e9\U0001f1ea flag, e\u0301 accent",
    "العربية עברית हिन्दी",
)
EngineOf = Callable[[str], LocalEngine]


def streamed(tokenizer: Any, ids: list[int]) -> list[str]:
    """The delta of each token, then what is left."""
    stream = TextStream(tokenizer)
    deltas = [stream.add(token) for token in ids]
    deltas.append(stream.end())
    assert stream.text == "".join(deltas)
    return deltas


@pytest.fixture(params=["idefics3", "qwen3_vl"])
def tokenizer(engine_of: EngineOf, request: pytest.FixtureRequest) -> Any:
    """The tokenizer of a checkpoint: bytes and merges."""
    return engine_of(request.param).family.tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_deltas_joined_are_the_text(tokenizer: Any, text: str) -> None:
    deltas = streamed(tokenizer, tokenizer.encode(text, add_special_tokens=False))
    assert "".join(deltas) == text
    assert deltas[-1] == ""


@pytest.mark.parametrize("text", TEXTS)
def test_no_delta_holds_half_a_character_and_none_comes_late(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    stream = TextStream(tokenizer)
    for n, token in enumerate(ids):
        assert HALF not in stream.add(token)
        certain = tokenizer.decode(ids[: n + 1]).rstrip(HALF)
        assert stream.text == certain


def test_a_character_of_four_tokens_comes_with_the_last(tokenizer: Any) -> None:
    ids = tokenizer.encode("\U0001f600", add_special_tokens=False)
    assert len(ids) == 4
    assert streamed(tokenizer, ids) == ["", "", "", "\U0001f600", ""]


def test_what_is_half_at_the_end_is_said_as_the_tokenizer_says_it(tokenizer: Any) -> None:
    ids = tokenizer.encode("ok \u20ac", add_special_tokens=False)[:-1]
    deltas = streamed(tokenizer, ids)
    assert "".join(deltas) == tokenizer.decode(ids) == f"ok {HALF}"
    assert deltas[-1] == HALF


def test_special_tokens_say_nothing(tokenizer: Any) -> None:
    special = list(tokenizer.get_added_vocab().values())
    word = tokenizer.encode(" dog", add_special_tokens=False)
    ids = [special[0], *word, *special, *special, *word, special[1]]
    assert "".join(streamed(tokenizer, ids)) == " dog dog"


def test_nothing_said_is_an_empty_text(tokenizer: Any) -> None:
    assert streamed(tokenizer, []) == [""]


def test_any_tokens_at_all_give_the_text_of_the_whole(tokenizer: Any) -> None:
    dice = random.Random(3)
    size = len(tokenizer)
    single = [token for token in range(size) if HALF in tokenizer.decode([token])]
    assert len(single) > 100
    for round_ in range(150):
        # Half of them mostly of broken bytes.
        pool = single if round_ % 2 else range(size)
        ids = [dice.choice(pool if dice.random() < 0.9 else range(size)) for _ in range(dice.randint(1, 40))]
        whole = tokenizer.decode(ids, skip_special_tokens=True)
        assert "".join(streamed(tokenizer, ids)) == whole, ids


def test_long_texts_are_not_decoded_anew_from_the_start(tokenizer: Any) -> None:
    asked: list[int] = []

    class Counting:
        def decode(self, ids: list[int], **options: bool) -> str:
            asked.append(len(ids))
            return str(tokenizer.decode(ids, **options))

    ids = tokenizer.encode("The red car left the picture two minutes ago. " * 30, add_special_tokens=False)
    streamed(Counting(), ids)
    assert len(ids) > 300
    assert max(asked) < 20
