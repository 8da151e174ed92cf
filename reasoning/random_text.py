"""Tokenizers of the random checkpoints: byte-level BPE trained on the spot on the words of our own prompts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

_WORDS: Final = (
    "You watch a live video. Each frame stands behind its time. Answer briefly, from what the frames show; if they do "
    "not show it, say that you do not know. Earlier: Heard: Now: Question: What is the person doing now? The red car "
    "left the picture two minutes ago. A dog runs on the beach. How many people are there? Who opened the door? When "
    "did the train arrive? s ago min ago h ago d ago now before after first last morning evening left right top bottom"
)
_CORPUS: Final = [_WORDS, *(f"[{h:02}:{m:02}:{(7 * m) % 60:02}, {m} s ago]" for h in range(24) for m in range(60))]

IDEFICS3_TEMPLATE: Final = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
QWEN_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

IDEFICS3_SPECIAL: Final = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
QWEN_SPECIAL: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def train_tokenizer(special: Sequence[str], words: int) -> Tokenizer:
    """A byte-level BPE of at most `words` merges and bytes; the special tokens come first, in order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words + len(special),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def fill_vocabulary(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer with words that no text yields, so that every id up to `size` has a text."""
    content = json.loads(tokenizer.to_str())
    known = tokenizer.get_vocab_size()
    content["model"]["vocab"] |= {f"Ġ#{number}": number for number in range(known, size)}
    filled: Tokenizer = Tokenizer.from_str(json.dumps(content))
    return filled


def save_tokenizer(
    folder: Path,
    tokenizer: Tokenizer,
    end: str,
    template: str | None,
    length: int,
    names: Mapping[str, str] | None = None,
) -> None:
    """Write the files that AutoTokenizer reads. end: the token that ends an answer; names: what others are called."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": end,
        "model_max_length": length,
        "clean_up_tokenization_spaces": False,
        **_named(names or {}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _named(names: Mapping[str, str]) -> dict[str, object]:
    """As tokenizers keep them: those that every one may have by themselves, a family's own together."""
    usual = {name: token for name, token in names.items() if name == "bos_token"}
    return {**usual, "extra_special_tokens": {name: names[name] for name in names if name not in usual}}


def write_json(folder: Path, name: str, content: dict[str, object]) -> None:
    """One JSON file of a checkpoint."""
    (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
