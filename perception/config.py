"""Perception's settings. Plain structs: the server's configuration validates them at the edge."""

import msgspec


class SampleConfig(msgspec.Struct, frozen=True):
    """Which decoded frames are looked at and which of those are encoded.

    fps: frames looked at per second of media time. change: share of the picture that must differ from the last encoded
    frame (0.002 finds an object of 1 % of the area of which a part has entered). keyframe_px: long side at which
    evidence is stored (never enlarged). jpeg_quality: of the stored evidence.
    """

    fps: float = 2.0
    change: float = 0.002
    keyframe_px: int = 640
    jpeg_quality: int = 80
    max_pixels: int = 33_177_600


class WindowConfig(msgspec.Struct, frozen=True):
    """The now window: `frames` entries a stream, `lanes` streams at most."""

    frames: int = 8
    lanes: int = 64


class SoundConfig(msgspec.Struct, frozen=True):
    """Voice activity: a span starts above `threshold` and ends after `silence_ms` below it."""

    enabled: bool = True
    threshold: float = 0.5
    silence_ms: int = 500
    min_speech_ms: int = 250


class ModelConfig(msgspec.Struct, frozen=True):
    """A checkpoint: its folder and how it runs. device/dtype/attention `auto`: the best that this machine has.

    frame_tokens: the most tokens that a frame may become in a model that takes pictures of any size.
    """

    folder: str
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "auto"
    threads: int = 0
    trust_remote_code: bool = False
    frame_tokens: int = 256


class PerceptionConfig(msgspec.Struct, frozen=True):
    """All that the perception process needs to start. asr None: no transcript."""

    encoder: ModelConfig
    model: ModelConfig | None
    asr: ModelConfig | None = None
    sample: SampleConfig = SampleConfig()
    window: WindowConfig = WindowConfig()
    sound: SoundConfig = SoundConfig()
