"""Qwen3-VL: positions in three dimensions (M-RoPE), computed here for each request."""

from typing import Any

import torch

from perception.window import VisualTokens
from reasoning.families.base import Positions


class _RotaryPositions:
    """Three coordinates a token; after the prompt all three count on from `delta`."""

    def __init__(self, position_ids: torch.Tensor, delta: torch.Tensor) -> None:
        self._position_ids = position_ids
        self._delta = int(delta.reshape(-1)[0])

    def prefill(self) -> dict[str, torch.Tensor]:
        return {"position_ids": self._position_ids}

    def next(self, length: int) -> dict[str, torch.Tensor]:
        place = torch.full((3, 1, 1), length + self._delta, dtype=torch.long, device=self._position_ids.device)
        return {"position_ids": place}


class Qwen3VL:
    """Implements `Family`."""

    def frame_ids(self, tokenizer: Any, config: Any, count: int) -> list[int]:
        """The form of the family's own processor."""
        return [config.vision_start_token_id, *[config.image_token_id] * count, config.vision_end_token_id]

    def positions(self, model: Any, ids: torch.Tensor, frames: list[VisualTokens]) -> Positions:
        """Computed from the frames' grids; nothing stays on the model."""
        kinds = (ids == model.config.image_token_id).int()
        grids = torch.tensor([frame.grid for frame in frames], dtype=torch.long, device=ids.device) if frames else None
        position_ids, delta = model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
        return _RotaryPositions(position_ids, delta)


FAMILY = Qwen3VL()
