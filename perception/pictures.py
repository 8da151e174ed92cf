"""Frames to what a vision half takes: one picture a frame, whatever tiles the processor would cut it into."""

import inspect
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import torch
from PIL import Image as Pictures

from perception.checkpoint import Placement
from perception.encoders import Image

_ONE_PICTURE: Final = {
    "do_image_splitting": False,
    "crop_to_patches": False,
    "do_pan_and_scan": False,
    "split_image": False,
}
"""Options of image processors that would cut a frame into several pictures."""

_MOST_THREADS: Final = 8
_WIDEST: Final = 8.0
"""Frames that are longer than this many times their breadth are squeezed to it: some processors refuse them."""


class PictureMaker:
    """Prepares frames by a checkpoint's image processor, which it sets to one picture a frame."""

    def __init__(self, processor: Any, model: Any, placement: Placement, frame_tokens: int) -> None:
        """frame_tokens: the most tokens of a frame, where the processor takes pictures of any size."""
        self.processor = processor
        self.merge: int = getattr(processor, "merge_size", 0) or 0
        self._placement = placement
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "pictures")
        self._accepted = _accepted(model)
        self._options: dict[str, Any] = {
            name: value for name, value in _ONE_PICTURE.items() if hasattr(processor, name)
        }
        if self.merge:
            self._options["size"] = _bounded(processor, frame_tokens)
        # Such processors cut up a picture that is alone, and take those of one sample whole.
        self._in_company = "batch_num_images" in processor.model_input_names
        if hasattr(processor, "image_grid_pinpoints") and not self._in_company:
            _drop_tiles(processor, model)

    def prepare(self, images: list[Image]) -> dict[str, Any]:
        """All that the processor says of the frames, as its checkpoint's text processor wants to read it."""
        squeezed = [_squeeze(image) for image in images]
        given: Any = [squeezed if len(squeezed) > 1 else squeezed * 2] if self._in_company else squeezed
        found = dict(
            self.processor(images=given, input_data_format="channels_last", return_tensors="pt", **self._options)
        )
        if self._in_company:
            found |= {name: found[name][: len(images)] for name in ("pixel_values", "image_sizes")}
        return found

    def inputs(self, images: list[Image]) -> dict[str, torch.Tensor]:
        """What `get_image_features` takes, where and as the model runs.

        Patches of several pictures are one after the other where pictures may be of any size: then each is prepared in
        a thread of its own. One at a time they would take longer than a GPU needs to encode them.
        """
        if not self.merge or len(images) < 2:
            return self._inputs(images)
        parts = list(self._pool.map(lambda image: self._inputs([image]), images))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _inputs(self, images: list[Image]) -> dict[str, torch.Tensor]:
        found = self.prepare(images)
        return {name: self._moved(value) for name, value in found.items() if name in self._accepted}

    def _moved(self, value: torch.Tensor) -> torch.Tensor:
        moved = value.to(self._placement.device)
        return moved.to(self._placement.dtype) if moved.is_floating_point() else moved


def _accepted(model: Any) -> frozenset[str]:
    """Names that `get_image_features` takes; a head may hand on what only its body names."""
    encoders = (getattr(half, "get_image_features", None) for half in (model, getattr(model, "model", None)))
    return frozenset(name for encode in encoders if encode for name in inspect.signature(encode).parameters)


def _bounded(processor: Any, frame_tokens: int) -> dict[str, int]:
    """Bounds in pixels that make a frame at most `frame_tokens` tokens."""
    area = (processor.patch_size * processor.merge_size) ** 2
    most = min(frame_tokens * area, processor.size["longest_edge"])
    return {"shortest_edge": min(processor.size["shortest_edge"], most), "longest_edge": most}


def _drop_tiles(processor: Any, model: Any) -> None:
    """Leave the smallest grid alone, one tile; processor and model must agree on it."""
    side = model.config.vision_config.image_size
    processor.image_grid_pinpoints = model.config.image_grid_pinpoints = [[side, side]]


def _squeeze(image: Image) -> Image:
    height, width = image.shape[:2]
    if max(height, width) <= _WIDEST * min(height, width):
        return image
    size = (min(width, int(height * _WIDEST)), min(height, int(width * _WIDEST)))
    return np.asarray(Pictures.fromarray(image).resize(size))
