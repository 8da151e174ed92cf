"""What the model is sent: timestamped evidence, speech, the now window, the conversation and the question.

The form, which the embedded model is trained on, each frame on a line of its own behind its clock time and its age:

    Earlier:
    10:14:20 (47 s ago) <frame>
    10:14:22 (45 s ago) said: "..."
    Now:
    10:15:06 (1 s ago) <frame>
    10:15:07 (0 s ago) <frame>
    Question: ...

With several streams each line begins with the stream's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from memory.messages import SpeechLine
from perception.window import VisualTokens
from reasoning.messages import AskedStream, Turn

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Marks of a place in the rendered template; taken out of whatever a user wrote."""


@dataclass(frozen=True)
class Frame:
    """A frame's place in the prompt."""

    tokens: VisualTokens


@dataclass(frozen=True)
class Foreign:
    """Text that somebody else wrote: it never yields a special token."""

    text: str


Part = str | Frame | Foreign


@dataclass(frozen=True)
class Seen:
    """A frame that goes into the prompt."""

    stream: str
    media_us: int
    tokens: VisualTokens


def describe(
    streams: Sequence[AskedStream], evidence: Sequence[Seen], speech: Sequence[SpeechLine], window: Sequence[Seen],
    question: str,
) -> list[Part]:  # fmt: skip
    """The parts of the user's message."""
    stamps = {stream.stream: _Stamper(stream, named=len(streams) > 1) for stream in streams}
    parts: list[Part] = []
    past: list[tuple[int, list[Part]]] = [(seen.media_us, [Frame(seen.tokens)]) for seen in evidence]
    lines = [(seen.media_us, stamps[seen.stream], past[n][1]) for n, seen in enumerate(evidence)]
    lines += [(said.start_us, stamps[said.stream], ['said: "', Foreign(said.text), '"']) for said in speech]
    if lines:
        parts.append("Earlier:\n")
        for media_us, stamp, content in sorted(lines, key=lambda line: line[0]):
            parts += [*stamp(media_us), *content, "\n"]
    if window:
        parts.append("Now:\n")
        for seen in window:
            parts += [*stamps[seen.stream](seen.media_us), Frame(seen.tokens), "\n"]
    return [*parts, "Question: ", Foreign(question)]


class _Stamper:
    """Writes when something was, for one stream."""

    def __init__(self, stream: AskedStream, *, named: bool) -> None:
        self._stream = stream
        self._zone = zone_of(stream.time_zone)
        self._named = named

    def __call__(self, media_us: int) -> list[Part]:
        wall = clock_time(self._stream.start_wall_us + media_us, self._zone)
        age_s = max(0, round((self._stream.now_us - media_us) / 1e6))
        name: list[Part] = [Foreign(self._stream.stream.split("/", 1)[-1]), " "] if self._named else []
        return [*name, f"{wall} ({age_s} s ago) "]


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC where the name is unknown here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def clock_time(wall_us: int, zone: tzinfo) -> str:
    """HH:MM:SS on the wall."""
    return datetime.fromtimestamp(wall_us / 1e6, zone).strftime("%H:%M:%S")


class PromptWriter:
    """Turns parts into token ids through the checkpoint's own chat template."""

    def __init__(self, tokenizer: Any, frame_ids: Any, system_prompt: str) -> None:
        self._tokenizer = tokenizer
        self._frame_ids = frame_ids
        self._system_prompt = system_prompt

    def write(self, parts: Sequence[Part], history: Sequence[Turn], prompt: str) -> list[int]:
        """Token ids of the whole conversation, up to where the answer begins. prompt: the stream's own instructions."""
        places: list[Frame | Foreign] = []
        messages = [_message("system", [self._system_prompt, *(["\n", Foreign(prompt)] if prompt else [])], places)]
        for turn in history:
            messages.append(_message("user", ["Question: ", Foreign(turn.question)], places))
            messages.append(_message("assistant", [Foreign(turn.answer)], places))
        messages.append(_message("user", parts, places))
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._encode(text, places)

    def _encode(self, text: str, places: list[Frame | Foreign]) -> list[int]:
        ids: list[int] = []
        for piece in text.split(_OPEN):
            number, close, rest = piece.partition(_CLOSE)
            if close:
                ids += self._encode_place(places[int(number)])
            ids += self._tokenizer.encode(rest if close else piece, add_special_tokens=False)
        return ids

    def _encode_place(self, place: Frame | Foreign) -> list[int]:
        if isinstance(place, Frame):
            found: list[int] = self._frame_ids(place.tokens.tokens.shape[0])
            return found
        encoded: list[int] = self._tokenizer.encode(place.text, add_special_tokens=False, split_special_tokens=True)
        return encoded


def _message(role: str, parts: Sequence[Part], places: list[Frame | Foreign]) -> dict[str, Any]:
    """A message with marks where frames and foreign text go, so that the template sees neither."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            text += f"{_OPEN}{len(places)}{_CLOSE}"
            places.append(part)
    return {"role": role, "content": [{"type": "text", "text": text}]}


SPEECH_LINES: Final = 20
"""The most lines of speech in a prompt."""
