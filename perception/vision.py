"""The vision half of a vision-language checkpoint: RGB frames in, the visual tokens that stand for them out."""

import io
import math
import time
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
    refusing,
)
from perception.config import ModelConfig, SampleConfig
from perception.encoders import Image
from perception.errors import StartRefused
from perception.pictures import PictureMaker
from perception.window import TensorData, VisualTokens

_SMALL: Final = 64
_KEYFRAME_PX: Final = SampleConfig().keyframe_px

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

    def __init__(
        self, model: Any, processor: Any, placement: Placement, frame_tokens: int, keyframe_px: int = _KEYFRAME_PX
    ) -> None:
        """keyframe_px: long side of the largest frames that come. Raises StartRefused where they cannot be encoded."""
        self._model = model
        self._placement = placement
        with refusing("the model's image processor is of an unknown kind"):
            self.pictures = PictureMaker(processor, model, placement, frame_tokens)
        self.stacked = False
        """Whether the model gives, and so takes, the tokens of all pictures as one tensor instead of a list."""
        self.slowest_s = 0.0
        """How long the slowest of the first frames took."""
        with refusing("the model cannot encode a frame"):
            self._max_bytes = self._measure(frame_tokens, keyframe_px)

    @property
    def max_bytes(self) -> int:
        """See `VisionHalf.max_bytes`."""
        return self._max_bytes

    def encode(self, images: list[Image]) -> list[VisualTokens]:
        """See `VisionHalf.encode`."""
        if self._placement.device.type == "cpu":
            return [tokens for image in images for tokens in self._encode([image])]
        return self._encode(images)

    @torch.inference_mode()
    def _encode(self, images: list[Image]) -> list[VisualTokens]:
        if not images:
            return []
        inputs = self.pictures.inputs(images)
        features = self._model.get_image_features(**inputs, return_dict=True)
        grids = _grids(inputs)
        sizes = [math.prod(grid) // self.pictures.merge**2 for grid in grids] if grids else None
        self.stacked = isinstance(features.pooler_output, torch.Tensor)
        tokens = _split(_fetched(features.pooler_output), len(images), sizes)
        deepstack = getattr(features, "deepstack_features", None) or ()
        layers = [_split(_fetched(layer), len(images), sizes) for layer in deepstack]
        return [
            VisualTokens(
                tokens=from_tensor(tokens[n]),
                deepstack=[from_tensor(layer[n]) for layer in layers],
                grid=grids[n] if grids else None,
            )
            for n in range(len(images))
        ]

    def _measure(self, frame_tokens: int, keyframe_px: int) -> int:
        """Encode a small picture and the largest of both ways round: no frame is then more than was announced."""
        short = max(1, keyframe_px * 9 // 16)
        # Where the number of pixels decides, the other way round is the same.
        shapes = ((_SMALL, _SMALL), (short, keyframe_px), (keyframe_px, short))[: 2 if self.pictures.merge else None]
        counts, bytes_each = [], []
        for height, width in shapes:
            began = time.perf_counter()
            [one] = self.encode([np.full((height, width, 3), 90, np.uint8)])
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
            counts.append(one.tokens.shape[0])
            bytes_each.append(sum(len(tensor.data) for tensor in (one.tokens, *one.deepstack)))
        if max(counts) > max(frame_tokens, counts[0]):
            raise StartRefused(
                "model_shape_mismatch",
                f"the model cuts a frame into {max(counts)} tokens, {frame_tokens} are the most: name another model",
            )
        grown = bytes_each[0] // counts[0] * frame_tokens if self.pictures.merge else 0
        return max(grown, *bytes_each)


def load_vision_half(config: ModelConfig, keyframe_px: int = _KEYFRAME_PX) -> CheckpointVision:
    """The vision half alone: the layers of the language half are never read. Raises StartRefused."""
    what = "the model"
    settings = load_config(config, what)
    with refusing("the model's vision half cannot be told from the rest"):
        drop_layers(settings, "text_config")
        placement = place(config)
        model = load_model(AutoModelForImageTextToText, config, settings, placement, what)
        drop_modules(model, model.get_decoder(), model.get_output_embeddings())
    return CheckpointVision(model, load_image_processor(config, what), placement, config.frame_tokens, keyframe_px)


def _grids(inputs: dict[str, torch.Tensor]) -> list[tuple[int, int, int]] | None:
    if "image_grid_thw" not in inputs:
        return None
    return [(int(t), int(h), int(w)) for t, h, w in inputs["image_grid_thw"].tolist()]


def _fetched(features: Any) -> Any:
    """The same in the processor's memory: all in one go, since each would wait for the device."""
    if isinstance(features, torch.Tensor):
        return features.to("cpu")
    if len({one.shape[1:] for one in features}) > 1:
        return [one.to("cpu") for one in features]
    return torch.split(torch.cat(list(features)).to("cpu"), [len(one) for one in features])


def _split(features: Any, images: int, sizes: list[int] | None) -> list[torch.Tensor]:
    """One [n, hidden] tensor an image from whatever nesting a family gives them in."""
    parts = list(features) if not isinstance(features, torch.Tensor) else [features]
    if len(parts) == images:
        # Pictures of several shapes have several lengths.
        return [part.reshape(-1, part.shape[-1]) for part in parts]
    flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    return list(torch.split(flat, sizes if sizes is not None else flat.shape[0] // images))
