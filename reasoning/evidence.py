"""Visual tokens of recalled keyframes, within a bound of bytes: asking twice about a moment encodes it once."""

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image as Pillow

from memory.messages import Evidence
from perception.encoders import Image
from perception.window import VisualTokens

Key = tuple[str, str, int]
"""Stream, event and number of the frame."""


class EvidenceCache:
    """Encodes keyframes, least recently used ones go first. It belongs to one model: another one has another cache."""

    def __init__(self, encode: Callable[[list[Image]], list[VisualTokens]], max_bytes: int) -> None:
        self._encode = encode
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, VisualTokens] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def tokens(self, evidence: Sequence[Evidence]) -> list[VisualTokens]:
        """The visual tokens of each keyframe; those that are not there yet are encoded in one batch."""
        keys = [(one.stream, one.event, one.n) for one in evidence]
        missing = [n for n, key in enumerate(keys) if key not in self._entries]
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        encoded = self._encode([decode_jpeg(evidence[n].jpeg) for n in missing]) if missing else []
        fresh = dict(zip((keys[n] for n in missing), encoded, strict=True))
        found = [fresh[key] if key in fresh else self._touch(key) for key in keys]
        for key, tokens in fresh.items():
            self._keep(key, tokens)
        return found

    def forget(self, stream: str, events: Sequence[str]) -> None:
        """Drop the keyframes of these events; of the whole stream where none are named."""
        for key in [key for key in self._entries if key[0] == stream and (not events or key[1] in events)]:
            self.bytes -= _size(self._entries.pop(key))

    def _touch(self, key: Key) -> VisualTokens:
        self._entries.move_to_end(key)
        return self._entries[key]

    def _keep(self, key: Key, tokens: VisualTokens) -> None:
        self._entries[key] = tokens
        self.bytes += _size(tokens)
        while self.bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= _size(oldest)


def _size(tokens: VisualTokens) -> int:
    return len(tokens.tokens.data) + sum(len(one.data) for one in tokens.deepstack)


def decode_jpeg(jpeg: bytes) -> Image:
    """[height, width, 3] of a stored keyframe."""
    with Pillow.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        return np.asarray(image.convert("RGB"))
