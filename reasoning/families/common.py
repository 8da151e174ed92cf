"""How most families take frames; what one needs beyond it overrides a method here.

A frame stands in the prompt as a run of image tokens, whose embeddings its visual tokens replace.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from perception.config import ModelConfig
from perception.errors import StartRefused
from perception.vision import CheckpointVision
from perception.window import VisualTokens
from reasoning.families.marks import Marks, learnt_marks

_KINDS: Final = ("token_type_ids", "mm_token_type_ids")
"""Names under which models are told which tokens are of pictures: those of a picture then see one another."""


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
        """Raises StartRefused where the model has no token for pictures."""
        self.model = model
        self.tokenizer = tokenizer
        self.marks = Marks(str(tokenizer.convert_ids_to_tokens(self.image_token)))
        """How a frame is written."""
        self.stacked = False
        """Whether the model takes visual tokens as one tensor, see `CheckpointVision.stacked`."""
        self.told: tuple[str, ...] = ()
        """Names under which the model's own forward is told which tokens are of pictures."""

    @property
    def image_token(self) -> int:
        """Id of the token that stands in the prompt for each visual one."""
        for name in ("image_token_id", "image_token_index"):
            token = getattr(self.model.config, name, None)
            if token is not None:
                return int(token)
        raise StartRefused("model_shape_mismatch", "the model has no token for pictures: name another one")

    @property
    def pictures_whole(self) -> bool:
        """Whether the tokens of a picture see one another, so that no chunk of a prompt may end within it."""
        return bool(self.told)

    def learn(self, config: ModelConfig, vision: CheckpointVision) -> None:
        """What only the checkpoint's other parts know. Raises StartRefused."""
        self.stacked = vision.stacked
        token = str(self.tokenizer.convert_ids_to_tokens(self.image_token))
        self.marks = learnt_marks(config, self.model, self.tokenizer, token, vision.pictures)
        takes = inspect.signature(self.model.forward).parameters
        self.told = tuple(name for name in _KINDS if name in takes)
        if self.told and not self.marks.kinds:
            raise StartRefused(
                "model_shape_mismatch", "the model wants to be told of a prompt what its processor hides"
            )

    def kinds(self, ids: torch.Tensor) -> torch.Tensor:
        """Which of the ids are of pictures, as a checkpoint's processor would tell."""
        return torch.isin(ids, torch.tensor(self.marks.kinds, device=ids.device)).int()

    def lay_out(self, ids: Sequence[int], frames: Sequence[VisualTokens]) -> list[int]:
        """The ids with each frame's image token as often as the frame has visual ones."""
        left = iter(frames)
        laid: list[int] = []
        for token in ids:
            laid += [token] * next(left).tokens.shape[0] if token == self.image_token else [token]
        return laid

    def positions(self, ids: torch.Tensor, frames: Sequence[VisualTokens]) -> Positions:
        """Positions of a whole prompt, ids [1, n]."""
        return Positions(torch.arange(ids.shape[1], device=ids.device)[None], (0,))


FAMILY = Family
