"""One question on its way through reasoning, and what follows from the range that it is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from memory.messages import FOREVER_US, About, Context, Coverage, Evidence, StreamCoverage
from perception.window import WindowFrame
from reasoning.messages import AnswerDone, Ask, EvidenceUsed, FinishReason, Timing
from reasoning.prompt import Prompt

NOTHING = Coverage("none", -1, -1, [], 0)
_LAST_US = 60_000_000
"""How much of memory's end is looked at when there is nothing else to look at."""


@dataclass
class Question:
    """Admitted, recalled, begun, said: the later fields fill up on the way. Times are of the monotonic clock."""

    ask: Ask
    admitted_us: int
    window: list[WindowFrame] = field(default_factory=list)
    recall: int = -1
    recall_sent_us: int = 0
    searched_end: bool = False
    context: Context | None = None
    recalled_us: int = 0
    begun_us: int | None = None
    first_us: int | None = None
    prompt: Prompt | None = None
    input_tokens: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The caller's name of it."""
        return self.ask.question_id

    def done(self, reason: FinishReason, now_us: int, output_tokens: int) -> AnswerDone:
        """The answer, from what was said and shown."""
        shown = self.prompt
        return AnswerDone(
            question_id=self.id,
            text="".join(self.said),
            finish_reason=reason,
            evidence=[used(kept) for kept in self._evidence()],
            coverage=self._coverage(),
            newest_arrival_us=max((f.arrival_us for f in shown.window), default=-1) if shown is not None else -1,
            timing=self._timing(now_us),
            input_tokens=self.input_tokens,
            output_tokens=output_tokens,
            explain=self.context.explain if self.context is not None else "{}",
            about=self._about(),
        )

    def _evidence(self) -> Sequence[Evidence]:
        """What the answer rests on: what the model was shown, or, of a count, some of what was counted."""
        if self.prompt is not None:
            return self.prompt.evidence
        return self.context.evidence if self.context is not None and self.context.counted else []

    def _about(self) -> About | None:
        """What memory understood; of a question about now, the newest frame that was shown."""
        if self.context is not None and self.context.about is not None:
            return self.context.about
        starts = {asked.stream: asked.start_wall_us for asked in self.ask.streams}
        shown = self.prompt.window if self.prompt is not None else []
        newest = max((starts[frame.stream] + frame.media_us for frame in shown), default=None)
        return None if newest is None else About(newest, newest + 1, named=False)

    def _coverage(self) -> list[Coverage]:
        known = {one.stream: one.coverage for one in self.context.coverage} if self.context is not None else {}
        found = [known.get(asked.stream, NOTHING) for asked in self.ask.streams]
        if self.prompt is None or asked_range(self.ask, self.context) is None:
            return found
        # Memory does not know the window: what lies there of the asked range is covered after all.
        seen = {frame.stream for frame in self.prompt.window}
        return [
            msgspec.structs.replace(one, covered="partial")
            if one.covered == "none" and asked.stream in seen and self.ask.since_us is not None
            else one
            for asked, one in zip(self.ask.streams, found, strict=True)
        ]

    def _timing(self, now_us: int) -> Timing:
        begun = self.begun_us if self.begun_us is not None else self.recalled_us
        first = self.first_us if self.first_us is not None else now_us
        return Timing(
            queue_us=max(0, begun - self.recalled_us) + max(0, self.admitted_us - self.ask.arrival_us),
            recall_us=max(0, self.recalled_us - self.admitted_us),
            prefill_us=max(0, first - begun),
            ttft_us=max(0, first - self.ask.arrival_us),
            total_us=max(0, now_us - self.ask.arrival_us),
        )


def used(kept: Evidence) -> EvidenceUsed:
    """A keyframe as the answer names it."""
    return EvidenceUsed(kept.stream, kept.event, kept.n, kept.media_us, kept.start_us, kept.end_us, kept.score)


def asked_range(ask: Ask, context: Context | None) -> tuple[int, int] | None:
    """The range that the question is about: the caller's own, else the one that memory understood, else None."""
    since, until = ask.since_us, ask.until_us
    if since is None and until is None and context is not None:
        since, until = context.since_us, context.until_us
    if since is None and until is None:
        return None
    return (since if since is not None else 0, until if until is not None else FOREVER_US)


def within(frames: Iterable[WindowFrame], span: tuple[int, int] | None) -> list[WindowFrame]:
    """The frames inside a range; all of them where there is none."""
    return [frame for frame in frames if span is None or span[0] <= frame.media_us < span[1]]


def is_uncovered(question: Question) -> bool:
    """Whether a range was asked of which neither memory nor the window has anything."""
    context = question.context
    if context is None:
        return False
    span = asked_range(question.ask, context)
    if span is None or context.evidence or within(question.window, span):
        return False
    return all(one.coverage.covered == "none" for one in context.coverage)


def end_of_memory(coverage: Sequence[StreamCoverage]) -> tuple[int, int] | None:
    """The last minute that memory holds, None where it is empty."""
    end = max((one.coverage.end_us for one in coverage), default=-1)
    return (max(0, end - _LAST_US), end + 1) if end >= 0 else None


def without_memory(question: Question, why: str) -> Context:
    """What a question goes on with when memory does not answer."""
    coverage = [StreamCoverage(asked.stream, NOTHING) for asked in question.ask.streams]
    return Context(question.recall, [], [], coverage, None, None, False, f'{{"memory": "{why}"}}')
