"""What the supervisor and its children say to each other about themselves, beside the stages' own messages."""

from typing import Literal

import msgspec

from memory.config import MemoryConfig
from memory.messages import MemoryInput, MemoryOutput
from perception.config import PerceptionConfig
from perception.messages import Fault, Message, PerceptionInput, PerceptionOutput
from reasoning.config import ReasoningConfig
from reasoning.messages import ReasoningInput, ReasoningOutput

StageName = Literal["perception", "memory", "reasoning"]
STAGES: tuple[StageName, ...] = ("perception", "memory", "reasoning")


class Start(Message, frozen=True):
    """Sent by the parent first: the stage's settings as msgpack, and how to log."""

    config: bytes
    log_json: bool
    log_level: str
    secrets: list[str]


class Ready(Message, frozen=True):
    """Sent by a child once: its models are loaded and it takes work."""


class StartFailed(Message, frozen=True):
    """Sent by a child that cannot start, before it exits."""

    fault: Fault


class Heartbeat(Message, frozen=True):
    """Sent by a child twice a second from its loop: how often the loop has turned."""

    turns: int


class LongStep(Message, frozen=True):
    """Sent by a child before a step that may take up to so many seconds: its silence until then is no hang."""

    seconds: float


class Throttle(Message, frozen=True):
    """Sent by perception: it has (`full`) or has no more than enough of a stream whose sender can wait."""

    stream: str
    full: bool


class Drain(Message, frozen=True):
    """Sent by the parent: finish what is open, then exit."""


class Spill(Message, frozen=True):
    """The next message lies in the ring beside this socket, at this slot."""

    slot: int


Control = Start | Ready | StartFailed | Heartbeat | LongStep | Throttle | Drain | Spill

ToPerception = PerceptionInput | Control
ToMemory = MemoryInput | Control
ToReasoning = ReasoningInput | Control
FromPerception = PerceptionOutput | Control
FromMemory = MemoryOutput | Control
FromReasoning = ReasoningOutput | Control

CONFIGS: dict[StageName, type[msgspec.Struct]] = {
    "perception": PerceptionConfig,
    "memory": MemoryConfig,
    "reasoning": ReasoningConfig,
}
