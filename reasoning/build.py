"""From settings to a reasoning stage with its model loaded."""

from perception.window import WindowSource
from reasoning.config import ReasoningConfig
from reasoning.engine import LocalEngine
from reasoning.stage import Clock, ReasoningStage


def build_stage(config: ReasoningConfig, window: WindowSource, clock: Clock) -> ReasoningStage:
    """Load the model. Raises StartRefused."""
    return ReasoningStage(config, LocalEngine(config.model), window, clock)
