"""The embedded models' tokenizer: bytes, and each word of the world's questions and of reasoning's prompts.

Numbers of one and two digits are one token each, so that an age or a clock time is found by looking for equal tokens;
longer runs of digits, such as a sign's, are read digit by digit. A corner of the picture is one token too, as every
other place is: what is one thing is said at once.
"""

from collections.abc import Iterator
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from perception.config import ModelConfig
from reasoning.config import ReasoningConfig
from training.world import CANNOT_TELL, World, as_letters, as_yes_no, captions, questions

SPECIAL: Final = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
)
END: Final = "<end_of_utterance>"
SYSTEM: Final = ReasoningConfig(ModelConfig("")).system_prompt
_LARGEST: Final = 2000
_SCRIPTS: Final = 24
_PIECES: Final = "|".join(
    (
        r" (?:top|bottom) (?:left|right)\b",
        r"(?<!\d)\d{1,2}(?!\d)|\d",
        r"'s|'t|'re|'ve|'m|'ll|'d",
        r" ?\p{L}+",
        r" ?[^\s\p{L}\d]+",
        r"\s+(?!\S)|\s+",
    )
)
"""Corners, numbers, and then as GPT-2 cuts texts: words and signs with the space before them."""
_PROMPT_WORDS: Final = (
    "User: Assistant: System: Earlier: Now: Question: heard: now, s ago min ago h ago d ago "
    "What color is it? Describe what you see. What do you see now? What happened? Who was there? none nothing yes no"
)


def train_tokenizer(special: tuple[str, ...]) -> Tokenizer:
    """Byte-level BPE; the special tokens come first, in order. The same corpus gives the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # An answer begins behind a colon, with a space that is not part of what is said.
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=_LARGEST,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def _corpus() -> Iterator[str]:
    # What occurs once is not merged.
    yield from (SYSTEM, _PROMPT_WORDS, CANNOT_TELL, f" {CANNOT_TELL}") * 2
    yield from (f"{number}" for number in range(100))
    yield from (f"{number:02}" for number in range(100))
    for seed in range(_SCRIPTS):
        script = World(seed).script()
        yield from (caption.text for caption in captions(script))
        yield from (f" {caption.text}" for caption in captions(script))
        for question in questions(script, script.duration_us, most=1000):
            yield f" {question.text} {question.answer}"
            for other in (as_letters(question), as_yes_no(question)):
                if other is not None:
                    yield f" {other.text} {other.answer}"
