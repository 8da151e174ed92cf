"""Visual tokens of recalled keyframes, within a bound of bytes: asking twice about a moment encodes it once."""

from collections import OrderedDict
from collections.abc import Sequence

from memory.messages import Evidence
from perception.encoders import VisionHalf
from perception.vision import decode_picture
from perception.window import VisualTokens

Key = tuple[str, str, int, str]
"""Stream, event, number of the frame, hash of the model."""


class EvidenceCache:
    """Encodes keyframes; those that were not used for longest go first. model: the hash of the checkpoint."""

    def __init__(self, vision: VisionHalf, model: str, max_bytes: int) -> None:
        self._vision = vision
        self._model = model
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, VisualTokens] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def holds(self, kept: Evidence) -> bool:
        """Whether the keyframe's tokens are there already."""
        return (kept.stream, kept.event, kept.n, self._model) in self._entries

    def tokens(self, kept: Evidence) -> VisualTokens:
        """The visual tokens of a keyframe. Raises OSError when it is no picture."""
        key = (kept.stream, kept.event, kept.n, self._model)
        found = self._entries.get(key)
        if found is not None:
            self.hits += 1
            self._entries.move_to_end(key)
            return found
        self.misses += 1
        [made] = self._vision.encode([decode_picture(kept.jpeg)])
        self._keep(key, made)
        return made

    def forget(self, stream: str, events: Sequence[str]) -> None:
        """Drop the keyframes of these events; of the whole stream where none is named."""
        for key in [key for key in self._entries if key[0] == stream and (not events or key[1] in events)]:
            self.bytes -= visual_bytes(self._entries.pop(key))

    def clear(self) -> None:
        """Drop all."""
        self._entries.clear()
        self.bytes = 0

    def _keep(self, key: Key, made: VisualTokens) -> None:
        self._entries[key] = made
        self.bytes += visual_bytes(made)
        while self.bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= visual_bytes(oldest)


def visual_bytes(tokens: VisualTokens) -> int:
    """What the tensors of a frame take."""
    return len(tokens.tokens.data) + sum(len(layer.data) for layer in tokens.deepstack)
