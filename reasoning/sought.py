"""What a long prompt asks for, without what it says about the answer's form: memory looks for that.

Benchmarks and programs wrap a question in instructions and options. A recall encoder reads the first few dozen words,
and instructions name nothing that was ever seen.
"""

import re
from typing import Final

_LONG: Final = 32
"""Words. Whoever speaks for himself says less, and what stands beside a question mark then belongs to it."""
_NAMED: Final = re.compile(r"^[ \t]*question:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_ASKED: Final = re.compile(r"[^.?!:\n]*\?")
_FORM: Final = re.compile(r"\n|\boptions?:|\banswer (?:with|only|in)\b|\b[A-D][.):]\s.*\b[B-E][.):]\s", re.IGNORECASE)
"""What says in which form the answer is wanted."""


def sought(text: str) -> str:
    """The line named `Question:`, else the sentences that end in a question mark; the text itself if it is short."""
    if len(text.split()) <= _LONG:
        return text
    named = _NAMED.search(text)
    if named is not None:
        return named[1].strip()
    return " ".join(sentence.strip() for sentence in _ASKED.findall(text)) or text


def is_plain(text: str) -> bool:
    """Whether it asks and says nothing of the answer's form: then the server may answer in words of its own."""
    return len(text.split()) <= _LONG and _FORM.search(text.strip()) is None
