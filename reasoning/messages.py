"""What reasoning takes and gives. For each `Ask`: some `AnswerDelta`, then one `AnswerDone` or `AnswerFailed`."""

from typing import Literal

import msgspec

from memory.caption_messages import Captioned, CaptionPutOff, ToCaption, WantCaption
from memory.messages import About, Context, Coverage, Recall
from perception.messages import Fault, Message

FinishReason = Literal["stop", "length", "not_covered"]

DecodingKind = Literal["together", "apart", "elsewhere"]
"""How questions that are open at once get their tokens: in one pass of the model for all; in turn, where the model's
cache cannot be shared; by a server elsewhere."""


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """An earlier question of the same conversation and its answer; about: `AnswerDone.about`; asked_wall_us: Unix time
    that it was asked at."""

    question: str
    answer: str
    about: About | None = None
    asked_wall_us: int | None = None


class AskedStream(msgspec.Struct, frozen=True, array_like=True):
    """A stream that is asked: its lane in the window slab, wall time of media time 0, its own 'now', prompt and zone.

    now_us: media time of this moment: the newest frame's for a file, the clock's for a camera.
    """

    stream: str
    lane: int
    start_wall_us: int
    now_us: int
    prompt: str
    time_zone: str


class Ask(Message, frozen=True):
    """A question. arrival_us and deadline_us are the machine's monotonic clock; temperature 0 means greedy."""

    question_id: str
    streams: list[AskedStream]
    question: str
    since_us: int | None
    until_us: int | None
    max_tokens: int
    deadline_us: int
    arrival_us: int
    temperature: float
    seed: int
    history: list[Turn]


class Cancel(Message, frozen=True):
    """Nobody waits for this answer: it ends with `AnswerFailed` (code `cancelled`) within one step."""

    question_id: str


class MemoryLost(Message, frozen=True):
    """Memory died: recalls under way get no answer."""


class MemoryReady(Message, frozen=True):
    """Memory answers recalls again."""


class ForgetCaches(Message, frozen=True):
    """Drop all that is cached of these events (empty list: of the whole stream); answered by `CachesForgotten`."""

    stream: str
    request: int
    events: list[str]


ReasoningInput = Ask | Cancel | Context | ToCaption | MemoryLost | MemoryReady | ForgetCaches


class EvidenceUsed(msgspec.Struct, frozen=True, array_like=True):
    """A keyframe that was in the prompt."""

    stream: str
    event: str
    n: int
    media_us: int
    start_us: int
    end_us: int
    score: float


class Timing(msgspec.Struct, frozen=True, array_like=True):
    """Where the time of an answer went, in microseconds; ttft and total count from `Ask.arrival_us`."""

    queue_us: int
    recall_us: int
    prefill_us: int
    ttft_us: int
    total_us: int


class AnswerDelta(Message, frozen=True):
    """More of the answer's text."""

    question_id: str
    text: str


class AnswerDone(Message, frozen=True):
    """The answer is complete. newest_arrival_us: arrival of the newest frame in the prompt, -1 if there was none.

    coverage: one entry for each stream that was asked, in the order of `Ask.streams`. about: the time that "that" means
    in a question that follows; None where there was none.
    """

    question_id: str
    text: str
    finish_reason: FinishReason
    evidence: list[EvidenceUsed]
    coverage: list[Coverage]
    newest_arrival_us: int
    timing: Timing
    input_tokens: int
    output_tokens: int
    explain: str
    about: About | None = None


class AnswerFailed(Message, frozen=True):
    """There will be no answer."""

    question_id: str
    fault: Fault


class CachesForgotten(Message, frozen=True):
    """Answer to `ForgetCaches`."""

    stream: str
    request: int


class EngineReady(Message, frozen=True):
    """Sent once, before the first question is taken: what the server tells about the engine."""

    decoding: DecodingKind


class Costs(Message, frozen=True):
    """What a question costs now, in seconds; sent when it has changed, a few times a second at most.

    read_s: a token of a prompt; tokens: of a prompt besides the question's own words; encode_s: its keyframes;
    elsewhere_s: until a model elsewhere gives the first token; step_s[n]: one token of each of n + 1 answers, one entry
    for each slot; end_rate: the chance that an answer ends by itself at any token.
    """

    read_s: float
    tokens: float
    encode_s: float
    elsewhere_s: float
    step_s: list[float]
    end_rate: float


ReasoningOutput = (
    AnswerDelta | AnswerDone | AnswerFailed | CachesForgotten | Captioned | CaptionPutOff | Costs | EngineReady | Recall
    | WantCaption
)  # fmt: skip
