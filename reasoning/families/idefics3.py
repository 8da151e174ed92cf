"""Idefics3 and SmolVLM: a frame is one global picture between marks, as their processor writes it."""

from typing import Any

from perception.window import VisualTokens
from reasoning.families.common import Family


class Idefics3(Family):
    """Sets the visual tokens of a frame between the family's marks."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self._mark, self._whole = tokenizer.convert_tokens_to_ids(["<fake_token_around_image>", "<global-img>"])

    def expand(self, frame: VisualTokens) -> list[int]:
        """See `Family.expand`."""
        return [self._mark, self._whole, *super().expand(frame), self._mark]


FAMILY = Idefics3
