"""From settings to a reasoning stage with its model loaded. Who has it elsewhere needs no torch here."""

from collections.abc import Callable

from perception.errors import StartRefused
from perception.window import WindowSource
from reasoning.config import ReasoningConfig
from reasoning.engine import Engine
from reasoning.stage import Clock, ReasoningStage


def build_stage(
    config: ReasoningConfig, window: WindowSource, clock: Clock, notify: Callable[[], None] = lambda: None
) -> ReasoningStage:
    """Load the model, or reach for the one elsewhere. notify: called from another thread when there is work.

    Raises StartRefused.
    """
    return ReasoningStage(config, _engine(config, notify), window, clock)


def _engine(config: ReasoningConfig, notify: Callable[[], None]) -> Engine:
    if config.model is not None:
        from reasoning.local import load_engine

        return load_engine(config.model, config.evidence_cache_bytes, slots=config.slots)
    if config.remote is not None:
        from reasoning.remote import RemoteEngine

        return RemoteEngine(config.remote, config.slots, notify)
    raise StartRefused("model_not_found", "there is no model: name one with --model")
