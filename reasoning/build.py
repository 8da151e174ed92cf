"""From settings to a reasoning stage with its model loaded."""

from perception.window import WindowSource
from reasoning.config import ReasoningConfig
from reasoning.local import load_engine
from reasoning.stage import Clock, ReasoningStage


def build_stage(config: ReasoningConfig, window: WindowSource, clock: Clock) -> ReasoningStage:
    """Load the model. Raises StartRefused."""
    return ReasoningStage(
        config, load_engine(config.model, config.evidence_cache_bytes, slots=config.slots), window, clock
    )
