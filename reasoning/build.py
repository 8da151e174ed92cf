"""From settings to a reasoning stage: with its model loaded, or with an engine that is handed in."""

from perception.errors import StartRefused
from perception.window import WindowSource
from reasoning.config import ReasoningConfig
from reasoning.engine import Engine
from reasoning.stage import Clock, ReasoningStage


def build_stage(
    config: ReasoningConfig, window: WindowSource, clock: Clock, engine: Engine | None = None
) -> ReasoningStage:
    """engine: of a model elsewhere; None: the configured one is loaded. Raises StartRefused."""
    return ReasoningStage(config, engine or _load(config), window, clock)


def _load(config: ReasoningConfig) -> Engine:
    if config.model is None:
        raise StartRefused("model_not_found", "there is no model: name one with --model")
    # Who has its model elsewhere needs no torch here.
    from reasoning.local import load_engine

    return load_engine(config.model, config.evidence_cache_bytes, slots=config.slots)
