"""Reasoning's settings."""

import msgspec

from perception.config import ModelConfig


class RemoteConfig(msgspec.Struct, frozen=True):
    """url: up to and with `/v1`. name: of the model there; "": its first one. key: "" where it needs none."""

    url: str
    name: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"RemoteConfig(name={self.name!r})"


class ReasoningConfig(msgspec.Struct, frozen=True):
    """The model, here or elsewhere (`remote`), the bounds of its caches and prompts, the system prompt.

    captions: whether events are described while nobody asks.
    """

    model: ModelConfig | None
    remote: RemoteConfig | None = None
    evidence_cache_bytes: int = 512 * 2**20
    slots: int = 8
    window_frames: int = 8
    recall_timeout_us: int = 2_000_000
    max_open_questions: int = 1024
    captions: bool = False
    system_prompt: str = (
        "You watch a live video. Each frame stands behind its time. Answer briefly, from what the frames show; "
        "if they do not show it, say that you do not know."
    )
