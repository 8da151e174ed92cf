"""What perception and memory ask of models: images or texts in, vectors or visual tokens out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perception.window import VisualTokens

Image = NDArray[np.uint8]
"""RGB, [height, width, 3]."""

Vectors = NDArray[np.float32]
"""[n, dim], each of unit length."""


class ImageEncoder(Protocol):
    """The image half of a dual encoder."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def embed_images(self, images: list[Image]) -> Vectors:
        """One vector an image, in one batch."""


class TextEncoder(Protocol):
    """The text half of a dual encoder: its vectors are compared with those of images."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def embed_texts(self, texts: list[str]) -> Vectors:
        """One vector a text, in one batch."""


class VisionHalf(Protocol):
    """The vision half of a vision-language model."""

    @property
    def max_bytes(self) -> int:
        """The most bytes that the tensors of one frame take, whatever its size."""

    def encode(self, images: list[Image]) -> list[VisualTokens]:
        """The visual tokens of each image, in one batch; each exactly as if it had been encoded alone."""
