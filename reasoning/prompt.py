"""What a question is answered from, and the one form in which every model is shown it.

The user's message, which the embedded model is trained on; each frame on a line of its own behind its time:

    Earlier:
    [10:14:20, 47 s ago]<frame>
    [10:14:22, 45 s ago] heard: "Good morning."
    Now:
    [10:15:06, 1.5 s ago]<frame>
    [10:15:07, now]<frame>
    Question: Who came in?

Times are those of the stream's time zone, with the date where it is not today's. The age counts from the stream's own
now. Where several streams are asked, the name of the stream stands before the clock time. A part that has nothing to
show is left out with its heading. Earlier questions of the conversation come before as turns of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain

from memory.messages import Evidence, SpeechLine
from memory.timewords import zone_of
from perception.window import WindowFrame
from reasoning.messages import AskedStream, Turn

Picture = Evidence | WindowFrame
Part = str | Picture

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ChatMessage:
    """One turn: `system`, `user` or `assistant`; text and pictures in their order."""

    role: str
    parts: list[Part]


@dataclass(frozen=True)
class Prompt:
    """All that goes into one answer. evidence and speech: of the past; window: the newest frames, stream by stream."""

    system: str
    streams: Sequence[AskedStream]
    history: Sequence[Turn]
    evidence: Sequence[Evidence]
    speech: Sequence[SpeechLine]
    window: Sequence[WindowFrame]
    question: str

    def pictures(self) -> list[Picture]:
        """The frames in the order in which they stand in the prompt."""
        return [part for message in self.messages() for part in message.parts if not isinstance(part, str)]

    def messages(self) -> list[ChatMessage]:
        """The conversation up to where the answer begins."""
        turns = [
            ChatMessage(role, [text])
            for turn in self.history
            for role, text in (("user", f"Question: {turn.question}"), ("assistant", turn.answer))
        ]
        return [ChatMessage("system", [self.system]), *turns, ChatMessage("user", self._seen_and_asked())]

    def smaller(self) -> "Prompt | None":
        """Without what is missed least: the oldest turn, speech, evidence, then frame; None where nothing is left."""
        if self.history:
            return replace(self, history=self.history[1:])
        if self.speech:
            return replace(self, speech=self.speech[1:])
        if self.evidence:
            return replace(self, evidence=self.evidence[1:])
        if len(self.window) > 1:
            return replace(self, window=self.window[1:])
        return None

    def _seen_and_asked(self) -> list[Part]:
        stamps = {one.stream: _Stamp(one, named=len(self.streams) > 1) for one in self.streams}
        newest_first = min((stamps[f.stream].wall_us(f.media_us) for f in self.window), default=None)
        past: list[tuple[int, list[Part]]] = []
        present: list[tuple[int, list[Part]]] = []
        for line in self.speech:
            stamp = stamps[line.stream]
            wall_us = stamp.wall_us(line.start_us)
            recent = newest_first is not None and wall_us >= newest_first
            words = line.text.replace("\n", " ").strip()
            (present if recent else past).append((wall_us, [f'{stamp.at(line.start_us)} heard: "{words}"\n']))
        for kept in self.evidence:
            stamp = stamps[kept.stream]
            past.append((stamp.wall_us(kept.media_us), [stamp.at(kept.media_us), kept, "\n"]))
        for frame in self.window:
            stamp = stamps[frame.stream]
            present.append((stamp.wall_us(frame.media_us), [stamp.at(frame.media_us), frame, "\n"]))
        parts = [*_section("Earlier:\n", past), *_section("Now:\n", present), f"Question: {self.question}"]
        return _joined(parts)


def _section(heading: str, lines: list[tuple[int, list[Part]]]) -> list[Part]:
    if not lines:
        return []
    return [heading, *chain.from_iterable(parts for _, parts in sorted(lines, key=lambda line: line[0]))]


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring texts as one."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


class _Stamp:
    """Writes the times of one stream."""

    def __init__(self, stream: AskedStream, *, named: bool) -> None:
        self._stream = stream
        self._zone = zone_of(stream.time_zone)
        self._name = f"{stream_id(stream.stream)} " if named else ""

    def wall_us(self, media_us: int) -> int:
        """Unix time of a moment of the stream."""
        return self._stream.start_wall_us + media_us

    def at(self, media_us: int) -> str:
        """`[10:14:20, 47 s ago]`."""
        when = clock_time(self.wall_us(media_us), self._zone, self.wall_us(self._stream.now_us))
        return f"[{self._name}{when}, {age(self._stream.now_us - media_us)}]"


def stream_id(stream: str) -> str:
    """The caller's name of a stream, without its tenant."""
    return stream.split("/", 1)[-1]


def clock_time(wall_us: int, zone: tzinfo, now_us: int) -> str:
    """HH:MM:SS on the wall, behind the date where that is another than now's."""
    when, now = ((_EPOCH + timedelta(microseconds=us)).astimezone(zone) for us in (wall_us, now_us))
    return when.strftime("%H:%M:%S" if when.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def age(us: int) -> str:
    """`now`, `1.5 s ago`, `47 s ago`, `12 min ago`, `5 h ago`, `3 d ago`: the largest unit that says enough."""
    seconds = max(0, us) / 1e6
    if seconds < 0.25:
        return "now"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s ago"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if round(seconds) < limit:
            return f"{round(seconds) // unit} {name} ago"
    return f"{round(seconds) // 86_400} d ago"
