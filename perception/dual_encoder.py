"""The two halves of any dual encoder (SigLIP, SigLIP 2, CLIP): pictures or texts in, vectors of one space out."""

from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from perception.checkpoint import (
    Placement,
    drop_layers,
    drop_modules,
    load_config,
    load_image_processor,
    load_model,
    load_tokenizer,
    place,
)
from perception.config import ModelConfig
from perception.encoders import Image, Vectors
from perception.errors import StartRefused

_WHAT = "the encoder"


class CheckpointImages:
    """The image half. Implements `ImageEncoder`.

    In half precision on a CPU pictures go through the model one at a time: that takes no longer than a batch, and each
    size of a batch would be one more shape for which the library that multiplies keeps megabytes.
    """

    def __init__(self, model: Any, processor: Any, placement: Placement) -> None:
        self._model = model
        self._processor = processor
        self._placement = placement
        self._alone = placement.device.type == "cpu" and placement.dtype is not torch.float32
        self._dim: int = self.embed_images([np.full((64, 64, 3), 90, np.uint8)]).shape[1]

    @property
    def dim(self) -> int:
        """See `ImageEncoder.dim`."""
        return self._dim

    @torch.inference_mode()
    def embed_images(self, images: list[Image]) -> Vectors:
        """See `ImageEncoder.embed_images`: [n, dim]."""
        if not images:
            return np.empty((0, self._dim), np.float32)
        found = self._processor(images=images, input_data_format="channels_last", return_tensors="pt")
        names = [name for name in self._processor.model_input_names if name in found]
        inputs = {name: found[name].to(self._placement.device) for name in names}
        inputs["pixel_values"] = inputs["pixel_values"].to(self._placement.dtype)
        if not self._alone:
            return self._embed(inputs)
        each = range(len(images))
        return np.concatenate([self._embed({name: given[n : n + 1] for name, given in inputs.items()}) for n in each])

    def _embed(self, inputs: dict[str, torch.Tensor]) -> Vectors:
        return _unit(self._model.get_image_features(**inputs, return_dict=True))


class CheckpointTexts:
    """The text half. Implements `TextEncoder`. A text that is longer than the model's positions is cut."""

    def __init__(self, model: Any, tokenizer: Any, placement: Placement) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._placement = placement
        self._longest = int(model.config.text_config.max_position_embeddings)
        # SigLIP has seen padded texts only, without a mask, and reads the last position; CLIP reads its end token's.
        self._padded = str(model.config.model_type).startswith("siglip")
        self._dim: int = self.embed_texts(["a"]).shape[1]

    @property
    def dim(self) -> int:
        """See `TextEncoder.dim`."""
        return self._dim

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> Vectors:
        """See `TextEncoder.embed_texts`: [n, dim]."""
        if not texts:
            return np.empty((0, self._dim), np.float32)
        padding = "max_length" if self._padded else True
        found = self._tokenizer(
            texts, padding=padding, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._placement.device)
        mask = {} if self._padded else {"attention_mask": found["attention_mask"]}
        return _unit(self._model.get_text_features(input_ids=found["input_ids"], return_dict=True, **mask))


def load_image_encoder(config: ModelConfig) -> CheckpointImages:
    """The image half of a dual encoder's folder. Raises StartRefused."""
    model, placement = _load_half(config, "text")
    return CheckpointImages(model, load_image_processor(config, _WHAT), placement)


def load_text_encoder(config: ModelConfig) -> CheckpointTexts:
    """The text half of a dual encoder's folder. Raises StartRefused."""
    model, placement = _load_half(config, "vision")
    return CheckpointTexts(model, load_tokenizer(config, _WHAT), placement)


def _load_half(config: ModelConfig, other: str) -> tuple[Any, Placement]:
    """A dual encoder without the layers of its other half."""
    settings = load_config(config, _WHAT)
    if not hasattr(settings, "text_config") or not hasattr(settings, "vision_config"):
        raise StartRefused(
            "model_shape_mismatch", f"{_WHAT} has no text and image halves: name a SigLIP or CLIP folder"
        )
    drop_layers(settings, f"{other}_config")
    placement = place(config)
    model = load_model(AutoModel, config, settings, placement, _WHAT)
    drop_modules(model, getattr(model, f"{other}_model", None))
    return model, placement


def _unit(features: Any) -> Vectors:
    pooled = features.pooler_output.float()
    unit = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
    return np.ascontiguousarray(unit, dtype=np.float32)
