"""Questions on their way through reasoning: admitted, sent, ended exactly once."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from perception.messages import Fault
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, Ask, AskedStream, Cancel, Turn
from server.answers import Conversations, Done, Explained, Explains, Failed, Run
from server.core import Core
from server.errors import RequestError, internal_error, not_ready, process_lost, refusal
from server.protocol import QuestionRequest, QuestionsRequest
from server.streams import Registry, StreamEntry
from server.times import parse_range
from server.views import answer_reply

logger = logging.getLogger(__name__)

DEADLINE_GRACE_S = 0.25
"""Reasoning keeps the deadline itself; this is for one that cannot."""

_OUTCOMES = {"cancelled": "cancelled", "process_lost": "process_lost", "deadline_exceeded": "deadline_exceeded"}


@dataclass
class Questions:
    """The table of open questions."""

    core: Core
    registry: Registry
    explains: Explains = field(default_factory=Explains)
    conversations: Conversations = field(default_factory=Conversations)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _open: dict[str, Run] = field(default_factory=dict)
    _sent: dict[str, Run] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.idle.set()

    def __len__(self) -> int:
        return len(self._open)

    # ------------------------------------------------------------ asked for by doors

    def admit(self, tenant: str, entries: Sequence[StreamEntry], request: QuestionRequest) -> Run:
        """Take a question in, or refuse it at the door. Raises RequestError."""
        self._check(entries, request)
        arrival_us = self.core.clocks.monotonic_us()
        patience_us = (request.deadline_ms or self.core.config.limits.deadline_ms) * 1000
        run = Run(
            id=f"q_{secrets.token_hex(10)}",
            tenant=tenant,
            entries=entries,
            request=request,
            arrival_us=arrival_us,
            deadline_us=arrival_us + patience_us,
            on_leave=self.cancel,
        )
        self._open[run.id] = run
        self.idle.clear()
        for entry in entries:
            entry.questions += 1
        loop = asyncio.get_running_loop()
        run.timer = loop.call_later(patience_us / 1e6 + DEADLINE_GRACE_S, self._expire, run)
        self.core.metrics.questions_in_flight.inc()
        return run

    def begin(self, run: Run) -> None:
        """Send an admitted question to reasoning. Raises RequestError; whatever it raises, the question has ended."""
        try:
            self._set_range(run)
            self._send(run)
        except Exception as error:
            self._end(run, Failed(error if isinstance(error, RequestError) else internal_error()))
            raise

    def cancel(self, run: Run) -> None:
        """Nobody waits for the answer."""
        self._fail(run, Fault("cancelled", "the question was cancelled"))

    def refuse(self, run: Run, error: RequestError) -> None:
        """An admitted question cannot be sent."""
        self._end(run, Failed(error))

    def end_all(self, fault: Fault) -> None:
        """No question is answered any more."""
        for run in self.open_runs():
            self._fail(run, fault)

    def open_runs(self) -> list[Run]:
        """Questions that have not ended."""
        return list(self._open.values())

    def many(self, tenant: str, request: QuestionsRequest) -> list[StreamEntry]:
        """The streams that a question names. Raises RequestError stream_not_found, no_frames_yet."""
        if request.streams is None:
            entries = self.registry.of_tenant(tenant)
        else:
            entries = [self.registry.find(tenant, name, "streams") for name in dict.fromkeys(request.streams)]
        if not entries:
            raise RequestError("no_frames_yet", "there is no stream: add one first", "streams")
        return entries

    # ------------------------------------------------------------ told by stages

    def delta(self, message: AnswerDelta) -> None:
        """More of an answer."""
        run = self._sent.get(message.question_id)
        if run is not None:
            run.add(message.text)

    def done(self, message: AnswerDone) -> None:
        """An answer is complete."""
        run = self._sent.get(message.question_id)
        if run is None:
            return
        rest = message.text[len(run.text) :] if message.text.startswith(run.text) else ""
        if run.text + rest != message.text:
            logger.error("an answer is not the sum of its deltas", extra={"request": run.id})
        if rest:
            run.add(rest)
        self._remember(run, message)
        self._observe(message)
        answer = answer_reply(run.id, run.request.question, run.entries, run.text, message, run.arrival_us)
        self._end(run, Done(answer))

    def failed(self, message: AnswerFailed) -> None:
        """There will be no answer."""
        run = self._sent.get(message.question_id)
        if run is not None:
            self._end(run, Failed(refusal(message.fault)))

    def reasoning_lost(self) -> None:
        """Every question that reasoning had ends with an error, now."""
        for run in list(self._sent.values()):
            self._end(run, Failed(process_lost("reasoning")))

    # ------------------------------------------------------------ told by forgetting

    def stream_gone(self, entry: StreamEntry) -> None:
        """A stream is being deleted: its questions end."""
        for run in self._about(entry):
            self._fail(run, Fault("stream_not_found", "the stream was deleted"), drop_waiting=True)

    def ask_again(self, entry: StreamEntry) -> None:
        """Memory was forgotten under open questions: what nobody has read of yet is asked anew, the rest ends."""
        for run in self._about(entry):
            if run.sent_as is None:
                continue
            if run.text:
                fault = Fault("cancelled", "memory that the answer may rest on was forgotten: ask again")
                self._fail(run, fault, drop_waiting=True)
                continue
            self._withdraw(run)
            try:
                self._send(run)
            except RequestError as error:
                self._end(run, Failed(error))

    # ------------------------------------------------------------ inside

    def _check(self, entries: Sequence[StreamEntry], request: QuestionRequest) -> None:
        limits = self.core.config.limits
        if self.core.draining:
            raise RequestError("draining", "the server is stopping: ask again in a moment")
        if len(request.question.encode()) > limits.question_bytes:
            message = f"a question has at most {limits.question_bytes} bytes"
            raise RequestError("too_large", message, "question")
        if not self.core.is_ready("reasoning"):
            raise not_ready("reasoning")
        if any(entry.questions >= limits.questions for entry in entries):
            raise RequestError("too_many_questions", f"{limits.questions} questions of a stream are open: wait")

    def _set_range(self, run: Run) -> None:
        """Read the asked range on the first stream's clock; see `Ask`."""
        if not any(entry.can_answer for entry in run.entries):
            raise RequestError("no_frames_yet", "there is no frame yet: ask again when the stream is live")
        first = run.entries[0].clock(self.core.clocks)
        run.since_us, run.until_us = parse_range(run.request.since, run.request.until, first)
        run.now_us = first.now_us

    def _send(self, run: Run) -> None:
        run.attempt += 1
        name = run.id if run.attempt == 1 else f"{run.id}.{run.attempt}"
        request = run.request
        ask = Ask(
            question_id=name,
            streams=[self._asked(entry) for entry in run.entries],
            question=request.question,
            since_us=run.since_us,
            until_us=run.until_us,
            max_tokens=request.max_tokens,
            deadline_us=run.deadline_us,
            arrival_us=run.arrival_us,
            temperature=request.temperature,
            seed=request.seed,
            history=self.conversations.history(run.tenant, request.conversation),
        )
        self.core.send("reasoning", ask)
        run.sent_as = name
        self._sent[name] = run

    def _asked(self, entry: StreamEntry) -> AskedStream:
        declaration, clock = entry.declaration, entry.clock(self.core.clocks)
        return AskedStream(
            stream=entry.key,
            lane=entry.lane,
            start_wall_us=clock.start_wall_us,
            now_us=clock.now_us,
            prompt=declaration.prompt or "",
            time_zone=declaration.time_zone or self.core.config.time_zone,
        )

    def _withdraw(self, run: Run) -> None:
        """Tell reasoning to stop; what it still says of this attempt finds nobody."""
        if run.sent_as is None:
            return
        del self._sent[run.sent_as]
        if self.core.is_ready("reasoning"):
            self.core.host.send("reasoning", Cancel(run.sent_as))
        run.sent_as = None

    def _fail(self, run: Run, fault: Fault, drop_waiting: bool = False) -> None:
        if not run.ended:
            self._withdraw(run)
            self._end(run, Failed(refusal(fault)), drop_waiting)

    def _expire(self, run: Run) -> None:
        self._fail(run, Fault("deadline_exceeded", "no answer in time: allow more with deadline_ms, or ask for less"))

    def _end(self, run: Run, terminal: Done | Failed, drop_waiting: bool = False) -> None:
        if self._open.pop(run.id, None) is None:
            return
        if run.sent_as is not None:
            del self._sent[run.sent_as]
            run.sent_as = None
        if run.timer is not None:
            run.timer.cancel()
        for entry in run.entries:
            entry.questions -= 1
        self.core.metrics.questions_in_flight.dec()
        outcome = "done" if isinstance(terminal, Done) else _OUTCOMES.get(terminal.error.code, "error")
        self.core.metrics.questions.labels(outcome).inc()
        run.end(terminal, drop_waiting)
        if not self._open:
            self.idle.set()

    def _about(self, entry: StreamEntry) -> list[Run]:
        return [run for run in self.open_runs() if entry in run.entries]

    def _remember(self, run: Run, done: AnswerDone) -> None:
        streams = frozenset(entry.key for entry in run.entries)
        start_wall_us = run.entries[0].declaration.start_wall_us
        self.explains.add(
            run.id,
            Explained(run.tenant, streams, start_wall_us, run.since_us, run.until_us, run.now_us, done.explain),
        )
        turn = Turn(run.request.question, run.text, start_wall_us + run.now_us)
        self.conversations.add(run.tenant, run.request.conversation, streams, turn)

    def _observe(self, done: AnswerDone) -> None:
        metrics, timing = self.core.metrics, done.timing
        metrics.ttft.observe(timing.ttft_us / 1e6)
        metrics.recall.observe(timing.recall_us / 1e6)
        metrics.answer.observe(timing.total_us / 1e6)
