"""From settings to a perception stage with its models loaded."""

from collections.abc import Callable

from perception.config import PerceptionConfig
from perception.dual_encoder import load_image_encoder
from perception.encoders import VisionHalf
from perception.scribe import Transcribe
from perception.sound import SpeechSpan
from perception.stage import Clock, PerceptionStage
from perception.transcribe import load_transcriber
from perception.vision import load_vision_half
from perception.window import WindowSink


def load_vision(config: PerceptionConfig) -> VisionHalf | None:
    """The model's vision half; None where the model is a remote one. Raises StartRefused."""
    return load_vision_half(config.model, config.sample.keyframe_px) if config.model is not None else None


def build_stage(
    config: PerceptionConfig,
    vision: VisionHalf | None,
    window: WindowSink,
    clock: Clock,
    wake: Callable[[], None] | None = None,
) -> PerceptionStage:
    """Load what is left to load. `vision` comes first, since the window's size depends on it. Raises StartRefused.

    wake: called from a thread when the stage has work again; without it speech is transcribed within a step.
    """
    encoder = load_image_encoder(config.encoder)
    return PerceptionStage(config, encoder, vision, window, _transcribe(config), clock, wake)


def _transcribe(config: PerceptionConfig) -> Transcribe | None:
    if config.asr is None:
        return None
    transcriber = load_transcriber(config.asr)

    def transcribe(span: SpeechSpan) -> str:
        return transcriber.transcribe(span.samples)

    return transcribe
