"""Token ids in, text out as soon as it is certain: never half a character; all deltas joined are the text."""

from typing import Any, Final

_HALF: Final = "\ufffd"
_CONTEXT: Final = 6
"""Tokens decoded anew before each new one: tokenizers write a word's space by what comes before it."""


class TextStream:
    """Turns the ids of one answer into deltas."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0
        self._said = 0
        self._deltas: list[str] = []

    @property
    def text(self) -> str:
        """All deltas so far."""
        return "".join(self._deltas)

    def add(self, token: int) -> str:
        """What is certain now that was not before; empty while a character is half there."""
        self._ids.append(token)
        before, whole = self._decode(self._start, self._said), self._decode(self._start, len(self._ids))
        if len(whole) <= len(before) or whole.endswith(_HALF):
            return ""
        return self._say(whole[len(before) :])

    def end(self) -> str:
        """What is left when no token follows."""
        before, whole = self._decode(self._start, self._said), self._decode(self._start, len(self._ids))
        return self._say(whole[len(before) :]) if len(whole) > len(before) else ""

    def _say(self, delta: str) -> str:
        self._start = max(self._start, self._said - _CONTEXT)
        self._said = len(self._ids)
        self._deltas.append(delta)
        return delta

    def _decode(self, start: int, end: int) -> str:
        return str(self._tokenizer.decode(self._ids[start:end], skip_special_tokens=True))
