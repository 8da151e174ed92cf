"""Questions to a model through the reasoning stage itself, with evidence that the benchmark picks in memory's place."""

from collections.abc import Callable, Sequence
from typing import Final

from evaluation.micro.model_view import STREAM, View, clock_us
from memory.instant import instant_of
from memory.messages import Context, Coverage, Evidence, Recall, StreamCoverage
from memory.spans import Span
from memory.timewords import Moment, parse
from perception.config import ModelConfig
from perception.window import WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.engine import Delta, Failed, Request
from reasoning.local import LocalEngine, load_engine
from reasoning.messages import AnswerDone, AnswerFailed, Ask, AskedStream
from reasoning.prompt import Prompt
from reasoning.stage import ReasoningStage

_CACHE_BYTES: Final = 64 * 2**20
_START_US: Final = 1_767_225_600_000_000
_LONG_US: Final = 3_600_000_000
MAX_TOKENS: Final = 48


class Asker:
    """One reasoning stage with one model; a question at a time."""

    def __init__(self, model: ModelConfig) -> None:
        """Raises StartRefused."""
        self._config = ReasoningConfig(model, evidence_cache_bytes=_CACHE_BYTES)
        self.engine: LocalEngine = load_engine(model, _CACHE_BYTES)
        self._window = _Window()
        self._stage = ReasoningStage(self._config, self.engine, self._window, clock_us)
        self._asked = 0

    def ask(self, view: View, question: str, evidence: Sequence[Evidence], frames: int = 8) -> AnswerDone:
        """The answer from the newest `frames` of the window and this evidence. Raises RuntimeError where it fails."""
        return self.ask_memory(view, question, lambda recall: _context(recall, evidence), frames)

    def ask_memory(
        self,
        view: View,
        question: str,
        memory: Callable[[Recall], Context],
        frames: int = 8,
        span: Span | None = None,
    ) -> AnswerDone:
        """The same with what `memory` says to the recall. span: the range that is named with the question."""
        self._window.frames = view.window[-frames:]
        self._asked += 1
        # A film's frames are another's no more: what is cached of one must not answer for the other.
        self.engine.cache.clear()
        asked = _stream(view.now_us)
        now_us = clock_us()
        since_us, until_us = span or (None, None)
        self._stage.submit(
            Ask(
                f"q{self._asked}", [asked], question, since_us, until_us, MAX_TOKENS, now_us + _LONG_US, now_us,
                0.0, 0, [],
            )
        )  # fmt: skip
        while True:
            for output in self._stage.step():
                if isinstance(output, Recall):
                    self._stage.submit(memory(output))
                elif isinstance(output, AnswerDone):
                    return output
                elif isinstance(output, AnswerFailed):
                    raise RuntimeError(f"{question!r} failed: {output.fault.code}")

    def ask_blind(self, question: str) -> str:
        """The answer to the question alone, without any frame. Raises RuntimeError where it fails."""
        prompt = Prompt(self._config.system_prompt, [_stream(0)], [], [], [], [], question)
        self.engine.begin(Request("blind", prompt, MAX_TOKENS))
        said = []
        while self.engine.has_work():
            for output in self.engine.step():
                if isinstance(output, Failed):
                    raise RuntimeError(f"{question!r} failed: {output.fault.code}")
                if isinstance(output, Delta):
                    said.append(output.text)
        return "".join(said)


class _Window:
    """Implements `WindowSource` with what it is given."""

    def __init__(self) -> None:
        self.frames: Sequence[WindowFrame] = []

    def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
        """See `WindowSource.snapshot`."""
        return list(self.frames)


def _stream(now_us: int) -> AskedStream:
    return AskedStream(STREAM, 0, _START_US, now_us, "", "UTC")


def _context(recall: Recall, evidence: Sequence[Evidence]) -> Context:
    """This evidence, and what memory understands of the question."""
    coverage = [StreamCoverage(stream, Coverage("full", 0, 1, [], 0)) for stream in recall.streams]
    (now_us,) = recall.now_us
    instant_us = instant_of(parse(recall.question, Moment(now_us, _START_US, "UTC", (0, now_us))))
    return Context(
        recall.request, list(evidence), [], coverage, None, None, bool(evidence), "{}", instant_us=instant_us
    )
