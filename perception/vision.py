"""The vision half of any image-text-to-text checkpoint: pixels in, the model's own visual tokens out."""

from typing import Any, Final

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForImageTextToText

from perception.checkpoint import Checkpoint, open_checkpoint
from perception.config import ModelConfig
from perception.encoders import Image
from perception.window import TensorData, VisualTokens

MAX_PIXELS: Final = 448 * 448
"""A frame of a family with free resolution is scaled down to this: the tokens of a frame stay bounded."""
_NUMBERS: Final = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
_DTYPES: Final = {name: dtype for dtype, name in _NUMBERS.items()}
_SHAPES: Final = ((448, 448), (360, 640), (640, 360), (720, 1280), (240, 960))
"""Sizes that are tried to learn how many tokens a frame may take: square, wide, tall."""


def from_tensor(tensor: torch.Tensor) -> TensorData:
    """A tensor of any device as plain bytes."""
    plain = tensor.detach().contiguous().cpu()
    return TensorData(_NUMBERS[plain.dtype], tuple(plain.shape), plain.view(torch.uint8).numpy().tobytes())


def to_tensor(data: TensorData, device: torch.device | None = None) -> torch.Tensor:
    """The tensor that `from_tensor` took apart."""
    flat = torch.frombuffer(bytearray(data.data), dtype=_DTYPES[data.dtype])
    return flat.reshape(data.shape).to(device) if device is not None else flat.reshape(data.shape)


class FrameEncoder:
    """Runs `get_image_features` of a loaded model, one sub-image a frame. Implements `VisionHalf`.

    Frames of one batch do not see one another; results differ from encoding them alone by rounding at most.
    """

    def __init__(self, model: Any, checkpoint: Checkpoint) -> None:
        self._model = model
        self._device, self._dtype = checkpoint.device, checkpoint.dtype
        self._processor: Any = AutoImageProcessor.from_pretrained(checkpoint.folder)
        self._splits = hasattr(self._processor, "do_image_splitting")
        self._max_bytes: int | None = None

    @property
    def max_bytes(self) -> int:
        """See `VisionHalf.max_bytes`: learned from frames of several shapes, with a quarter to spare."""
        if self._max_bytes is None:
            frames = [np.full((*shape, 3), 128, np.uint8) for shape in _SHAPES]
            self._max_bytes = max(_bytes_of(self.encode([frame])[0]) for frame in frames) * 5 // 4
        return self._max_bytes

    def encode(self, images: list[Image]) -> list[VisualTokens]:
        """See `VisionHalf.encode`."""
        inputs = self.preprocess(images)
        with torch.inference_mode():
            features = self._model.get_image_features(**inputs, return_dict=True)
        grids = inputs.get("image_grid_thw")
        deepstack = getattr(features, "deepstack_features", None) or []
        return [
            VisualTokens(
                tokens=from_tensor(tokens.reshape(-1, tokens.shape[-1])),
                deepstack=[from_tensor(layer[n]) for layer in deepstack],
                grid=None if grids is None else tuple(grids[n].tolist()),
            )
            for n, tokens in enumerate(features.pooler_output)
        ]

    def preprocess(self, images: list[Image]) -> dict[str, torch.Tensor]:
        """What `get_image_features` takes, with each image in a row of its own."""
        if self._splits:
            inputs = self._processor([[image] for image in images], do_image_splitting=False, return_tensors="pt")
        else:
            inputs = self._processor([_bounded(image) for image in images], return_tensors="pt")
        wanted = ("pixel_values", "pixel_attention_mask", "image_grid_thw", "image_sizes")
        moved = {name: inputs[name].to(self._device) for name in wanted if name in inputs}
        moved["pixel_values"] = moved["pixel_values"].to(self._dtype)
        return moved


def _bounded(image: Image) -> Image:
    """The image itself, or a smaller one where it has more than MAX_PIXELS."""
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    if height * width <= MAX_PIXELS:
        return image
    scale = (MAX_PIXELS / (height * width)) ** 0.5
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BICUBIC))


def _bytes_of(tokens: VisualTokens) -> int:
    return len(tokens.tokens.data) + sum(len(one.data) for one in tokens.deepstack) + 1024


def load_vision_half(config: ModelConfig) -> FrameEncoder:
    """Load a checkpoint and let go of its language half. Raises StartRefused."""
    checkpoint = open_checkpoint(config)
    model = checkpoint.load(AutoModelForImageTextToText)
    for name in ("text_model", "language_model"):
        if hasattr(model.model, name):
            setattr(model.model, name, torch.nn.Identity())
    model.lm_head = torch.nn.Identity()
    return FrameEncoder(model, checkpoint)
