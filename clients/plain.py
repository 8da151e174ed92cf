"""What others said - a model, a camera, a server - as text that a terminal only shows: nothing in it is a command."""

import json
import re
from typing import Any, Final

_ACTING: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters but for tab and newline, those that turn the direction of writing, and halves of characters."""
_ACTS: Final = re.compile(f"[{_ACTING}]")
_SHOWN_AS: Final = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """The same text with a sign in the place of each character that would act; so are pieces of it, one by one."""
    return _ACTS.sub(_SHOWN_AS, text)


def plain_line(text: str) -> str:
    """The same on one line."""
    return plain(" ".join(text.split()))


def plain_json(body: Any, indent: int | None = None) -> str:
    """JSON that says the same to a program: what would act is escaped."""
    text = json.dumps(body, indent=indent, ensure_ascii=False)
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
