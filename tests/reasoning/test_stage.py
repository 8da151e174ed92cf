"""The stage as the server sees it: one end for each question, in time, from nothing that was forgotten."""

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from memory.messages import (
    About,
    Context,
    Coverage,
    Earlier,
    Evidence,
    GapRecord,
    Occurred,
    Recall,
    SpeechLine,
    StreamCoverage,
)
from perception.messages import Fault
from perception.window import LocalWindow, WindowFrame
from reasoning.config import ReasoningConfig
from reasoning.costs import CostMeter
from reasoning.engine import Delta, EngineOutput, Failed, Finished, Request, Started
from reasoning.messages import (
    AnswerDelta,
    AnswerDone,
    AnswerFailed,
    CachesForgotten,
    Cancel,
    Costs,
    EvidenceUsed,
    ForgetCaches,
    MemoryLost,
    MemoryReady,
    ReasoningOutput,
    Timing,
    Turn,
)
from reasoning.prompt import Prompt
from reasoning.stage import ReasoningStage

S = 1_000_000
CAM, YARD = "default/cam", "default/yard"
BROKEN = Fault("model_unavailable", "the model failed")


class ScriptedEngine:
    """Says what its script holds for a question, one entry a step; `prefill` steps of silence come before."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.meter = CostMeter(slots)
        self.prefill = 0
        self.scripts: dict[str, list[str | Fault]] = {}
        self.shown: dict[str, Prompt] = {}
        self.requests: list[Request] = []
        self.cancelled: list[str] = []
        self.forgotten: list[tuple[str, list[str]]] = []
        self.closed = False
        self._left: dict[str, deque[list[EngineOutput]]] = {}

    def begin(self, request: Request) -> None:
        assert request.id not in self._left
        assert len(self._left) < self.slots
        self.requests.append(request)
        script = self.scripts.get(request.id, ["A", " man", "."])
        shown = self.shown.get(request.id, request.prompt)
        steps: list[list[EngineOutput]] = [[] for _ in range(self.prefill)]
        steps.append([Started(request.id, shown, 40)])
        for said in script:
            steps.append([Failed(request.id, said) if isinstance(said, Fault) else Delta(request.id, said)])
        if not isinstance(script[-1], Fault):
            steps[-1].append(Finished(request.id, "stop", len(script)))
        self._left[request.id] = deque(steps)

    def step(self) -> list[EngineOutput]:
        outputs: list[EngineOutput] = []
        for name in list(self._left):
            outputs += self._left[name].popleft()
            if not self._left[name]:
                del self._left[name]
        return outputs

    def next_step_s(self) -> float:
        return 0.0

    def has_work(self) -> bool:
        return bool(self._left)

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)
        self._left.pop(request_id, None)

    def forget(self, stream: str, events: Sequence[str]) -> None:
        self.forgotten.append((stream, list(events)))

    def close(self) -> None:
        self._left.clear()
        self.closed = True


class Bench:
    """A stage with its engine, window and clock; all that came out."""

    def __init__(self, tools: Any, slots: int = 1, **settings: Any) -> None:
        self.tools = tools
        self.now_us = 10 * S
        self.engine = ScriptedEngine(slots)
        self.window = LocalWindow(16)
        config = ReasoningConfig(model=None, system_prompt="Watch.", **settings)  # type: ignore[arg-type]
        self.stage = ReasoningStage(config, self.engine, self.window, lambda: self.now_us)
        self.outputs: list[ReasoningOutput] = []

    def see(self, *seconds: float, stream: str = CAM, lane: int = 0, arrival_us: int = 7) -> None:
        for second in seconds:
            self.window.push(lane, self.tools.frame(second, stream, arrival_us))

    def give(self, *messages: Any) -> list[ReasoningOutput]:
        """Hand in and step once."""
        for message in messages:
            self.stage.submit(message)
        outputs = self.stage.step()
        self.outputs += outputs
        return outputs

    def run(self, *messages: Any) -> list[ReasoningOutput]:
        """Hand in and step until there is nothing left to do."""
        for message in messages:
            self.stage.submit(message)
        outputs: list[ReasoningOutput] = []
        for _ in range(200):
            if not self.stage.has_work():
                self.outputs += outputs
                return outputs
            outputs += self.stage.step()
        raise AssertionError("the stage never rests")

    def recalled(self, *messages: Any, **changed: Any) -> Context:
        """Hand in what leads to a recall; memory's answer to it."""
        [recall] = [one for one in self.give(*messages) if isinstance(one, Recall)]
        return context(recall, **changed)


def context(recall: Recall, **changed: Any) -> Context:
    """An answer of memory that spans the first ninety seconds and holds nothing."""
    fields: dict[str, Any] = {
        "evidence": [],
        "speech": [],
        "coverage": [covered("full", name) for name in recall.streams],
        "since_us": recall.since_us,
        "until_us": recall.until_us,
        "needs_past": False,
        "explain": '{"gate": 0.1}',
    }
    return Context(recall.request, **(fields | changed))


def covered(how: Any, stream: str = CAM, start: int = 0, end: int = 90) -> StreamCoverage:
    gaps = [GapRecord(1, 2, "offline")] if how == "partial" else []
    return StreamCoverage(stream, Coverage(how, start * S, end * S, gaps, S))


def empty(stream: str = CAM) -> StreamCoverage:
    return StreamCoverage(stream, Coverage("none", -1, -1, [], 0))


def only(outputs: Sequence[Any], kind: type) -> Any:
    [found] = [one for one in outputs if isinstance(one, kind)]
    return found


def ends(outputs: Sequence[Any], name: str = "q_1") -> list[Any]:
    return [one for one in outputs if isinstance(one, AnswerDone | AnswerFailed) and one.question_id == name]


def said(outputs: Sequence[Any], name: str = "q_1") -> str:
    return "".join(one.text for one in outputs if isinstance(one, AnswerDelta) and one.question_id == name)


def check_each_ended_once(outputs: Sequence[Any], names: Sequence[str]) -> None:
    for name in names:
        assert len(ends(outputs, name)) == 1, name
        own = [one for one in outputs if getattr(one, "question_id", None) == name]
        assert own[-1] == ends(outputs, name)[0], name
        if isinstance(own[-1], AnswerDone):
            assert said(outputs, name) == own[-1].text, name


@pytest.fixture
def bench(tools: Any) -> Bench:
    """A stage that sees one camera."""
    bench = Bench(tools)
    bench.see(98, 99, 100)
    return bench


# -------------------------------------------------------------------- an answer


def test_a_question_is_recalled_and_answered_piece_by_piece(bench: Bench, tools: Any) -> None:
    [recall] = bench.give(tools.ask(since_us=3, until_us=200 * S))
    assert recall == Recall(recall.request, [CAM], "Who came in?", 3, 200 * S, [100 * S], limit=0)
    assert not bench.stage.has_work()
    kept = tools.evidence(20, "e_5", 2)
    outputs = bench.run(context(recall, evidence=[kept]))
    assert [one.text for one in outputs if isinstance(one, AnswerDelta)] == ["A", " man", "."]
    done = only(outputs, AnswerDone)
    assert (done.text, done.finish_reason, done.input_tokens, done.output_tokens) == ("A man.", "stop", 40, 3)
    assert done.evidence == [EvidenceUsed(CAM, "e_5", 2, 20 * S, 15 * S, 25 * S, 0.5)]
    assert done.coverage == [covered("full").coverage]
    assert done.explain == '{"gate": 0.1}'
    check_each_ended_once(bench.outputs, ["q_1"])


def test_a_step_brings_one_piece_of_the_engines_work(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    bench.engine.prefill = 2
    lengths = [len(bench.give(answer))]
    while bench.stage.has_work():
        lengths.append(len(bench.give()))
    # Two of prefill, the start, two tokens, and the last with the end.
    assert lengths == [0, 0, 0, 1, 1, 2]


def test_the_engine_gets_the_question_with_all_that_belongs_to_it(bench: Bench, tools: Any) -> None:
    stream = msgspec.structs.replace(tools.asked(), prompt="A shop.")
    line = SpeechLine(CAM, 5, 6, "hello")
    asked = tools.ask(
        streams=[stream], max_tokens=9, temperature=0.5, seed=4, history=[Turn("Open?", "Yes.")], question="And?"
    )
    kept = tools.evidence(20)
    bench.run(bench.recalled(asked, evidence=[kept], speech=[line]))
    [request] = bench.engine.requests
    assert (request.id, request.max_tokens, request.temperature, request.seed) == ("q_1", 9, 0.5, 4)
    frames = [tools.frame(second) for second in (98, 99, 100)]
    shown = Prompt("Watch.\nA shop.", [stream], [Turn("Open?", "Yes.")], [kept], [line], frames, "And?")
    assert request.prompt == shown


def test_the_same_prompt_of_several_streams_stands_once(bench: Bench, tools: Any) -> None:
    streams = [
        msgspec.structs.replace(tools.asked(name, lane), prompt=prompt)
        for lane, (name, prompt) in enumerate([(CAM, "A shop."), (YARD, "A shop."), ("default/b", "B")])
    ]
    bench.run(bench.recalled(tools.ask(streams=streams)))
    assert bench.engine.requests[0].prompt.system == "Watch.\nA shop.\nB"


def test_the_window_is_shared_out_among_the_streams(tools: Any) -> None:
    bench = Bench(tools, window_frames=4)
    bench.see(*range(90, 100))
    bench.see(*range(80, 90), stream=YARD, lane=1)
    streams = [tools.asked(), tools.asked(YARD, 1)]
    bench.run(bench.recalled(tools.ask("one")))
    bench.run(bench.recalled(tools.ask("two", streams)))
    bench.run(bench.recalled(tools.ask("five", [*streams, *(tools.asked(f"default/{n}", n) for n in (2, 3, 4))])))
    seen = [[(f.stream, f.media_us // S) for f in request.prompt.window] for request in bench.engine.requests]
    assert seen == [
        [(CAM, 96), (CAM, 97), (CAM, 98), (CAM, 99)],
        [(CAM, 98), (CAM, 99), (YARD, 88), (YARD, 89)],
        [(CAM, 99), (YARD, 89)],
    ]


def test_of_an_explicit_range_only_its_own_frames_are_shown(bench: Bench, tools: Any) -> None:
    bench.run(bench.recalled(tools.ask(since_us=98 * S, until_us=100 * S)))
    assert [f.media_us // S for f in bench.engine.requests[0].prompt.window] == [98, 99]


def test_of_one_instant_the_nearest_frame_and_the_newest_are_shown(bench: Bench, tools: Any) -> None:
    kept = [tools.evidence(20, "e_1"), tools.evidence(30, "e_2")]
    done = only(bench.run(bench.recalled(tools.ask(), evidence=kept, instant_us=21 * S)), AnswerDone)
    [request] = bench.engine.requests
    assert [f.media_us // S for f in request.prompt.window] == [100]
    assert [used.event for used in done.evidence] == ["e_1"]


def test_the_window_is_that_of_the_moment_of_the_question(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    bench.see(101)
    bench.run(answer)
    assert bench.engine.requests[0].prompt.window[-1].media_us == 100 * S


def test_evidence_and_speech_of_a_stream_that_was_not_asked_are_left_out(bench: Bench, tools: Any) -> None:
    foreign = [tools.evidence(20, stream=YARD), tools.evidence(30)]
    speech = [SpeechLine(YARD, 1, 2, "secret"), SpeechLine(CAM, 1, 2, "open")]
    outputs = bench.run(bench.recalled(tools.ask(), evidence=foreign, speech=speech))
    assert [kept.stream for kept in only(outputs, AnswerDone).evidence] == [CAM]
    assert [line.text for line in bench.engine.requests[0].prompt.speech] == ["open"]


def test_the_answer_names_only_the_evidence_that_was_shown(bench: Bench, tools: Any) -> None:
    kept = [tools.evidence(20, "e_1"), tools.evidence(30, "e_2")]
    answer = bench.recalled(tools.ask(), evidence=kept)
    smaller = Prompt("", [tools.asked()], [], kept[1:], [], [tools.frame(99, arrival_us=5)], "?")
    bench.engine.shown["q_1"] = smaller
    done = only(bench.run(answer), AnswerDone)
    assert [used.event for used in done.evidence] == ["e_2"]
    assert done.newest_arrival_us == 5


def test_staleness_counts_from_the_newest_arrival_in_the_window(tools: Any) -> None:
    bench = Bench(tools)
    bench.see(99, arrival_us=50)
    bench.see(100, arrival_us=70)
    bench.see(100, stream=YARD, lane=1, arrival_us=90)
    bench.run(bench.recalled(tools.ask("one")))
    bench.window.renew(0, 101 * S, 120)
    bench.run(bench.recalled(tools.ask("renewed")))
    bench.run(bench.recalled(tools.ask("both", [tools.asked(YARD, 1), tools.asked()])))
    bench.run(bench.recalled(tools.ask("past", since_us=0, until_us=50 * S), evidence=[tools.evidence(20)]))
    newest = {one.question_id: one.newest_arrival_us for one in bench.outputs if isinstance(one, AnswerDone)}
    assert newest == {"one": 70, "renewed": 120, "both": 120, "past": -1}


def test_the_time_of_an_answer_is_told_in_parts(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask(arrival_us=9 * S))  # A second before it was taken.
    bench.now_us += 300
    bench.engine.prefill = 1
    bench.give(answer)
    bench.now_us += 50_000
    bench.give()
    assert not said(bench.outputs)
    bench.now_us += 4000
    bench.give()
    bench.now_us += 1000
    done = only(bench.run(), AnswerDone)
    assert done.timing == Timing(queue_us=S, recall_us=300, prefill_us=54_000, ttft_us=S + 54_300, total_us=S + 55_300)


def test_waiting_for_another_answer_counts_as_queue(bench: Bench, tools: Any) -> None:
    first, second = tools.ask(arrival_us=10 * S), tools.ask("q_2", arrival_us=10 * S)
    recalls = [one for one in bench.give(first, second) if isinstance(one, Recall)]
    bench.give(*map(context, recalls))
    bench.now_us += 5000
    bench.run()
    assert ends(bench.outputs, "q_2")[0].timing.queue_us == 5000
    assert ends(bench.outputs)[0].timing.queue_us == 0


# -------------------------------------------------------------------- turns


def test_as_many_questions_as_the_engine_has_slots_are_begun(tools: Any) -> None:
    for slots, expected in ((1, ["q_0"]), (2, ["q_0", "q_1"])):
        bench = Bench(tools, slots)
        bench.see(100)
        recalls = bench.give(*(tools.ask(f"q_{n}") for n in range(4)))
        bench.give(*map(context, recalls))  # type: ignore[arg-type]
        assert [request.id for request in bench.engine.requests] == expected
        bench.run()
        assert [request.id for request in bench.engine.requests] == ["q_0", "q_1", "q_2", "q_3"]
        check_each_ended_once(bench.outputs, ["q_0", "q_1", "q_2", "q_3"])


def test_a_stream_that_is_asked_a_lot_waits_for_itself(tools: Any) -> None:
    bench = Bench(tools, 2)
    bench.see(100)
    bench.see(100, stream=YARD, lane=1)
    yard = [tools.asked(YARD, 1)]
    recalls = bench.give(*(tools.ask(f"q_{n}") for n in range(3)), tools.ask("q_yard", yard))
    bench.give(*map(context, recalls))  # type: ignore[arg-type]
    assert [request.id for request in bench.engine.requests] == ["q_0", "q_yard"]
    bench.run()
    assert [request.id for request in bench.engine.requests] == ["q_0", "q_yard", "q_1", "q_2"]
    check_each_ended_once(bench.outputs, ["q_0", "q_1", "q_2", "q_yard"])


def test_who_has_its_recall_first_goes_first(bench: Bench, tools: Any) -> None:
    first, second = bench.give(tools.ask("slow"), tools.ask("fast"))
    assert isinstance(first, Recall)
    assert isinstance(second, Recall)
    bench.run(context(second))
    bench.run(context(first))
    assert [request.id for request in bench.engine.requests] == ["fast", "slow"]


def test_open_questions_are_bounded_and_the_next_ones_refused(tools: Any) -> None:
    bench = Bench(tools, max_open_questions=2)
    bench.see(100)
    outputs = bench.give(*(tools.ask(f"q_{n}") for n in range(3)))
    assert [one.fault.code for one in ends(outputs, "q_2")] == ["too_many_questions"]
    assert len([one for one in outputs if isinstance(one, Recall)]) == 2
    bench.run(Cancel("q_0"))
    outputs = bench.give(tools.ask("q_3"))
    assert isinstance(outputs[0], Recall)


def test_a_name_that_is_open_is_not_asked_twice_and_may_come_again_later(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    assert bench.give(tools.ask(question="Another?")) == []
    bench.run(answer)
    assert len(ends(bench.outputs)) == 1
    bench.run(bench.recalled(tools.ask(question="Another?")))
    assert [request.prompt.question for request in bench.engine.requests] == ["Who came in?", "Another?"]
    assert len(ends(bench.outputs)) == 2


def test_questions_that_wait_hold_the_same_pictures_once(tools: Any) -> None:
    bench = Bench(tools)

    class Copying(LocalWindow):
        def snapshot(self, lane: int, stream: str) -> list[WindowFrame]:
            frames = super().snapshot(lane, stream)
            return [msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=WindowFrame) for one in frames]

    bench.window = bench.stage._window = Copying(4)
    bench.window.push(0, tools.frame(99, seed=1))
    bench.window.push(0, tools.frame(100, seed=2))
    recalls = bench.give(tools.ask("q_0"))
    bench.window.renew(0, 101 * S, 8)
    recalls += bench.give(tools.ask("q_1"))
    bench.run(*map(context, recalls))  # type: ignore[arg-type]
    first, second = (request.prompt.window for request in bench.engine.requests)
    assert [one.media_us // S for one in (*first, *second)] == [99, 100, 99, 101]
    assert second[-1].arrival_us == 8
    assert all(a.jpeg is b.jpeg and a.tokens is b.tokens for a, b in zip(first, second, strict=True))


# -------------------------------------------------------------------- ends that are no answer


@pytest.mark.parametrize("when", ["recalled", "prefill", "said"])
def test_a_deadline_ends_a_question_wherever_it_is(bench: Bench, tools: Any, when: str) -> None:
    bench.engine.prefill = 2
    answer = bench.recalled(tools.ask(deadline_us=11 * S))
    if when != "recalled":
        bench.give(answer)
    if when == "said":
        while not said(bench.outputs):
            bench.give()
    bench.now_us = 11 * S - 1
    bench.give()
    assert ends(bench.outputs) == []
    bench.now_us += 1
    assert bench.stage.has_work()
    [failed] = ends(bench.give())
    assert failed.fault.code == "deadline_exceeded"
    assert bench.run(answer) == []
    assert bench.engine.cancelled == ([] if when == "recalled" else ["q_1"])


def test_a_deadline_passes_while_another_is_answered(bench: Bench, tools: Any) -> None:
    recalls = bench.give(tools.ask(), tools.ask("q_2", deadline_us=11 * S))
    bench.give(*map(context, recalls))  # type: ignore[arg-type]
    bench.now_us = 12 * S
    bench.run()
    assert ends(bench.outputs, "q_2")[0].fault.code == "deadline_exceeded"
    assert ends(bench.outputs)[0].text == "A man."
    check_each_ended_once(bench.outputs, ["q_1", "q_2"])


def test_a_question_that_comes_too_late_ends_at_once(bench: Bench, tools: Any) -> None:
    [failed] = ends(bench.run(tools.ask(deadline_us=bench.now_us)))
    assert failed.fault.code == "deadline_exceeded"


@pytest.mark.parametrize("steps", range(5))
def test_a_cancelled_question_ends_within_one_step_and_nothing_follows(bench: Bench, tools: Any, steps: int) -> None:
    bench.engine.prefill = 1
    answer = bench.recalled(tools.ask())
    for n in range(steps):
        bench.give(*([answer] if n == 0 else []))
    assert ends(bench.outputs) == []
    outputs = bench.give(Cancel("q_1"))
    assert [one.fault.code for one in outputs if isinstance(one, AnswerFailed)] == ["cancelled"]
    assert len(outputs) == 1
    assert not bench.engine.has_work()
    assert bench.run(answer, Cancel("q_1")) == []


def test_a_question_cancelled_as_it_comes_ends_once(bench: Bench, tools: Any) -> None:
    outputs = bench.run(tools.ask(), Cancel("q_1"))
    assert [one.fault.code for one in ends(outputs)] == ["cancelled"]
    assert bench.run(context(only(outputs, Recall))) == []
    assert bench.engine.requests == []


def test_a_cancel_of_an_unknown_question_does_nothing(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    assert bench.give(Cancel("q_9")) == []
    bench.run(answer, Cancel("q_9"))
    assert ends(bench.outputs)[0].text == "A man."


def test_what_an_engine_still_says_after_the_end_is_not_passed_on(bench: Bench, tools: Any) -> None:
    bench.engine.cancel = bench.engine.cancelled.append  # type: ignore[method-assign]
    answer = bench.recalled(tools.ask())
    bench.give(answer)
    bench.give()
    outputs = bench.run(Cancel("q_1"))
    assert ends(outputs) == outputs


@pytest.mark.parametrize("before", [[], ["A", " man"]])
def test_a_failure_of_the_engine_is_the_end_of_that_question_alone(
    bench: Bench, tools: Any, before: list[str | Fault]
) -> None:
    bench.engine.scripts["q_1"] = [*before, BROKEN]
    recalls = bench.give(tools.ask(), tools.ask("q_2"))
    outputs = bench.run(*map(context, recalls))  # type: ignore[arg-type]
    assert ends(outputs) == [AnswerFailed("q_1", BROKEN)]
    assert ends(outputs, "q_2")[0].text == "A man."
    check_each_ended_once(bench.outputs, ["q_1", "q_2"])


def test_closing_ends_every_open_question(bench: Bench, tools: Any) -> None:
    recalls = bench.give(*(tools.ask(f"q_{n}") for n in range(3)))
    bench.give(*map(context, recalls[:2]))  # type: ignore[arg-type]
    bench.give()
    bench.stage.submit(tools.ask("q_3"))
    bench.outputs += bench.stage.close()
    for n in range(4):
        assert [one.fault.code for one in ends(bench.outputs, f"q_{n}")] == ["draining"]
    check_each_ended_once(bench.outputs, [f"q_{n}" for n in range(4)])
    assert bench.engine.closed
    assert not bench.stage.has_work()
    assert bench.stage.step() == bench.stage.close() == []


# -------------------------------------------------------------------- what memory holds


@pytest.mark.parametrize("explicit", [True, False])
def test_a_time_that_nothing_covers_is_said_so_without_a_model(bench: Bench, tools: Any, explicit: bool) -> None:
    span = {"since_us": 1, "until_us": 2 * S}
    answer = bench.recalled(tools.ask(**(span if explicit else {})), **span, coverage=[covered("none", end=80)])
    outputs = bench.run(answer)
    done = only(outputs, AnswerDone)
    assert done.finish_reason == "not_covered"
    assert (done.evidence, done.newest_arrival_us, done.output_tokens) == ([], -1, 0)
    assert done.coverage == [covered("none", end=80).coverage]
    # The stream's media time 0 is 07:33:20 on its wall.
    assert done.text == ("My memory does not cover the time that you ask about. My memory spans 07:33:20 to 07:34:40.")
    assert said(outputs) == done.text
    assert bench.engine.requests == []


def test_each_stream_says_what_it_spans(tools: Any) -> None:
    bench = Bench(tools)
    streams = [tools.asked(), tools.asked(YARD, 1)]
    asked = tools.ask(streams=streams, since_us=0, until_us=S)
    done = only(bench.run(bench.recalled(asked, coverage=[empty(YARD), covered("none", start=10, end=80)])), AnswerDone)
    assert done.text.endswith("My memory of cam spans 07:33:30 to 07:34:40. My memory of yard is empty.")
    assert [one.covered for one in done.coverage] == ["none", "none"]
    assert [one.end_us for one in done.coverage] == [80 * S, -1]


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({}, {"coverage": [covered("none")]}),
        ({"since_us": 98 * S}, {"coverage": [covered("none")]}),
        ({"since_us": 0, "until_us": S}, {"coverage": [covered("partial")]}),
    ],
)
def test_what_the_window_or_a_part_of_memory_covers_is_asked_of_the_model(
    bench: Bench, tools: Any, asked: dict[str, Any], changed: dict[str, Any]
) -> None:
    evidence = [tools.evidence(1)] if changed["coverage"][0].coverage.covered == "partial" else []
    done = only(bench.run(bench.recalled(tools.ask(**asked), evidence=evidence, **changed)), AnswerDone)
    assert (done.finish_reason, done.text) == ("stop", "A man.")


def test_a_range_that_only_the_window_holds_is_covered_in_part(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask(since_us=95 * S, until_us=101 * S), coverage=[covered("none")])
    assert only(bench.run(answer), AnswerDone).coverage[0].covered == "partial"


def test_a_range_in_a_gap_of_memory_is_not_covered(tools: Any) -> None:
    bench = Bench(tools)
    answer = bench.recalled(tools.ask(since_us=0, until_us=S), coverage=[covered("partial")])
    done = only(bench.run(answer), AnswerDone)
    assert (done.finish_reason, done.evidence, bench.engine.requests) == ("not_covered", [], [])


def test_a_stream_that_never_had_a_frame_is_told_apart(tools: Any) -> None:
    bench = Bench(tools)
    [failed] = ends(bench.run(bench.recalled(tools.ask(), coverage=[empty()])))
    assert failed.fault.code == "no_frames_yet"


def test_a_stream_that_is_offline_is_answered_from_the_end_of_its_memory(tools: Any) -> None:
    bench = Bench(tools)
    [recall] = bench.give(bench.recalled(tools.ask()))
    assert isinstance(recall, Recall)
    assert (recall.since_us, recall.until_us) == (30 * S, 90 * S + 1)
    kept = tools.evidence(85)
    done = only(bench.run(context(recall, evidence=[kept])), AnswerDone)
    assert [used.media_us for used in done.evidence] == [85 * S]
    assert (done.finish_reason, done.newest_arrival_us) == ("stop", -1)


def test_the_end_of_memory_is_looked_at_once(tools: Any) -> None:
    bench = Bench(tools)
    outputs = bench.run(bench.recalled(tools.ask()))
    outputs = bench.run(context(only(outputs, Recall)))
    assert only(outputs, AnswerDone).finish_reason == "not_covered"


@pytest.mark.parametrize("request_id", [0, 2, 99])
def test_an_answer_to_an_unknown_recall_is_ignored(bench: Bench, tools: Any, request_id: int) -> None:
    answer = bench.recalled(tools.ask())
    assert bench.run(msgspec.structs.replace(answer, request=request_id)) == []
    assert bench.engine.requests == []
    assert ends(bench.run(answer))[0].text == "A man."


def test_a_second_answer_to_a_recall_is_ignored(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    bench.give(answer)
    again = msgspec.structs.replace(answer, evidence=[tools.evidence(20)], explain="{}")
    done = only(bench.run(again), AnswerDone)
    assert (done.evidence, done.explain, len(bench.engine.requests)) == ([], '{"gate": 0.1}', 1)


def test_a_recall_that_ended_question_had_is_ignored(bench: Bench, tools: Any) -> None:
    old = bench.recalled(tools.ask())
    bench.run(Cancel("q_1"))
    new = bench.recalled(tools.ask())
    assert bench.run(msgspec.structs.replace(old, evidence=[tools.evidence(20)])) == []
    assert only(bench.run(new), AnswerDone).evidence == []


def test_a_memory_that_is_slow_is_not_waited_for_where_there_is_a_window(bench: Bench, tools: Any) -> None:
    late = bench.recalled(tools.ask(), evidence=[tools.evidence(20)])
    bench.now_us += 2 * S - 1
    assert not bench.stage.has_work()
    bench.now_us += 1
    assert bench.stage.has_work()
    done = only(bench.run(), AnswerDone)
    assert (done.text, done.evidence, done.explain) == ("A man.", [], '{"memory": "late"}')
    assert done.coverage == [empty().coverage]
    assert bench.run(late) == []


def test_a_question_about_the_past_fails_where_memory_is_slow(tools: Any) -> None:
    bench = Bench(tools)
    bench.give(tools.ask())
    bench.now_us += 2 * S
    assert [one.fault.code for one in ends(bench.run())] == ["process_lost"]


def test_a_memory_that_dies_is_not_waited_for(bench: Bench, tools: Any) -> None:
    old = bench.recalled(tools.ask())
    away = tools.asked("default/away", 5)
    bench.give(tools.ask("q_2", [away]))
    outputs = bench.run(MemoryLost(), tools.ask("q_3"))
    assert [one for one in outputs if isinstance(one, Recall)] == []
    assert [one.fault.code for one in ends(outputs, "q_2")] == ["process_lost"]
    for name in ("q_1", "q_3"):
        assert (ends(outputs, name)[0].text, ends(outputs, name)[0].explain) == ("A man.", '{"memory": "lost"}')
    assert bench.run(MemoryReady(), old) == []
    bench.recalled(tools.ask("q_4"))


def test_a_memory_that_dies_is_no_loss_to_who_has_its_recall(bench: Bench, tools: Any) -> None:
    bench.give(bench.recalled(tools.ask(), evidence=[tools.evidence(20)]))
    done = only(bench.run(MemoryLost()), AnswerDone)
    assert len(done.evidence) == 1


# -------------------------------------------------------------------- forgetting


def test_forgetting_is_answered_and_passed_to_the_engine(bench: Bench) -> None:
    assert bench.run(ForgetCaches(CAM, 4, ["e_1"]), ForgetCaches(YARD, 5, [])) == [
        CachesForgotten(CAM, 4),
        CachesForgotten(YARD, 5),
    ]
    assert bench.engine.forgotten == [(CAM, ["e_1"]), (YARD, [])]


@pytest.mark.parametrize("when", ["recalled", "waiting", "prefill"])
def test_no_answer_rests_on_what_was_forgotten_before_its_first_word(bench: Bench, tools: Any, when: str) -> None:
    if when == "waiting":
        bench.engine.scripts["q_0"] = ["x"] * 9
        bench.give(bench.recalled(tools.ask("q_0", [tools.asked(YARD, 1)]), evidence=[tools.evidence(9, stream=YARD)]))
    bench.engine.prefill = 1
    old = bench.recalled(tools.ask(), evidence=[tools.evidence(20, "e_1")])
    if when != "recalled":
        bench.give(old)
    bench.window.wipe(0, 99 * S, 200 * S)
    outputs = bench.give(ForgetCaches(CAM, 4, ["e_1"]))
    assert only(outputs, CachesForgotten) == CachesForgotten(CAM, 4)
    assert bench.engine.cancelled == (["q_1"] if when == "prefill" else [])
    bench.run(old)
    assert ends(bench.outputs) == []
    bench.run(context(only(outputs, Recall), evidence=[tools.evidence(30, "e_2")]))
    check_each_ended_once(bench.outputs, ["q_1"])
    assert [used.event for used in ends(bench.outputs)[0].evidence] == ["e_2"]
    assert [one.media_us // S for one in bench.engine.requests[-1].prompt.window] == [98]


def test_an_answer_that_has_begun_ends_when_something_is_forgotten(bench: Bench, tools: Any) -> None:
    bench.give(bench.recalled(tools.ask(), evidence=[tools.evidence(20)]))
    while not said(bench.outputs):
        bench.give()
    outputs = bench.run(ForgetCaches(CAM, 4, ["e_1"]))
    assert [one.fault.code for one in ends(outputs)] == ["cancelled"]
    assert only(outputs, CachesForgotten).request == 4
    check_each_ended_once(bench.outputs, ["q_1"])


def test_questions_about_other_streams_go_on_undisturbed(bench: Bench, tools: Any) -> None:
    bench.give(bench.recalled(tools.ask(), evidence=[tools.evidence(20)]))
    outputs = bench.run(ForgetCaches(YARD, 4, []))
    assert len(only(outputs, AnswerDone).evidence) == 1
    assert [one for one in outputs if isinstance(one, Recall)] == []


def test_a_question_that_is_asked_after_forgetting_is_answered(bench: Bench, tools: Any) -> None:
    bench.run(ForgetCaches(CAM, 4, []))
    done = only(bench.run(bench.recalled(tools.ask(), evidence=[tools.evidence(30, "e_2")])), AnswerDone)
    assert [used.event for used in done.evidence] == ["e_2"]


def test_the_order_of_messages_is_kept_in_one_step(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask(), evidence=[tools.evidence(20, "e_1")])
    outputs = bench.give(answer, ForgetCaches(CAM, 4, ["e_1"]))
    assert isinstance(outputs[0], Recall)
    assert bench.engine.requests == []


# -------------------------------------------------------------------- everything at once


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_each_question_ends_once_and_its_deltas_are_its_text(tools: Any, seed: int) -> None:
    dice = random.Random(seed)
    bench = Bench(tools, slots=dice.randint(1, 3), max_open_questions=6)
    bench.engine.prefill = dice.randint(0, 2)
    if dice.random() < 0.8:
        bench.see(98, 99, 100)
    names: list[str] = []
    forgotten: set[str] = set()
    unanswered: list[Recall] = []
    asked_at: dict[str, set[str]] = {}
    for step in range(250):
        now = list(bench.give(*chance(bench, dice, step, names, forgotten, unanswered)))
        unanswered += [one for one in now if isinstance(one, Recall)]
        for name in names:
            asked_at.setdefault(name, set(forgotten))
        for done in (one for one in now if isinstance(one, AnswerDone)):
            assert not {used.event for used in done.evidence} & asked_at[done.question_id]
    bench.outputs += bench.stage.close()
    assert len(names) > 20
    check_each_ended_once(bench.outputs, names)


def chance(
    bench: Bench, dice: random.Random, step: int, names: list[str], forgotten: set[str], unanswered: list[Recall]
) -> list[Any]:
    """Something that may happen next."""
    bench.now_us += dice.choice((0, 1000, 300_000))
    luck = dice.random()
    if luck < 0.25:
        names.append(f"q_{step}")
        if dice.random() < 0.2:
            bench.engine.scripts[names[-1]] = ["Oh", BROKEN]
        span = {"since_us": 0, "until_us": S} if dice.random() < 0.3 else {}
        deadline_us = bench.now_us + dice.choice((S, 60 * S))
        streams = [bench.tools.asked()] if dice.random() < 0.8 else [bench.tools.asked(YARD, 1)]
        return [bench.tools.ask(names[-1], streams, deadline_us=deadline_us, **span)]
    if luck < 0.6 and unanswered:
        recall = unanswered.pop(dice.randrange(len(unanswered)))
        events = [name for name in (f"e_{step - 5}", f"e_{step}") if name not in forgotten]
        kept: list[Evidence] = [bench.tools.evidence(20, name, stream=recall.streams[0]) for name in events]
        coverage = [dice.choice((covered("none", recall.streams[0]), covered("full", recall.streams[0])))]
        return [context(recall, evidence=kept if dice.random() < 0.6 else [], coverage=coverage)]
    if luck < 0.65 and names:
        return [Cancel(dice.choice(names[-5:]))]
    if luck < 0.7:
        forgotten.add(f"e_{step - dice.randint(0, 8)}")
        return [ForgetCaches(CAM, step, sorted(forgotten))]
    if luck < 0.75:
        return [dice.choice((MemoryLost(), MemoryReady()))]
    return []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ([10], "Once, at 07:33:30."),
        ([10, 20, 65], "3 times: at 07:33:30, 07:33:40 and 07:34:25."),
        (list(range(0, 90, 5)), "18 times, the first at 07:33:20, the last at 07:34:45."),
    ],
)
def test_how_often_is_told_from_the_event_list(tools: Any, seconds: list[int], text: str) -> None:
    bench = Bench(tools)
    bench.see(99, 100)
    kept = tools.evidence(10)
    counted = [Occurred(CAM, n * S, (n + 2) * S) for n in seconds]
    answer = bench.recalled(tools.ask(question="How many times did it ring?"), counted=counted, evidence=[kept])
    done = only(bench.run(answer), AnswerDone)
    assert (done.text, done.finish_reason, bench.engine.requests) == (text, "stop", [])
    assert [one.event for one in done.evidence] == [kept.event]


# -------------------------------------------------------------------- a conversation


def test_earlier_questions_go_along_to_memory(bench: Bench, tools: Any) -> None:
    about = About(tools.start_wall_us + 5 * S, tools.start_wall_us + 6 * S, named=True)
    turns = [Turn("Is it open?", "Yes."), Turn("Since when?", "Since ten.", about)]
    [recall] = bench.give(tools.ask(history=turns, question="And before that?"))
    assert recall.earlier == (Earlier("Is it open?", "Yes.", None), Earlier("Since when?", "Since ten.", about))


def test_an_answer_says_what_that_means_behind_it(bench: Bench, tools: Any) -> None:
    about = About(tools.start_wall_us + 5 * S, tools.start_wall_us + 6 * S, named=True)
    outputs = bench.run(bench.recalled(tools.ask(), evidence=[tools.evidence(20)], about=about))
    assert only(outputs, AnswerDone).about == about
    now = only(bench.run(bench.recalled(tools.ask("q_2"))), AnswerDone).about
    assert now == About(tools.start_wall_us + 100 * S, tools.start_wall_us + 100 * S + 1, named=False)


# -------------------------------------------------------------------- costs


def test_what_questions_cost_is_told_now_and_then(bench: Bench, tools: Any) -> None:
    answer = bench.recalled(tools.ask())
    bench.engine.meter.note_step(1, 0.02)
    bench.run(answer)
    costs = only(bench.outputs, Costs)
    assert costs.step_s == [0.02]
    bench.run(bench.recalled(tools.ask("again")))
    assert only(bench.outputs, Costs) == costs
    bench.now_us += 250_000
    bench.run(bench.recalled(tools.ask("later")))
    told = [one for one in bench.outputs if isinstance(one, Costs)]
    # Forty tokens of which three are the question's own words; answers of three tokens that end by themselves.
    assert len(told) == 2
    assert told[1].tokens == pytest.approx(37, abs=1)
    assert told[1].end_rate > costs.end_rate
