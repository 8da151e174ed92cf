"""How most families take frames; what one needs beyond it overrides a method here.

A frame stands in the prompt as a run of image tokens, whose embeddings its visual tokens replace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from perception.window import VisualTokens


@dataclass(frozen=True)
class Positions:
    """Where the tokens of one request lie: its own state, never the model's, so that requests cannot mix.

    prompt: [1, n], or [planes, 1, n] for positions in several dimensions. shift: for each plane, what is added to the
    index of a token behind the prompt.
    """

    prompt: torch.Tensor
    shift: tuple[int, ...]

    def between(self, start: int, end: int) -> torch.Tensor:
        """Positions of the tokens [start, end), all of them inside the prompt or all behind it."""
        if end <= self.prompt.shape[-1]:
            return self.prompt[..., start:end]
        places = torch.arange(start, end, device=self.prompt.device)
        rows = torch.stack([places + shift for shift in self.shift])
        return rows if self.prompt.ndim == 2 else rows[:, None, :]


class Family:
    """The common way: LLaVA-like models with one-dimensional positions."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @property
    def image_token(self) -> int:
        """Id of the token that the chat template writes once for each image."""
        config = self.model.config
        return int(config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index)

    def expand(self, frame: VisualTokens) -> list[int]:
        """Ids that take the place of that one token: as many image tokens as the frame has visual ones, and marks."""
        return [self.image_token] * frame.tokens.shape[0]

    def positions(self, ids: torch.Tensor, frames: Sequence[VisualTokens]) -> Positions:
        """Positions of a whole prompt, ids [1, n]."""
        return Positions(torch.arange(ids.shape[1], device=ids.device)[None], (0,))


FAMILY = Family
