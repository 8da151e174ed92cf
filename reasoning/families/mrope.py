"""Qwen-VL, GLM-V, ERNIE-VL and their like: positions in several dimensions, computed and kept for each request.

Their own forward keeps them on the model object (`rope_deltas`), where interleaved requests would mix; it leaves them
alone when it is given positions.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from perception.errors import StartRefused
from perception.window import VisualTokens
from reasoning.families.common import Family, Positions


class MultiRope(Family):
    """Gives each frame its place in time, height and width."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Raises StartRefused where the model computes its positions from other things than we know."""
        if not {"mm_token_type_ids", "image_grid_thw"} <= set(inspect.signature(model.model.get_rope_index).parameters):
            raise StartRefused("model_shape_mismatch", "the model's positions of pictures are of an unknown kind")
        super().__init__(model, tokenizer)

    @property
    def pictures_whole(self) -> bool:
        """See `Family.pictures_whole`: what is told serves the positions alone."""
        return False

    def positions(self, ids: torch.Tensor, frames: Sequence[VisualTokens]) -> Positions:
        """See `Family.positions`: a plane that counts tokens for the mask comes before those of the model."""
        grids = torch.tensor([frame.grid for frame in frames], device=ids.device) if frames else None
        places, delta = self.model.model.get_rope_index(ids, mm_token_type_ids=self.kinds(ids), image_grid_thw=grids)
        count = torch.arange(ids.shape[1], device=ids.device)[None, None]
        return Positions(torch.cat([count, places]), (0, *[int(delta)] * len(places)))


FAMILY = MultiRope
