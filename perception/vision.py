"""The vision half of a vision-language checkpoint: RGB frames in, the visual tokens that stand for them out."""

import io
import math
from typing import Any, Final

import numpy as np
import torch
from PIL import Image as Pictures
from transformers import AutoModelForImageTextToText

from perception.checkpoint import (
    Placement,
    drop_layers,
    drop_modules,
    load_config,
    load_image_processor,
    load_model,
    place,
)
from perception.config import ModelConfig
from perception.encoders import Image
from perception.window import TensorData, VisualTokens

_ONE_PICTURE: Final = {"do_image_splitting": False, "crop_to_patches": False, "do_pan_and_scan": False}
"""Options of image processors that would cut a frame into several pictures."""

_WIDEST: Final = 8.0
"""Frames that are longer than this many times their breadth are squeezed to it: some processors refuse them."""

_PROBES: Final = ((64, 64), (90, 160), (160, 90))

_NAMES: Final = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
_DTYPES: Final = {name: dtype for dtype, name in _NAMES.items()}


def from_tensor(tensor: torch.Tensor) -> TensorData:
    """A floating-point tensor as plain bytes."""
    flat = tensor.detach().to("cpu").contiguous()
    return TensorData(_NAMES[tensor.dtype], tuple(tensor.shape), flat.flatten().view(torch.uint8).numpy().tobytes())


def to_tensor(data: TensorData) -> torch.Tensor:
    """The tensor again, in memory of its own."""
    return torch.frombuffer(bytearray(data.data), dtype=_DTYPES[data.dtype]).reshape(data.shape)


def decode_picture(picture: bytes) -> Image:
    """A JPEG, PNG or WebP as RGB. Raises OSError when it is none of these."""
    with Pictures.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as opened:
        return np.asarray(opened.convert("RGB"))


class CheckpointVision:
    """`VisionHalf` over any transformers image-text-to-text model, whole or cut down to its vision half.

    One frame becomes one picture, never tiles. A model that takes pictures of any size gets at most `frame_tokens`
    tokens of it. On a CPU frames are encoded one at a time, so that each comes out bit for bit as if it had been alone;
    on a GPU they share a batch, and are equal up to the rounding of its kernels.
    """

    def __init__(self, model: Any, processor: Any, placement: Placement, frame_tokens: int) -> None:
        self._model = model
        self._processor = processor
        self._placement = placement
        self._merge: int = getattr(processor, "merge_size", 0) or 0
        self._options: dict[str, Any] = {
            name: value for name, value in _ONE_PICTURE.items() if hasattr(processor, name)
        }
        if self._merge:
            self._options["size"] = _bounded(processor, frame_tokens)
        self._max_bytes = self._measure(frame_tokens)

    @property
    def max_bytes(self) -> int:
        """See `VisionHalf.max_bytes`."""
        return self._max_bytes

    def inputs(self, images: list[Image]) -> dict[str, torch.Tensor]:
        """What `get_image_features` takes, on the model's device: the pixels of each image, as they are encoded."""
        squeezed = [_squeeze(image) for image in images]
        found = self._processor(
            images=squeezed, input_data_format="channels_last", return_tensors="pt", **self._options
        )
        names = [name for name in self._processor.model_input_names if name in found]
        return {name: found[name].to(self._placement.device) for name in names}

    def encode(self, images: list[Image]) -> list[VisualTokens]:
        """See `VisionHalf.encode`."""
        if self._placement.device.type == "cpu":
            return [tokens for image in images for tokens in self._encode([image])]
        return self._encode(images)

    @torch.inference_mode()
    def _encode(self, images: list[Image]) -> list[VisualTokens]:
        if not images:
            return []
        inputs = self.inputs(images)
        features = self._model.get_image_features(**inputs, return_dict=True)
        grids = self._grids(inputs)
        sizes = [math.prod(grid) // self._merge**2 for grid in grids] if grids else None
        tokens = _split(features.pooler_output, len(images), sizes)
        layers = [_split(layer, len(images), sizes) for layer in getattr(features, "deepstack_features", None) or ()]
        return [
            VisualTokens(
                tokens=from_tensor(tokens[n]),
                deepstack=[from_tensor(layer[n]) for layer in layers],
                grid=grids[n] if grids else None,
            )
            for n in range(len(images))
        ]

    def _grids(self, inputs: dict[str, torch.Tensor]) -> list[tuple[int, int, int]] | None:
        if "image_grid_thw" not in inputs:
            return None
        return [(int(t), int(h), int(w)) for t, h, w in inputs["image_grid_thw"].tolist()]

    def _measure(self, frame_tokens: int) -> int:
        """Encode small pictures of several shapes: their tensors, grown to `frame_tokens` where the size decides."""
        most = 0
        for height, width in _PROBES[: 1 if self._merge else None]:
            one = self.encode([np.full((height, width, 3), 90, np.uint8)])[0]
            taken = sum(len(tensor.data) for tensor in (one.tokens, *one.deepstack))
            most = max(most, taken // one.tokens.shape[0] * frame_tokens if self._merge else taken)
        return most


def load_vision_half(config: ModelConfig) -> CheckpointVision:
    """The vision half alone: the layers of the language half are never read. Raises StartRefused."""
    what = "the model"
    settings = load_config(config, what)
    drop_layers(settings, "text_config")
    placement = place(config)
    model = load_model(AutoModelForImageTextToText, config, settings, placement, what)
    drop_modules(model, model.get_decoder(), model.get_output_embeddings())
    return CheckpointVision(model, load_image_processor(config, what), placement, config.frame_tokens)


def _bounded(processor: Any, frame_tokens: int) -> dict[str, int]:
    """Bounds in pixels that make a frame at most `frame_tokens` tokens."""
    area = (processor.patch_size * processor.merge_size) ** 2
    most = min(frame_tokens * area, processor.size["longest_edge"])
    return {"shortest_edge": min(processor.size["shortest_edge"], most), "longest_edge": most}


def _squeeze(image: Image) -> Image:
    height, width = image.shape[:2]
    if max(height, width) <= _WIDEST * min(height, width):
        return image
    size = (min(width, int(height * _WIDEST)), min(height, int(width * _WIDEST)))
    return np.asarray(Pictures.fromarray(image).resize(size))


def _split(features: Any, images: int, sizes: list[int] | None) -> list[torch.Tensor]:
    """One [n, hidden] tensor an image from whatever nesting a family gives them in."""
    parts = list(features) if not isinstance(features, torch.Tensor) else [features]
    flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    return list(torch.split(flat, sizes if sizes is not None else flat.shape[0] // images))
