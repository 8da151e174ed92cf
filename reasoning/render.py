"""Chat messages to token ids through the checkpoint's own chat template.

What users wrote never yields a special token: no picture that is not there, no end of a turn.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Final, Literal

from jinja2.exceptions import TemplateError

from perception.errors import StartRefused
from reasoning.families.marks import Marks
from reasoning.prompt import ChatMessage

_SEAM: Final = "\ue000"
"""Stands where a text is taken apart before it is tokenised; taken out of what users write."""
_PICTURE: Final = "\ue001"
"""Stands for a picture inside a text, where a template would put pictures elsewhere; taken out likewise."""

_FALLBACK: Final = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}Assistant:"
)

Layout = Literal["parts", "text", "string"]
"""How a turn is handed to the template: as texts and pictures, as one text with pictures in it, or as a bare string."""
_LAYOUTS: Final[tuple[Layout, ...]] = ("parts", "text", "string")

_PROBE: Final = (
    ("system", ["alpha"]),
    ("user", ["bravo", None, "charlie", None]),
    ("assistant", ["delta"]),
    ("user", ["echo"]),
)
"""A conversation in small; None: a picture."""


class Renderer:
    """Renders and tokenises conversations; in its ids each picture is still one image token."""

    def __init__(self, tokenizer: Any, image_token: int, marks: Marks, folder: Path) -> None:
        """Raises StartRefused where the template has no place for pictures, in whatever way it is asked."""
        self._tokenizer = tokenizer
        self._image_token = image_token
        self._marks = marks
        self._template = _template(tokenizer, folder, marks)
        token = str(tokenizer.convert_ids_to_tokens(image_token))
        self._written = marks.around(token)
        literals = sorted({*tokenizer.get_added_vocab(), token, marks.placeholder}, key=len, reverse=True)
        self._reserved = re.compile("|".join(map(re.escape, literals)))
        for self._layout, self._folded in product(_LAYOUTS, (False, True)):
            if self._keeps_order():
                return
        raise StartRefused("model_shape_mismatch", "the model's chat template has no place for pictures")

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ids of the conversation up to where the answer begins."""
        ids: list[int] = []
        for piece in self._render(messages).replace(self._placeholder, self._written).split(_SEAM):
            ids += self._tokenizer.encode(piece, add_special_tokens=False)
        return ids

    @property
    def _placeholder(self) -> str:
        return self._marks.placeholder if self._layout == "parts" else _PICTURE

    def _keeps_order(self) -> bool:
        """Whether the template shows what it is given, all of it, in order."""
        messages = [ChatMessage(role, parts) for role, parts in _PROBE]  # type: ignore[arg-type]
        try:
            text = self._render(messages)
            pictures = self.encode(messages).count(self._image_token)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return False
        first = text.find(self._placeholder)
        words = {str(part): text.find(str(part)) for _, parts in _PROBE for part in parts if part is not None}
        second = text.find(self._placeholder, words["charlie"])
        places = (words["alpha"], words["bravo"], first, words["charlie"], second, words["delta"], words["echo"])
        return pictures == 2 and -1 not in places and all(a < b for a, b in pairwise(places))

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        turns = _without_system(messages) if self._folded else messages
        contents = [{"role": turn.role, "content": self._content(turn.parts)} for turn in turns]
        rendered: str = self._tokenizer.apply_chat_template(
            contents, tokenize=False, add_generation_prompt=True, chat_template=self._template
        )
        return rendered

    def _content(self, parts: Sequence[Any]) -> str | list[dict[str, str]]:
        texts = [self._plain(part) if isinstance(part, str) else None for part in parts]
        if self._layout == "parts":
            return [{"type": "image"} if text is None else {"type": "text", "text": text} for text in texts]
        joined = "".join(_PICTURE if text is None else text for text in texts)
        return joined if self._layout == "string" else [{"type": "text", "text": joined}]

    def _plain(self, text: str) -> str:
        """The text with a seam inside whatever the tokenizer would take for one of its own tokens."""
        text = text.replace(_SEAM, "").replace(_PICTURE, "")
        folded = unicodedata.normalize("NFKC", text)
        if len(self._reserved.findall(folded)) > len(self._reserved.findall(text)):
            text = folded
        return self._reserved.sub(lambda found: found[0][:1] + _SEAM + found[0][1:], text)


def _without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system's text at the head of the first user turn, for templates that know no system role."""
    system, first, *rest = messages
    return [ChatMessage(first.role, [*system.parts, "\n", *first.parts]), *rest]


def _template(tokenizer: Any, folder: Path, marks: Marks) -> str:
    """The checkpoint's chat template: of its tokenizer, of its processor's older file, or a plain one."""
    if tokenizer.chat_template:
        return str(tokenizer.chat_template)
    file = folder / "chat_template.json"
    if file.is_file():
        return str(json.loads(file.read_text(encoding="utf-8"))["chat_template"])
    return _FALLBACK.replace("IMAGE", marks.placeholder)
