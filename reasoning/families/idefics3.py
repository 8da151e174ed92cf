"""Idefics3 and SmolVLM: a frame is one global image, set between marks."""

from typing import Any

import torch

from perception.window import VisualTokens
from reasoning.families.base import PlainPositions, Positions


class Idefics3:
    """Implements `Family`."""

    def frame_ids(self, tokenizer: Any, config: Any, count: int) -> list[int]:
        """The form of the family's own processor for an image that is not split."""
        fake, whole = tokenizer.convert_tokens_to_ids(["<fake_token_around_image>", "<global-img>"])
        return [fake, whole, *[config.image_token_id] * count, fake]

    def positions(self, model: Any, ids: torch.Tensor, frames: list[VisualTokens]) -> Positions:
        """Plain."""
        return PlainPositions()


FAMILY = Idefics3()
