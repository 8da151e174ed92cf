"""What a model family needs beyond the common way: how a frame stands in the prompt, and where its tokens lie."""

from typing import Any, Protocol

import torch

from perception.window import VisualTokens


class Positions(Protocol):
    """Position state of one request. It belongs to the request: some classes keep it on the model, where two mix."""

    def prefill(self) -> dict[str, torch.Tensor]:
        """Arguments of the forward pass over the whole prompt."""

    def next(self, length: int) -> dict[str, torch.Tensor]:
        """Arguments of the forward pass over one token at this place."""


class Family(Protocol):
    """One family of models."""

    def frame_ids(self, tokenizer: Any, config: Any, count: int) -> list[int]:
        """Token ids that stand for a frame of `count` visual tokens."""

    def positions(self, model: Any, ids: torch.Tensor, frames: list[VisualTokens]) -> Positions:
        """Position state of a request with this prompt ([1, n])."""


class PlainPositions:
    """Positions count tokens: the model does it by itself."""

    def prefill(self) -> dict[str, torch.Tensor]:
        """See `Positions.prefill`."""
        return {}

    def next(self, length: int) -> dict[str, torch.Tensor]:
        """See `Positions.next`."""
        return {}
