"""The baseline of answers: `model.generate` of transformers, used as its documentation says, on ids and pictures."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText

Picture = NDArray[np.uint8]
"""RGB, [height, width, 3]."""


@dataclass(frozen=True)
class Generated:
    """Greedy tokens of a prompt, the end token included. margins: the best score of each step less the second best."""

    tokens: list[int]
    margins: list[float]


class BareModel:
    """A checkpoint as anyone would load it."""

    def __init__(self, folder: Path, dtype: torch.dtype, frame_tokens: int = 256) -> None:
        """frame_tokens: the most tokens of a picture, for models that take pictures of any size."""
        self.settings: Any = AutoConfig.from_pretrained(folder)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self._processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self._frame_tokens = frame_tokens

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], pictures: Sequence[Picture], max_tokens: int) -> Generated:
        """Answer greedily from pixels. ids: the whole prompt, a run of image tokens for each picture."""
        inputs = self._inputs(ids) | self.pixels(pictures)
        out = self.model.generate(
            **inputs, max_new_tokens=max_tokens, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        best = [logits[0].float().topk(2).values for logits in out.logits]
        return Generated(out.sequences[0, len(ids) :].tolist(), [float(top[0] - top[1]) for top in best])

    def pixels(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """The image processor's output, one picture a frame."""
        if not pictures:
            return {}
        if hasattr(self._processor, "do_image_splitting"):
            found = self._processor(images=[list(pictures)], do_image_splitting=False, return_tensors="pt")
            return {name: found[name] for name in ("pixel_values", "pixel_attention_mask")}
        side = self._processor.patch_size * self._processor.merge_size
        most = min(self._frame_tokens * side**2, self._processor.size["longest_edge"])
        size = {"shortest_edge": min(self._processor.size["shortest_edge"], most), "longest_edge": most}
        found = self._processor(images=list(pictures), size=size, return_tensors="pt")
        return {name: found[name] for name in ("pixel_values", "image_grid_thw")}

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
        if self.settings.model_type.startswith("qwen"):
            inputs["mm_token_type_ids"] = (prompt == self.settings.image_token_id).int()
        return inputs
