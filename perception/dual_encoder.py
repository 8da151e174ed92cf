"""The halves of any dual encoder (SigLIP, SigLIP 2, CLIP): pictures or texts in, vectors of one space out."""

from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from perception.checkpoint import Checkpoint, open_checkpoint
from perception.config import ModelConfig
from perception.encoders import Image, Vectors


class PictureEncoder:
    """The image half. Implements `ImageEncoder`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model: Any = checkpoint.load(AutoModel)
        self._model.text_model = torch.nn.Identity()
        self._processor: Any = AutoImageProcessor.from_pretrained(checkpoint.folder)
        self._checkpoint = checkpoint
        self._dim = self.embed_images([np.zeros((64, 64, 3), np.uint8)]).shape[1]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def embed_images(self, images: list[Image]) -> Vectors:
        """[n, dim], unit length."""
        pixels = self._processor(images, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            features = self._model.get_image_features(
                pixel_values=pixels.to(self._checkpoint.device, self._checkpoint.dtype)
            )
        return _unit(features)


class PhraseEncoder:
    """The text half. Implements `TextEncoder`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model: Any = checkpoint.load(AutoModel)
        self._model.vision_model = torch.nn.Identity()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint.folder)
        self._checkpoint = checkpoint
        self._longest = int(checkpoint.config.text_config.max_position_embeddings)
        # SigLIP was trained on padded texts alone and reads their last position; CLIP reads the end token's.
        self._padding = "max_length" if checkpoint.config.model_type.startswith("siglip") else True
        self._dim = self.embed_texts(["a"]).shape[1]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def embed_texts(self, texts: list[str]) -> Vectors:
        """[n, dim], unit length; a text that is too long is cut."""
        tokens = self._tokenizer(
            texts, padding=self._padding, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        known = {
            name: tokens[name].to(self._checkpoint.device) for name in ("input_ids", "attention_mask") if name in tokens
        }
        if self._padding == "max_length":
            known.pop("attention_mask", None)
        with torch.inference_mode():
            features = self._model.get_text_features(**known)
        return _unit(features)


def _unit(features: Any) -> Vectors:
    pooled = features if isinstance(features, torch.Tensor) else features.pooler_output
    unit = torch.nn.functional.normalize(pooled.float(), dim=-1)
    return np.ascontiguousarray(unit.cpu().numpy(), dtype=np.float32)


def load_image_encoder(config: ModelConfig) -> PictureEncoder:
    """The image half of a folder. Raises StartRefused."""
    return PictureEncoder(open_checkpoint(config))


def load_text_encoder(config: ModelConfig) -> PhraseEncoder:
    """The text half of a folder. Raises StartRefused."""
    return PhraseEncoder(open_checkpoint(config))
