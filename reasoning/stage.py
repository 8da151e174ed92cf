"""The reasoning stage: questions in; recalls, answers token by token, and exactly one end for each question out."""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from memory.messages import Context, Coverage, Recall, StreamCoverage
from perception.messages import Fault
from perception.window import WindowFrame, WindowSource
from reasoning.config import ReasoningConfig
from reasoning.engine import Generation, LocalEngine, Prompt, Sampling, TextStream
from reasoning.evidence import EvidenceCache
from reasoning.messages import (
    AnswerDelta,
    AnswerDone,
    AnswerFailed,
    Ask,
    CachesForgotten,
    Cancel,
    EvidenceUsed,
    FinishReason,
    ForgetCaches,
    MemoryLost,
    MemoryReady,
    ReasoningInput,
    ReasoningOutput,
    Timing,
)
from reasoning.prompt import SPEECH_LINES, PromptWriter, Seen, describe
from reasoning.uncovered import uncovered_text

log = logging.getLogger(__name__)

Clock = Callable[[], int]

_EMPTY: Final = Coverage("none", -1, -1, [], 0)


@dataclass
class _Question:
    """One question on its way."""

    ask: Ask
    recall: int
    window: list[WindowFrame]
    admitted_us: int
    context: Context | None = None
    recalled_us: int = 0
    begun_us: int = 0
    first_us: int = 0
    generation: Generation | None = None
    stream: TextStream | None = None
    used: list[EvidenceUsed] = field(default_factory=list)
    newest_arrival_us: int = -1
    input_tokens: int = 0
    output_tokens: int = 0


class ReasoningStage:
    """Answers one question after the other; those that wait are recalled meanwhile."""

    def __init__(self, config: ReasoningConfig, engine: LocalEngine, window: WindowSource, clock: Clock) -> None:
        self._config, self._engine, self._window, self._clock = config, engine, window, clock
        self._writer = PromptWriter(engine.tokenizer, engine.frame_ids, config.system_prompt)
        self.cache = EvidenceCache(engine.encode, config.evidence_cache_bytes)
        self._questions: OrderedDict[str, _Question] = OrderedDict()
        self._outputs: list[ReasoningOutput] = []
        self._recalls = 0
        self._memory = True

    # ------------------------------------------------------------ in

    def submit(self, message: ReasoningInput) -> None:
        """Take a message."""
        match message:
            case Ask():
                self._admit(message)
            case Cancel(question_id):
                self._fail(question_id, "cancelled", "the question was cancelled")
            case Context():
                self._recalled(message)
            case MemoryLost():
                self._memory = False
                for question in list(self._questions.values()):
                    if question.context is None:
                        self._without_memory(question)
            case MemoryReady():
                self._memory = True
            case ForgetCaches(stream, request, events):
                self.cache.forget(stream, events)
                self._forget_contexts(stream, set(events))
                self._outputs.append(CachesForgotten(stream, request))

    def _admit(self, ask: Ask) -> None:
        """Take the now window as it is, and ask memory for the past."""
        self._recalls += 1
        window = [frame for asked in ask.streams for frame in self._window.snapshot(asked.lane, asked.stream)]
        question = _Question(ask, self._recalls, _within(window, ask, self._config.window_frames), self._clock())
        self._questions[ask.question_id] = question
        if not self._memory:
            self._without_memory(question)
            return
        self._outputs.append(
            Recall(
                self._recalls,
                [asked.stream for asked in ask.streams],
                ask.question,
                ask.since_us,
                ask.until_us,
                [asked.now_us for asked in ask.streams],
                0,
            )
        )

    def _recalled(self, context: Context) -> None:
        for question in self._questions.values():
            if question.recall == context.request and question.context is None:
                question.context, question.recalled_us = context, self._clock()

    def _without_memory(self, question: _Question) -> None:
        """Answer from the window alone, or say that the process that was needed is gone."""
        if not question.window:
            self._fail(question.ask.question_id, "process_lost", "memory is restarting; ask again in some seconds")
            return
        coverage = [StreamCoverage(asked.stream, _EMPTY) for asked in question.ask.streams]
        explain = json.dumps({"range": None, "gate": {"memory": "lost"}, "candidates": []})
        question.context = Context(question.recall, [], [], coverage, None, None, needs_past=False, explain=explain)
        question.recalled_us = self._clock()

    def _forget_contexts(self, stream: str, events: set[str]) -> None:
        """A question that was recalled but has not begun is answered without what is forgotten now."""
        for question in self._questions.values():
            if question.generation is not None:
                continue
            question.window = [frame for frame in self._still_there(question) if frame.stream != stream or events]
            if question.context is not None:
                kept = [
                    e for e in question.context.evidence if e.stream != stream or (events and e.event not in events)
                ]
                old = question.context
                question.context = Context(
                    old.request, kept, [s for s in old.speech if s.stream != stream], old.coverage, old.since_us,
                    old.until_us, old.needs_past, old.explain,
                )  # fmt: skip

    def _still_there(self, question: _Question) -> list[WindowFrame]:
        asks = question.ask
        window = [frame for asked in asks.streams for frame in self._window.snapshot(asked.lane, asked.stream)]
        return _within(window, asks, self._config.window_frames)

    # ------------------------------------------------------------ work

    def has_work(self) -> bool:
        """Whether a question can go on or something is to be said."""
        return bool(self._outputs) or any(q.context is not None for q in self._questions.values()) or self._overdue()

    def _overdue(self) -> bool:
        now_us = self._clock()
        return any(now_us >= min(q.ask.deadline_us, self._recall_by(q)) for q in self._questions.values())

    def _recall_by(self, question: _Question) -> int:
        waiting = question.context is None
        return question.admitted_us + self._config.recall_timeout_us if waiting else question.ask.deadline_us

    def step(self) -> list[ReasoningOutput]:
        """One token of the oldest question that memory has answered."""
        self._expire()
        for question in self._questions.values():
            if question.context is not None:
                self._advance(question)
                break
        outputs, self._outputs = self._outputs, []
        return outputs

    def close(self) -> list[ReasoningOutput]:
        """Every question that is open ends here."""
        for question_id in list(self._questions):
            self._fail(question_id, "process_lost", "the server is stopping; ask again")
        outputs, self._outputs = self._outputs, []
        return outputs

    def _expire(self) -> None:
        now_us = self._clock()
        for question_id, question in list(self._questions.items()):
            if now_us >= question.ask.deadline_us:
                self._fail(
                    question_id, "deadline_exceeded", "the answer was not ready in time; allow more by deadline_ms"
                )
            elif question.context is None and now_us >= self._recall_by(question):
                self._without_memory(question)

    def _advance(self, question: _Question) -> None:
        """Begin, go on or end; what goes wrong with one question is that question's end and no other's."""
        try:
            if question.generation is None and not self._begin(question):
                return
            self._decode(question)
        except (RuntimeError, ValueError, MemoryError) as error:
            log.error("question %s failed: %s", question.ask.question_id, type(error).__name__, exc_info=error)
            self._fail(question.ask.question_id, "model_unavailable", "the model failed on this question; try another")

    def _begin(self, question: _Question) -> bool:
        """Build the prompt. False: the question has ended without the model."""
        context, ask = question.context, question.ask
        assert context is not None
        if self._not_covered(context) and not question.window:
            self._finish(question, uncovered_text(context, ask), "not_covered")
            return False
        if not question.window and not context.evidence:
            if self._not_covered(context) or any(one.coverage.start_us >= 0 for one in context.coverage):
                self._finish(question, uncovered_text(context, ask), "not_covered")
            else:
                self._fail(ask.question_id, "no_frames_yet", "the stream has no frame yet; ask again when it is live")
            return False
        question.begun_us = self._clock()
        prompt = self._prompt(question, context)
        question.input_tokens = len(prompt.ids)
        question.generation = self._engine.begin(prompt, Sampling(ask.temperature, ask.seed))
        question.stream = TextStream(self._engine.tokenizer)
        return True

    def _not_covered(self, context: Context) -> bool:
        asked = context.since_us is not None or context.until_us is not None
        return asked and all(one.coverage.covered == "none" for one in context.coverage)

    def _prompt(self, question: _Question, context: Context) -> Prompt:
        ask = question.ask
        past = context.evidence
        tokens = self.cache.tokens(past)
        evidence = [Seen(one.stream, one.media_us, t) for one, t in zip(past, tokens, strict=True)]
        window = [Seen(f.stream, f.media_us, f.tokens) for f in question.window if f.tokens is not None]
        question.used = [EvidenceUsed(e.stream, e.event, e.n, e.media_us, e.start_us, e.end_us, e.score) for e in past]
        question.newest_arrival_us = max((frame.arrival_us for frame in question.window), default=-1)
        parts = describe(ask.streams, evidence, context.speech[-SPEECH_LINES:], window, ask.question)
        own = "\n".join(dict.fromkeys(asked.prompt for asked in ask.streams if asked.prompt))
        ids = self._writer.write(parts, ask.history, own)
        return Prompt(ids, [seen.tokens for seen in (*evidence, *window)])

    def _decode(self, question: _Question) -> None:
        """One token, and the end where there is one."""
        assert question.generation is not None
        assert question.stream is not None
        token = question.generation.step()
        if question.first_us == 0:
            question.first_us = self._clock()
        question.output_tokens += 1
        ended = token in self._engine.end_tokens
        delta = "" if ended else question.stream.add(token)
        full = question.output_tokens >= question.ask.max_tokens
        if ended or full:
            delta += question.stream.end()
        if delta:
            self._outputs.append(AnswerDelta(question.ask.question_id, delta))
        if ended or full:
            self._finish(question, question.stream.text, "stop" if ended else "length", said=True)

    # ------------------------------------------------------------ ends

    def _finish(self, question: _Question, text: str, reason: FinishReason, *, said: bool = False) -> None:
        ask, now_us = question.ask, self._clock()
        if not said:
            question.first_us = now_us
            self._outputs.append(AnswerDelta(ask.question_id, text))
        context = question.context
        begun_us = question.begun_us or now_us
        timing = Timing(
            queue_us=max(0, begun_us - question.recalled_us),
            recall_us=max(0, question.recalled_us - question.admitted_us),
            prefill_us=max(0, question.first_us - begun_us),
            ttft_us=question.first_us - ask.arrival_us,
            total_us=now_us - ask.arrival_us,
        )
        coverage = {one.stream: one.coverage for one in context.coverage} if context is not None else {}
        self._outputs.append(
            AnswerDone(
                ask.question_id, text, reason, question.used, [coverage.get(a.stream, _EMPTY) for a in ask.streams],
                question.newest_arrival_us, timing, question.input_tokens, question.output_tokens,
                context.explain if context is not None else "",
            )
        )  # fmt: skip
        self._questions.pop(ask.question_id, None)

    def _fail(self, question_id: str, code: str, message: str) -> None:
        if self._questions.pop(question_id, None) is not None:
            self._outputs.append(AnswerFailed(question_id, Fault(code, message)))


def _within(window: list[WindowFrame], ask: Ask, frames: int) -> list[WindowFrame]:
    """The newest frames of each stream; of an explicit range only those that lie in it."""
    since = ask.since_us if ask.since_us is not None else -1
    until = ask.until_us if ask.until_us is not None else 2**62
    inside = [frame for frame in window if since <= frame.media_us < until]
    share = max(1, frames // len(ask.streams))
    kept: list[WindowFrame] = []
    for asked in ask.streams:
        kept += [frame for frame in inside if frame.stream == asked.stream][-share:]
    return kept
