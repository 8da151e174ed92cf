"""What the demo holds a server to: answers and memory of a stream, against the script of the film that was shown."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PIL import Image

from clients.api import Json
from clients.live import Reply
from training.world import SECOND, Script, Spoke, WorldQuestion

SLACK_US: Final = SECOND
"""A film is sampled: its first and last frame in memory lie this close to its ends."""
_TIMINGS: Final = ("queue_ms", "recall_ms", "prefill_ms", "ttft_ms", "total_ms")


@dataclass(frozen=True)
class Check:
    """One thing that must hold. detail: what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Moment:
    """A piece of evidence, in media time; its picture as it came."""

    start_us: int
    end_us: int
    frame_us: int | None
    score: float
    jpeg: bytes

    def proves(self, question: WorldQuestion) -> bool:
        """Whether its picture was taken (or, of unknown time, its event happened) while the truth could be seen."""
        first, last = (self.start_us, self.end_us) if self.frame_us is None else (self.frame_us, self.frame_us)
        return first < question.truth_end_us and last >= question.truth_start_us


@dataclass(frozen=True)
class Asked:
    """A question, what came back, and the moments that are to prove it."""

    question: WorldQuestion
    reply: Reply
    moments: list[Moment]

    @property
    def proved(self) -> bool:
        """Whether one of the moments is the true one."""
        return any(moment.proves(self.question) for moment in self.moments)


@dataclass(frozen=True)
class Clock:
    """Wall times of a stream to its media time. zero: the wall time of media time 0."""

    zero: datetime

    def us(self, text: str) -> int:
        """Media time of an RFC 3339 time."""
        return round((datetime.fromisoformat(text) - self.zero).total_seconds() * SECOND)


def moments_of(answer: Json, events: Sequence[Json], clock: Clock, fetch: Callable[[str], bytes]) -> list[Moment]:
    """An Answer's evidence with its pictures. fetch: an address on the server to its body."""
    times = {frame["url"]: clock.us(frame["time"]) for event in events for frame in event["frames"]}
    return [
        Moment(
            clock.us(piece["start"]),
            clock.us(piece["end"]),
            times.get(piece["frame"]),
            float(piece["score"]),
            fetch(piece["frame"]),
        )
        for piece in answer["evidence"]
    ]


def is_jpeg(data: bytes) -> bool:
    """Whether these bytes are a whole JPEG."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            return picture.format == "JPEG"
    except (OSError, ValueError):
        return False


def check_all(script: Script, asked: Sequence[Asked], events: Sequence[Json], clock: Clock) -> list[Check]:
    """Everything that an answer promises, its truth included."""
    checks = [
        _one_end(asked),
        _pieces_join(asked),
        _pictures(asked),
        _moments_inside(script, asked),
        _covered(script, asked, clock),
        _timed(asked),
        _events_listed(script, asked, events),
        _speech_heard(script, events, clock),
    ]
    return [*checks, _right(asked), _found(asked)]


def _one_end(asked: Sequence[Asked]) -> Check:
    ends = [len(one.reply.ends) + one.reply.late for one in asked]
    errors = [end["error"]["code"] for one in asked for end in one.reply.ends if end["type"] == "error"]
    detail = f"{len(asked)} questions, {sum(ends)} ends" + (f", errors: {', '.join(errors)}" if errors else "")
    return Check("exactly one end to each question", ends == [1] * len(asked) and not errors, detail)


def _pieces_join(asked: Sequence[Asked]) -> Check:
    apart = [one for one in asked if one.reply.text != one.reply.answer["answer"]]
    pieces = sum(len(one.reply.deltas) for one in asked)
    return Check("the streamed pieces are the answer", not apart, f"{pieces} pieces")


def _pictures(asked: Sequence[Asked]) -> Check:
    moments = [moment for one in asked for moment in one.moments]
    broken = [moment for moment in moments if not is_jpeg(moment.jpeg)]
    unproved = [one.question.about for one in asked if one.question.about == "past" and not one.moments]
    detail = f"{len(moments)} fetched, {len(broken)} of them broken" + (", none for the past" if unproved else "")
    return Check("evidence is there as JPEG", bool(moments) and not broken and not unproved, detail)


def _moments_inside(script: Script, asked: Sequence[Asked]) -> Check:
    moments = [moment for one in asked for moment in one.moments]
    outside = [m for m in moments if not 0 <= m.start_us <= m.end_us <= script.duration_us + SLACK_US]
    return Check("its moments lie within the film", not outside, f"{len(outside)} of {len(moments)} outside")


def _covered(script: Script, asked: Sequence[Asked], clock: Clock) -> Check:
    spans = []
    for one in asked:
        coverage = one.reply.answer["coverage"]
        if coverage["start"] is not None and coverage["end"] is not None:
            spans.append((clock.us(coverage["start"]), clock.us(coverage["end"])))
    whole = [start <= SLACK_US and end >= script.duration_us - SLACK_US for start, end in spans]
    found = ", ".join(sorted({f"{start / SECOND:.1f} to {end / SECOND:.1f} s" for start, end in spans})) or "nothing"
    return Check("memory covers the film", len(whole) == len(asked) and all(whole), found)


def _timed(asked: Sequence[Asked]) -> Check:
    timings = [one.reply.answer["timing"] for one in asked]
    good = [
        all(timing[part] >= 0 for part in _TIMINGS) and timing["ttft_ms"] <= timing["total_ms"] for timing in timings
    ]
    slowest = max(timing["ttft_ms"] for timing in timings)
    return Check("every answer says what it took", all(good), f"first token after {slowest:.0f} ms at most")


def _events_listed(script: Script, asked: Sequence[Asked], events: Sequence[Json]) -> Check:
    listed = {event["id"] for event in events}
    unknown = {piece["event"] for one in asked for piece in one.reply.answer["evidence"]} - listed
    enough = len(events) >= len(script.scenes)
    detail = f"{len(events)} events of {len(script.scenes)} scenes" + (
        f", {len(unknown)} not listed" if unknown else ""
    )
    return Check("events are listed", enough and not unknown, detail)


def _speech_heard(script: Script, events: Sequence[Json], clock: Clock) -> Check:
    heard = [(clock.us(span["start"]), clock.us(span["end"])) for event in events for span in event["speech"]]
    spoken = [event for event in script.events if isinstance(event, Spoke)]
    found = [any(start < one.end_us and end > one.start_us for start, end in heard) for one in spoken]
    return Check("speech is heard", all(found), f"{sum(found)} of {len(spoken)} voices")


def _right(asked: Sequence[Asked]) -> Check:
    right = sum(one.question.accepts(one.reply.answer["answer"]) for one in asked)
    return Check("the answers are true", right == len(asked), f"{right} of {len(asked)}")


def _found(asked: Sequence[Asked]) -> Check:
    past = [one for one in asked if one.question.about == "past"]
    found = sum(one.proved for one in past)
    return Check("recall finds the true moment", found == len(past), f"{found} of {len(past)}")
