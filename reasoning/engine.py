"""What the reasoning stage asks of an engine: prompts in, text out, a bounded piece of work a step.

A checkpoint on this machine (`reasoning.local`) is one; a server elsewhere fits the same verbs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from perception.messages import Fault
from reasoning.costs import CostMeter
from reasoning.messages import DecodingKind
from reasoning.prompt import Prompt


@dataclass(frozen=True)
class Request:
    """One answer that is wanted. temperature 0: greedy; else drawn by `seed`.

    idle: nobody waits for it: it is worked on in the smallest pieces, so that whoever comes waits for little, and what
    it costs says nothing about questions.
    """

    id: str
    prompt: Prompt
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    idle: bool = False


@dataclass(frozen=True)
class Started:
    """The first token is there. prompt: what was shown in the end, maybe less than was asked for."""

    id: str
    prompt: Prompt
    input_tokens: int


@dataclass(frozen=True)
class Delta:
    """More of the text."""

    id: str
    text: str


@dataclass(frozen=True)
class Finished:
    """The text is complete: it ended by itself (`stop`), or `max_tokens` was reached (`length`).

    tokens: the ids that were chosen, the end token included, where the engine knows them. input_tokens: of the prompt,
    where that is known only now.
    """

    id: str
    reason: Literal["stop", "length"]
    output_tokens: int
    tokens: tuple[int, ...] = ()
    input_tokens: int | None = None


@dataclass(frozen=True)
class Failed:
    """There will be no more text."""

    id: str
    fault: Fault


EngineOutput = Started | Delta | Finished | Failed
"""For each request: Started, any number of Delta, Finished; Failed may take the place of all that is left."""


class Engine(Protocol):
    """Answers requests."""

    @property
    def slots(self) -> int:
        """How many requests it works on at once; more than these are not begun."""

    @property
    def decoding(self) -> DecodingKind:
        """How these requests get their tokens."""

    @property
    def meter(self) -> CostMeter:
        """What its work has taken; it notes there what it reads and decodes, or waits for."""

    def begin(self, request: Request) -> None:
        """Take a request; what goes wrong with it comes out of `step`."""

    def step(self) -> list[EngineOutput]:
        """A bounded piece of work: a keyframe encoded, a chunk of a prompt read, or one token of each request."""

    def next_step_s(self) -> float:
        """How long the next `step` may take at most, in seconds; 0: no longer than any other stage's."""

    def has_work(self) -> bool:
        """Whether `step` has something to do."""

    def cancel(self, request_id: str) -> None:
        """Let go of a request; nothing more comes out of it."""

    def forget(self, stream: str, events: Sequence[str]) -> None:
        """Drop what is cached of these events; of the whole stream where none is named."""

    def close(self) -> None:
        """Let go of everything."""
