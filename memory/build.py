"""From settings to a memory stage with its encoders loaded."""

from collections.abc import Callable

from memory.config import MemoryConfig
from memory.stage import Clock, MemoryStage
from perception.dual_encoder import load_image_encoder, load_text_encoder


def build_stage(config: MemoryConfig, clock: Clock, notify: Callable[[], None] = lambda: None) -> MemoryStage:
    """Load both halves of the recall encoder. `notify` is called from the writer thread. Raises StartRefused."""
    texts = load_text_encoder(config.encoder)
    return MemoryStage(config, texts, load_image_encoder(config.encoder), clock, notify)
