"""The reasoning stage: questions in; recalls, answers piece by piece, and exactly one end for each question out."""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from memory.caption_messages import ToCaption
from memory.messages import Context, Earlier, Evidence, Recall
from perception.messages import Fault
from perception.window import WindowFrame, WindowSource
from reasoning.captioning import Captioner
from reasoning.config import ReasoningConfig
from reasoning.counted import counted_text
from reasoning.engine import Delta, Engine, EngineOutput, Failed, Finished, Request, Started
from reasoning.messages import (
    AnswerDelta,
    AnswerFailed,
    Ask,
    CachesForgotten,
    Cancel,
    DecodingKind,
    FinishReason,
    ForgetCaches,
    MemoryLost,
    MemoryReady,
    ReasoningInput,
    ReasoningOutput,
)
from reasoning.prompt import Prompt
from reasoning.question import Question, asked_range, end_of_memory, is_uncovered, within, without_memory
from reasoning.shown import at_instant
from reasoning.sought import is_plain, sought
from reasoning.uncovered import uncovered_text

log = logging.getLogger(__name__)

Clock = Callable[[], int]

_TELL_EVERY_US: Final = 250_000
"""Between two words about what questions cost."""

_CANCELLED: Final = Fault("cancelled", "the question was cancelled")
_FORGOTTEN: Final = Fault("cancelled", "what the answer rests on was forgotten meanwhile: ask again")
_LATE: Final = Fault("deadline_exceeded", "the answer was not ready in time: allow more by deadline_ms")
_LOST: Final = Fault("process_lost", "memory, which this question needs, is restarting: ask again in a moment")
_NO_FRAMES: Final = Fault("no_frames_yet", "there is no frame yet: ask again when the stream is live")
_STOPPING: Final = Fault("draining", "the server is stopping: ask again in a moment")
_TOO_MANY: Final = Fault("too_many_questions", "too many questions are open: wait for some of them to end")


class ReasoningStage:
    """Hands questions to its engine, as many as that works on at once; the others are recalled meanwhile."""

    def __init__(self, config: ReasoningConfig, engine: Engine, window: WindowSource, clock: Clock) -> None:
        self._config, self._engine, self._window, self._clock = config, engine, window, clock
        self._inbox: deque[ReasoningInput] = deque()
        self._outputs: list[ReasoningOutput] = []
        self._open: OrderedDict[str, Question] = OrderedDict()
        self._begun: set[str] = set()
        # A predecessor's recalls, which memory may still answer, had smaller numbers.
        self._recalls = clock()
        self._memory = True
        self._captions = Captioner(engine, config.system_prompt, config.captions)
        self._told_us = -_TELL_EVERY_US

    @property
    def decoding(self) -> DecodingKind:
        """See `Engine.decoding`."""
        return self._engine.decoding

    # ------------------------------------------------------------ the four verbs

    def submit(self, message: ReasoningInput) -> None:
        """Take a message; never blocks."""
        self._inbox.append(message)

    def has_work(self) -> bool:
        """Whether a question can go on, something came in, or a time has passed."""
        return (
            bool(self._inbox or self._outputs)
            or self._engine.has_work()
            or self._next_ready() is not None
            or self._is_overdue()
            or self._is_idle()
        )

    def step(self) -> list[ReasoningOutput]:
        """All that came in, then one piece of the engine's work: at most one token of each question."""
        while self._inbox:
            self._take(self._inbox.popleft())
        self._expire()
        self._begin_ready()
        if self._is_idle():
            self._outputs += self._captions.go_on()
        if self._engine.has_work():
            for output in self._engine.step():
                self._relay(output)
            self._tell_costs()
        return self._flush()

    def next_step_s(self) -> float:
        """How long the next step may take at most, in seconds; 0: no longer than any other stage's."""
        return self._engine.next_step_s()

    def end_leisure(self) -> None:
        """No more captions."""
        self._captions.end()

    def close(self) -> list[ReasoningOutput]:
        """Every question that is open ends here."""
        while self._inbox:
            self._take(self._inbox.popleft())
        for question in list(self._open.values()):
            self._fail(question, _STOPPING)
        self._engine.close()
        return self._flush()

    def _flush(self) -> list[ReasoningOutput]:
        outputs, self._outputs = self._outputs, []
        return outputs

    # ------------------------------------------------------------ in

    def _take(self, message: ReasoningInput) -> None:
        match message:
            case Ask():
                self._admit(message)
            case Cancel(question_id):
                if question_id in self._open:
                    self._fail(self._open[question_id], _CANCELLED)
            case Context():
                self._recalled(message)
            case ToCaption():
                self._captions.take(message)
            case MemoryLost():
                self._memory = False
                self._captions.memory_lost()
                for question in self._waiting():
                    self._go_on_without_memory(question, "lost")
            case MemoryReady():
                self._memory = True
                self._captions.memory_ready()
            case ForgetCaches():
                self._forget(message)

    def _admit(self, ask: Ask) -> None:
        if ask.question_id in self._open:
            log.error("question %s came twice", ask.question_id)
            return
        question = Question(ask, self._clock())
        if len(self._open) >= self._config.max_open_questions:
            self._outputs.append(AnswerFailed(ask.question_id, _TOO_MANY))
            return
        self._open[ask.question_id] = question
        self._outputs += self._captions.put_off(self._clock())
        self._look_and_recall(question)

    def _look_and_recall(self, question: Question) -> None:
        """The window as it is now, and a recall that runs while others are answered."""
        question.context = None
        question.searched_end = False
        question.window = self._look(question.ask)
        self._recall(question, question.ask.since_us, question.ask.until_us)

    def _recall(self, question: Question, since_us: int | None, until_us: int | None) -> None:
        self._recalls += 1
        question.recall, question.recall_sent_us = self._recalls, self._clock()
        if not self._memory:
            self._go_on_without_memory(question, "lost")
            return
        streams, text = question.ask.streams, sought(question.ask.question)
        names, now_us = [one.stream for one in streams], [one.now_us for one in streams]
        earlier = tuple(Earlier(turn.question, turn.answer, turn.about) for turn in question.ask.history)
        before = question.ask.history[-1].asked_wall_us if question.ask.history else None
        self._outputs.append(Recall(question.recall, names, text, since_us, until_us, now_us, 0, earlier, before))

    def _look(self, ask: Ask) -> list[WindowFrame]:
        """The newest frames of each stream, fewer where many are asked; of an explicit range what lies in it."""
        share = max(1, self._config.window_frames // max(1, len(ask.streams)))
        span = asked_range(ask, None)
        seen: list[WindowFrame] = []
        for asked in ask.streams:
            frames = within(self._window.snapshot(asked.lane, asked.stream), span)
            seen += [self._shared(frame) for frame in frames[-share:]]
        return seen

    def _shared(self, frame: WindowFrame) -> WindowFrame:
        """The same frame with the bytes that another open question holds already, so that waiting costs no memory."""
        for question in self._open.values():
            for other in question.window:
                if other.stream == frame.stream and other.jpeg == frame.jpeg and other.tokens == frame.tokens:
                    return msgspec.structs.replace(frame, jpeg=other.jpeg, tokens=other.tokens)
        return frame

    def _recalled(self, context: Context) -> None:
        question = next((one for one in self._waiting() if one.recall == context.request), None)
        if question is None:
            return
        asked = {one.stream for one in question.ask.streams}
        evidence = [kept for kept in context.evidence if kept.stream in asked]
        speech = [line for line in context.speech if line.stream in asked]
        context = msgspec.structs.replace(context, evidence=evidence, speech=speech)
        span = end_of_memory(context.coverage)
        if not (question.window or evidence or question.searched_end) and span is not None:
            # The stream is offline and the gate kept the past out: then the last that was seen is what there is.
            question.searched_end = True
            if asked_range(question.ask, context) is None:
                self._recall(question, *span)
                return
        question.context, question.recalled_us = context, self._clock()

    def _go_on_without_memory(self, question: Question, why: str) -> None:
        if not question.window:
            self._fail(question, _LOST)
            return
        question.context, question.recalled_us = without_memory(question, why), self._clock()

    def _waiting(self) -> list[Question]:
        return [question for question in self._open.values() if question.context is None]

    def _forget(self, message: ForgetCaches) -> None:
        """Drop what is cached; questions on their way that may rest on it look and recall anew, or end."""
        self._engine.forget(message.stream, message.events)
        self._captions.forget(message.stream, message.events)
        for question in list(self._open.values()):
            if all(asked.stream != message.stream for asked in question.ask.streams):
                continue
            if question.said:
                self._fail(question, _FORGOTTEN)
                continue
            self._let_go(question)
            self._look_and_recall(question)
        self._outputs.append(CachesForgotten(message.stream, message.request))

    # ------------------------------------------------------------ work

    def _is_idle(self) -> bool:
        """Whether there is time for a caption."""
        return self._memory and not self._open and self._captions.is_due(self._clock())

    def _is_overdue(self) -> bool:
        now_us = self._clock()
        return any(now_us >= self._due_us(question) for question in self._open.values())

    def _due_us(self, question: Question) -> int:
        if question.context is not None:
            return question.ask.deadline_us
        return min(question.ask.deadline_us, question.recall_sent_us + self._config.recall_timeout_us)

    def _expire(self) -> None:
        now_us = self._clock()
        for question in list(self._open.values()):
            if now_us >= question.ask.deadline_us:
                self._fail(question, _LATE)
            elif now_us >= self._due_us(question):
                self._go_on_without_memory(question, "late")

    def _next_ready(self) -> Question | None:
        if len(self._begun) >= self._engine.slots:
            return None
        ready = [one for one in self._open.values() if one.context is not None and one.id not in self._begun]
        # The first to come, of the streams that are answered least: one that asks a lot waits for itself.
        return min(ready, key=self._answered_beside, default=None)

    def _answered_beside(self, question: Question) -> int:
        """How many questions about its streams are being answered now."""
        streams = {asked.stream for asked in question.ask.streams}
        begun = (self._open[name] for name in self._begun)
        return sum(any(asked.stream in streams for asked in one.ask.streams) for one in begun)

    def _begin_ready(self) -> None:
        while (question := self._next_ready()) is not None and question.context is not None:
            question.begun_us = self._clock()
            if is_uncovered(question):
                self._say(question, uncovered_text(question.ask, question.context))
                self._finish(question, "not_covered", 0)
            elif question.context.counted and is_plain(question.ask.question):
                self._say(question, counted_text(question.ask, question.context))
                self._finish(question, "stop", 0)
            elif not question.window and not question.context.evidence:
                self._end_without_frames(question, question.context)
            else:
                self._hand_over(question, question.context)

    def _end_without_frames(self, question: Question, context: Context) -> None:
        """Memory may span the range and still hold no frame of it: in a gap, or before the first event is kept."""
        if end_of_memory(context.coverage) is None:
            self._fail(question, _NO_FRAMES)
            return
        self._say(question, uncovered_text(question.ask, context))
        self._finish(question, "not_covered", 0)

    def _hand_over(self, question: Question, context: Context) -> None:
        ask = question.ask
        own = "\n".join(dict.fromkeys(asked.prompt for asked in ask.streams if asked.prompt))
        evidence: Sequence[Evidence] = context.evidence
        window: Sequence[WindowFrame] = question.window
        if context.instant_us is not None:
            evidence, window = at_instant(evidence, window, context.instant_us)
        prompt = Prompt(
            system="\n".join(text for text in (self._config.system_prompt, own) if text),
            streams=ask.streams,
            history=ask.history,
            evidence=evidence,
            speech=context.speech,
            window=window,
            question=ask.question,
        )
        self._begun.add(question.id)
        self._engine.begin(Request(question.id, prompt, ask.max_tokens, ask.temperature, ask.seed))

    # ------------------------------------------------------------ out

    def _relay(self, output: EngineOutput) -> None:
        told = self._captions.relay(output)
        if told is not None:
            self._outputs += told
            return
        question = self._open.get(output.id)
        if question is None:
            return
        match output:
            case Started(_, prompt, input_tokens):
                question.prompt, question.input_tokens = prompt, input_tokens
                self._engine.meter.note_prompt(input_tokens, question.ask.question)
            case Delta(_, text):
                self._say(question, text)
            case Finished(_, reason, output_tokens):
                if output.input_tokens is not None:
                    question.input_tokens = output.input_tokens
                self._engine.meter.note_answer(output_tokens, ended=reason == "stop")
                self._finish(question, reason, output_tokens)
            case Failed(_, fault):
                self._fail(question, fault)

    def _say(self, question: Question, text: str) -> None:
        if question.first_us is None:
            question.first_us = self._clock()
        question.said.append(text)
        self._outputs.append(AnswerDelta(question.id, text))

    def _tell_costs(self) -> None:
        now_us = self._clock()
        if now_us - self._told_us < _TELL_EVERY_US:
            return
        costs = self._engine.meter.costs()
        if costs is not None:
            self._told_us = now_us
            self._outputs.append(costs)

    def _finish(self, question: Question, reason: FinishReason, output_tokens: int) -> None:
        self._let_go(question, ended=True)
        self._outputs.append(question.done(reason, self._clock(), output_tokens))

    def _fail(self, question: Question, fault: Fault) -> None:
        self._let_go(question, ended=True)
        self._outputs.append(AnswerFailed(question.id, fault))

    def _let_go(self, question: Question, *, ended: bool = False) -> None:
        """Take a question from the engine; and out of the table, where it has ended."""
        if question.id in self._begun:
            self._begun.discard(question.id)
            self._engine.cancel(question.id)
        if ended:
            self._open.pop(question.id, None)
            self._captions.put_off(self._clock())
