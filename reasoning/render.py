"""Chat messages to token ids through the checkpoint's own chat template.

What users wrote never yields a special token: no picture that is not there, no end of a turn.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jinja2.exceptions import TemplateError

from perception.errors import StartRefused
from reasoning.families.common import Family
from reasoning.prompt import ChatMessage

_SEAM: Final = "\ue000"
"""Stands where a text is taken apart before it is tokenised; taken out of what users write."""

_FALLBACK: Final = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}Assistant:"
)


class Renderer:
    """Renders and tokenises conversations; in its ids each picture is still one image token."""

    def __init__(self, tokenizer: Any, family: Family, folder: Path) -> None:
        """Raises StartRefused where the template has no place for pictures."""
        self._tokenizer = tokenizer
        self._family = family
        self._template = _template(tokenizer, folder, family)
        literals = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        self._reserved = re.compile("|".join(map(re.escape, literals)) if literals else r"(?!)")
        probe: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image"}, {"type": "image"}]}]
        if self._encode(self._apply(probe)).count(family.image_token) != 2:
            raise StartRefused("model_shape_mismatch", "the model's chat template has no place for pictures")

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ids of the conversation up to where the answer begins."""
        contents = [
            {"role": message.role, "content": [self._content(part) for part in message.parts]} for message in messages
        ]
        try:
            text = self._apply(contents)
        except TemplateError:
            # Some templates know no system role.
            text = self._apply(_without_system(contents))
        return self._encode(text)

    def _content(self, part: Any) -> dict[str, str]:
        return {"type": "text", "text": self._plain(part)} if isinstance(part, str) else {"type": "image"}

    def _plain(self, text: str) -> str:
        """The text with a seam inside whatever the tokenizer would take for one of its own tokens."""
        text = text.replace(_SEAM, "")
        folded = unicodedata.normalize("NFKC", text)
        if len(self._reserved.findall(folded)) > len(self._reserved.findall(text)):
            text = folded
        return self._reserved.sub(lambda found: found[0][:1] + _SEAM + found[0][1:], text)

    def _apply(self, contents: list[dict[str, Any]]) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            contents, tokenize=False, add_generation_prompt=True, chat_template=self._template
        )
        return rendered

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece in text.split(_SEAM):
            ids += self._tokenizer.encode(piece, add_special_tokens=False)
        return ids


def _without_system(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The system's text at the head of the first user turn."""
    system, first, *rest = contents
    content = [*system["content"], {"type": "text", "text": "\n"}, *first["content"]]
    return [{"role": first["role"], "content": content}, *rest]


def _template(tokenizer: Any, folder: Path, family: Family) -> str:
    """The checkpoint's chat template: of its tokenizer, of its processor's older file, or a plain one."""
    if tokenizer.chat_template:
        return str(tokenizer.chat_template)
    file = folder / "chat_template.json"
    if file.is_file():
        return str(json.loads(file.read_text(encoding="utf-8"))["chat_template"])
    return _FALLBACK.replace("IMAGE", str(tokenizer.convert_ids_to_tokens(family.image_token)))
