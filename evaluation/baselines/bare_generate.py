"""The baseline of answers: `model.generate` of transformers, used as its documentation says, on ids and pictures."""

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText

Picture = NDArray[np.uint8]
"""RGB, [height, width, 3]."""

_WHOLE: Final = {"do_image_splitting": False, "crop_to_patches": False}
"""Options of image processors that would cut a frame into several pictures."""
_KINDS: Final = ("mm_token_type_ids", "token_type_ids")
"""Names under which a model is told which tokens are of pictures."""


@dataclass(frozen=True)
class Generated:
    """Greedy tokens of a prompt, the end token included. margins: the best score of each step less the second best;
    scores: all of each step, [vocabulary]."""

    tokens: list[int]
    margins: list[float]
    scores: list[torch.Tensor] = field(default_factory=list)


class BareModel:
    """A checkpoint as anyone would load it."""

    def __init__(self, folder: Path, dtype: torch.dtype, frame_tokens: int = 256) -> None:
        """frame_tokens: the most tokens of a picture, for models that take pictures of any size."""
        self.settings: Any = AutoConfig.from_pretrained(folder)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self._processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self._takes = inspect.signature(self.model.forward).parameters
        self._options = self._one_picture_a_frame(frame_tokens)

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], pictures: Sequence[Picture], max_tokens: int) -> Generated:
        """Answer greedily from pixels. ids: the whole prompt, a run of image tokens for each picture."""
        inputs = self._inputs(ids) | self.pixels(pictures)
        out = self.model.generate(
            **inputs, max_new_tokens=max_tokens, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        scores = [logits[0].float() for logits in out.logits]
        best = [own.topk(2).values for own in scores]
        return Generated(out.sequences[0, len(ids) :].tolist(), [float(top[0] - top[1]) for top in best], scores)

    def pixels(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """The image processor's output, one picture a frame."""
        if not pictures:
            return {}
        # These take the pictures of a prompt together.
        together = "do_image_splitting" in self._options or "batch_num_images" in self._processor.model_input_names
        given: Any = [list(pictures)] if together else list(pictures)
        found = self._processor(images=given, return_tensors="pt", **self._options)
        return {name: value for name, value in found.items() if name in self._takes}

    def _one_picture_a_frame(self, frame_tokens: int) -> dict[str, Any]:
        options: dict[str, Any] = {name: value for name, value in _WHOLE.items() if hasattr(self._processor, name)}
        if hasattr(self._processor, "merge_size"):
            side = self._processor.patch_size * self._processor.merge_size
            most = min(frame_tokens * side**2, self._processor.size["longest_edge"])
            options["size"] = {"shortest_edge": min(self._processor.size["shortest_edge"], most), "longest_edge": most}
        return options

    @torch.inference_mode()
    def encode(self, pictures: Sequence[Picture]) -> Any:
        """Visual tokens ready for `first_token`, each picture encoded alone."""
        encoded = [self.model.get_image_features(**self.pixels([one]), return_dict=True) for one in pictures]
        return SimpleNamespace(pooler_output=[tokens for one in encoded for tokens in one.pooler_output])

    @torch.inference_mode()
    def first_token_s(self, ids: Sequence[int], visual: Any | None, pictures: Sequence[Picture] = ()) -> float:
        """Seconds until the first token: from visual tokens that are ready, or (None) from the pictures themselves."""
        began = time.perf_counter()
        more = {"mm_encoder_outputs": {"image": visual}} if visual is not None else self.pixels(pictures)
        self.model.generate(**self._inputs(ids), **more, max_new_tokens=1, do_sample=False)
        return time.perf_counter() - began

    def _inputs(self, ids: Sequence[int]) -> dict[str, Any]:
        prompt = torch.tensor([list(ids)])
        inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
        pictured = (prompt == self._image_token).int()
        return inputs | {name: pictured for name in _KINDS if name in self._takes}

    @property
    def _image_token(self) -> int:
        names = ("image_token_id", "image_token_index")
        return int(next(getattr(self.settings, name) for name in names if hasattr(self.settings, name)))
