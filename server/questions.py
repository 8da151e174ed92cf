"""Questions on their way through reasoning: admitted, sent, ended exactly once."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from perception.messages import Fault
from reasoning.costs import words_of
from reasoning.messages import AnswerDelta, AnswerDone, AnswerFailed, Ask, AskedStream, Cancel, Costs, Turn
from server.admission import Admission, Asked, most_open
from server.answers import Conversations, Done, Explained, Explains, Failed, Run
from server.core import Core
from server.errors import RequestError, internal_error, not_ready, process_lost, refusal
from server.ipc.warn import RateLimitedWarning
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
    admission: Admission = field(default_factory=Admission)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _open: dict[str, Run] = field(default_factory=dict)
    _sent: dict[str, Run] = field(default_factory=dict)
    _refused: RateLimitedWarning = field(
        default_factory=lambda: RateLimitedWarning(logger, "%d questions were refused: too many are open")
    )

    def __post_init__(self) -> None:
        self.idle.set()

    def __len__(self) -> int:
        return len(self._open)

    # ------------------------------------------------------------ asked for by doors

    def admit(self, tenant: str, entries: Sequence[StreamEntry], request: QuestionRequest) -> Run:
        """Take a question in, or refuse it at the door. Raises RequestError."""
        arrival_us = self.core.clocks.monotonic_us()
        patience_us = (request.deadline_ms or self.core.config.limits.deadline_ms) * 1000
        self._check(entries, request)
        asked = Asked(entries[0].key, words_of(request.question), request.max_tokens, arrival_us / 1e6)
        self._check_room(entries, asked)
        self._check_time(asked, patience_us / 1e6)
        run = Run(
            id=f"q_{secrets.token_hex(10)}",
            tenant=tenant,
            entries=entries,
            request=request,
            arrival_us=arrival_us,
            deadline_us=arrival_us + patience_us,
            on_leave=self.cancel,
            asked=asked,
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
            self._foretell(run.asked)
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
        if message.finish_reason != "not_covered":
            self._learn(run)
        answer = answer_reply(run.id, run.request.question, run.entries, run.text, message, run.arrival_us)
        self._end(run, Done(answer))

    def failed(self, message: AnswerFailed) -> None:
        """There will be no answer."""
        run = self._sent.get(message.question_id)
        if run is not None:
            if message.fault.code == "deadline_exceeded":
                self._learn(run)
            self._end(run, Failed(refusal(message.fault)))

    def costs(self, message: Costs) -> None:
        """What reasoning's work costs now."""
        self.admission.costs = message

    def reasoning_lost(self) -> None:
        """Every question that reasoning had ends with an error, now."""
        self.admission.forget()
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

    def _check_room(self, entries: Sequence[StreamEntry], new: Asked) -> None:
        """Refuse what is more than may be open; a place is free again when one of those ends."""
        most = self.core.config.limits.questions
        crowded = next((entry for entry in entries if entry.questions >= most), None)
        if crowded is not None:
            line = [run.asked for run in self._about(crowded)]
            self._refuse("open", f"{most} questions of a stream are open", self.admission.next_end_s(line, new.at_s))
        if len(self._open) >= most_open(most):
            said = f"{len(self._open)} questions are open"
            self._refuse("open", said, self.admission.next_end_s(self._line(), new.at_s))

    def _check_time(self, new: Asked, patience_s: float) -> None:
        """Refuse what would not be answered in time."""
        late = self.admission.judge(self._line(), new, patience_s)
        if late is None:
            return
        if late.after_s is not None:
            said = f"the questions before it leave no time to answer within {patience_s:g} s"
            self._refuse("late", said, late.after_s)
        self.core.metrics.refused.labels("late").inc()
        raise RequestError(
            "deadline_exceeded",
            f"such an answer takes about {late.takes_s:.1f} s: allow more by deadline_ms, or less by max_tokens",
        )

    def _foretell(self, asked: Asked) -> None:
        """What it is held to from now on, when it is sent: until then it waited for its own client's media."""
        asked.at_s = self.core.clocks.monotonic_us() / 1e6
        foretold = self.admission.foretell([one for one in self._line() if one is not asked], asked)
        asked.foretold_s = 0.0 if foretold is None else foretold.end_s

    def _line(self) -> list[Asked]:
        return [run.asked for run in self._open.values()]

    def _refuse(self, why: str, said: str, after_s: int) -> NoReturn:
        self.core.metrics.refused.labels(why).inc()
        self._refused()
        raise RequestError("too_many_questions", f"{said}: ask again in {after_s} s", after_s=after_s)

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
        turn = Turn(run.request.question, run.text, done.about, start_wall_us + run.now_us)
        self.conversations.add(run.tenant, run.request.conversation, streams, turn)

    def _learn(self, run: Run) -> None:
        """How right it was what was foretold of an answer; one that ran out of time took that long at least."""
        if run.asked.foretold_s > 0:
            now_s = self.core.clocks.monotonic_us() / 1e6
            self.admission.learn(run.asked.foretold_s, now_s - run.asked.at_s)

    def _observe(self, done: AnswerDone) -> None:
        metrics, timing = self.core.metrics, done.timing
        metrics.ttft.observe(timing.ttft_us / 1e6)
        metrics.recall.observe(timing.recall_us / 1e6)
        metrics.answer.observe(timing.total_us / 1e6)
