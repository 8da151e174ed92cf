"""Loads memory's models and opens its stores."""

from collections.abc import Callable

from memory.config import MemoryConfig
from memory.stage import MemoryStage
from perception.dual_encoder import load_image_encoder, load_text_encoder


def build_stage(
    config: MemoryConfig, clock: Callable[[], int], notify: Callable[[], None] | None = None
) -> MemoryStage:
    """The stage, ready for work. notify: called on the writer thread when the stage has work. Raises StartRefused."""
    text, image = load_text_encoder(config.encoder), load_image_encoder(config.encoder)
    return MemoryStage(config, text, image, clock, notify)
