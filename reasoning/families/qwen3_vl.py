"""Qwen3-VL: positions in three dimensions, computed for each request and kept with it.

Its own forward keeps them on the model object (`rope_deltas`), where interleaved requests would mix; it leaves them
alone when it is given positions.
"""

from collections.abc import Sequence

import torch

from perception.window import VisualTokens
from reasoning.families.common import Family, Positions


class Qwen3VL(Family):
    """Gives each frame its place in time, height and width."""

    def positions(self, ids: torch.Tensor, frames: Sequence[VisualTokens]) -> Positions:
        """See `Family.positions`: four planes, the first counts tokens for the mask."""
        kinds = (ids == self.image_token).int()
        grids = torch.tensor([frame.grid for frame in frames], device=ids.device) if frames else None
        places, delta = self.model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
        count = torch.arange(ids.shape[1], device=ids.device)[None, None]
        return Positions(torch.cat([count, places]), (0, *[int(delta)] * 3))


FAMILY = Qwen3VL
