"""One answer in the making: a prompt of ids and visual tokens, read in chunks, then one token at a time.

Cache, positions and randomness belong to the request, so that requests may take turns on one model.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import DynamicCache

from perception.vision import to_tensor
from perception.window import VisualTokens
from reasoning.cache import new_cache
from reasoning.families.common import Family


class Decoding:
    """Greedy at temperature 0; else each token is drawn with the request's own generator."""

    def __init__(
        self,
        family: Family,
        ids: Sequence[int],
        frames: Sequence[VisualTokens],
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        """ids: one image token for each visual token of each frame, in order. Raises ValueError where they differ."""
        self._family = family
        self._model = family.model
        device = self._model.device
        self._ids = torch.tensor([list(ids)], device=device)
        self._positions = family.positions(self._ids, frames)
        self._pictured = (self._ids[0] == family.image_token).cumsum(0).tolist()
        self._visual = _joined([frame.tokens for frame in frames], self._model)
        depth = len(frames[0].deepstack) if frames else 0
        self._deep = [_joined([frame.deepstack[n] for frame in frames], self._model) for n in range(depth)]
        given = 0 if self._visual is None else self._visual.shape[0]
        if self._pictured[-1] != given:
            raise ValueError(f"{self._pictured[-1]} places for {given} visual tokens")
        self._cache: DynamicCache | None = new_cache(self._model.config.get_text_config(decoder=True))
        self.read = 0
        """Tokens read so far, of the prompt and of the answer."""
        self._logits: torch.Tensor | None = None
        self._temperature = temperature
        self._random = torch.Generator().manual_seed(seed)

    @property
    def prefilled(self) -> bool:
        """Whether the whole prompt has been read."""
        return self.read >= self._ids.shape[1]

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return int(self._ids.shape[1])

    @property
    def logits(self) -> torch.Tensor:
        """Scores of the next token, [vocabulary]."""
        if self._logits is None:
            raise RuntimeError("the prompt has not been read")
        return self._logits

    @torch.inference_mode()
    def prefill(self, most: int) -> bool:
        """Read `most` more tokens of the prompt, a quarter more where it then ends. Returns whether that was all.

        Where the tokens of a picture see one another, the picture at the end is read to its own end.
        """
        start = self.read
        # A small rest is not worth a pass of its own.
        end = self.length if self.length - start <= most + most // 4 else start + most
        told: dict[str, Any] = {}
        if self._family.pictures_whole:
            while end < self.length and self._is_pictured(end - 1) and self._is_pictured(end):
                end += 1
            # Masks are made from the beginning of the prompt on.
            told = dict.fromkeys(self._family.told, self._family.kinds(self._ids[:, :end]))
        visual = self._between(self._pictured[start - 1] if start else 0, self._pictured[end - 1])
        self._forward(self._ids[:, start:end], start, end, visual | told)
        return self.prefilled

    @torch.inference_mode()
    def token(self) -> int:
        """Choose the next token. Its scores are needed no longer: `extend` before the next."""
        scores = self.logits
        if self._temperature <= 0:
            return int(scores.argmax())
        weights = torch.softmax(scores.float().cpu() / self._temperature, -1)
        return int(torch.multinomial(weights, 1, generator=self._random))

    @torch.inference_mode()
    def extend(self, token: int) -> None:
        """Read a token that was chosen."""
        ids = torch.tensor([[token]], device=self._ids.device)
        self._forward(ids, self.read, self.read + 1, {})

    # ------------------------------------------------------------ among others

    @property
    def cache(self) -> DynamicCache:
        """What was read, one row. Raises RuntimeError where a batch holds it."""
        if self._cache is None:
            raise RuntimeError("a batch holds what was read")
        return self._cache

    def release(self) -> None:
        """A batch holds from now on what was read."""
        self._cache = None

    def adopt(self, cache: DynamicCache) -> None:
        """What was read comes back from a batch."""
        self._cache = cache

    def next_places(self) -> torch.Tensor:
        """Positions of the next token: [1, 1], or [planes, 1, 1]."""
        return self._positions.between(self.read, self.read + 1)

    def take(self, logits: torch.Tensor) -> None:
        """A batch has read a token of ours; the scores of the next one."""
        self._logits = logits
        self.read += 1

    # ------------------------------------------------------------ alone

    def _is_pictured(self, place: int) -> bool:
        return bool(self._pictured[place] > (self._pictured[place - 1] if place else 0))

    def _forward(self, ids: torch.Tensor, start: int, end: int, more: dict[str, Any]) -> None:
        places = self._positions.between(start, end)
        out = self._model(
            input_ids=ids, position_ids=places, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **more
        )
        self._logits = out.logits[0, -1]
        self.read = end

    def _between(self, first: int, last: int) -> dict[str, Any]:
        """The visual tokens [first, last), as the models' forward takes what was encoded before."""
        if self._visual is None or first == last:
            return {}
        deep = [(layer[first:last],) for layer in self._deep if layer is not None]
        tokens = self._visual[first:last]
        given = tokens[None] if self._family.stacked else [tokens]
        image = SimpleNamespace(pooler_output=given, deepstack_features=deep)
        return {"mm_encoder_outputs": {"image": image}}


def _joined(parts: Sequence[Any], model: Any) -> torch.Tensor | None:
    if not parts:
        return None
    return torch.cat([to_tensor(part) for part in parts]).to(model.device, model.dtype)
