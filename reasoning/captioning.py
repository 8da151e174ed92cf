"""Describes events while nobody asks: a frame at a time, given up at once for a question and begun anew behind it."""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from memory.caption_messages import Captioned, CaptionFrame, CaptionPutOff, ToCaption, WantCaption
from perception.window import WindowFrame
from reasoning.engine import Delta, Engine, EngineOutput, Failed, Finished, Request
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt

DESCRIBE: Final = "Describe what you see."
QUIET_US: Final = 1_000_000
"""For so long nobody must have asked: who asks on after an answer finds the model free."""
_PREFIX: Final = "caption "
_MAX_TOKENS: Final = 64
_DENIAL: Final = re.compile(
    r"^\W*(?:sorry\W+)?(?:i\W+)?(?:cannot|can't|do not|don't)\W+(?:tell|know|see|say)\b", re.IGNORECASE
)
"""What a model says of pictures that it makes nothing of: nothing that anybody would look for."""

CaptionOutput = WantCaption | Captioned | CaptionPutOff


@dataclass
class Captioner:
    """One event at a time, on the engine that questions have. `enabled`: whether it ever begins."""

    engine: Engine
    system_prompt: str
    enabled: bool
    _wanted: bool = False
    _event: ToCaption | None = None
    _left: deque[CaptionFrame] = field(default_factory=deque)
    _said: list[str] = field(default_factory=list)
    _running: str | None = None
    _text: list[str] = field(default_factory=list)
    _begun: int = 0
    _quiet_from_us: int = 0

    def take(self, event: ToCaption) -> None:
        """Memory's answer: the next event."""
        self._wanted = False
        if self.enabled and self._event is None:
            self._event, self._left, self._said = event, deque(event.frames), []

    def put_off(self, now_us: int) -> list[CaptionOutput]:
        """A question is open: nothing of the engine's time goes to captions."""
        self._quiet_from_us = now_us + QUIET_US
        if self._running is None:
            return []
        self._stop()
        return [CaptionPutOff()]

    def forget(self, stream: str, events: list[str]) -> None:
        """Let go of an event that is forgotten; of the whole stream where none is named."""
        event = self._event
        if event is not None and event.stream == stream and (not events or event.event in events):
            self._drop()

    def memory_ready(self) -> None:
        """It has heard nothing of what was said before."""
        self._wanted = False

    def memory_lost(self) -> None:
        """Whatever was asked of memory will not come; what is described may be gone when it is back."""
        self._wanted = False
        self._drop()

    def end(self) -> None:
        """Never begin again."""
        self.enabled = False
        self._drop()

    def is_due(self, now_us: int) -> bool:
        """Whether `go_on` has something to do, with no question open."""
        return (
            self.enabled and self._running is None and now_us >= self._quiet_from_us
            and (self._event is not None or not self._wanted)
        )  # fmt: skip

    def go_on(self) -> list[CaptionOutput]:
        """Ask memory for an event, or begin its next frame."""
        if self._event is None:
            self._wanted = True
            return [WantCaption()]
        self._begun += 1
        self._running, self._text = f"{_PREFIX}{self._begun}", []
        self.engine.begin(Request(self._running, self._prompt(self._event, self._left[0]), _MAX_TOKENS, idle=True))
        return []

    def relay(self, output: EngineOutput) -> list[CaptionOutput] | None:
        """What the engine says of a caption; None: it is not about one."""
        if not output.id.startswith(_PREFIX):
            return None
        if output.id != self._running or self._event is None:
            return []
        match output:
            case Delta(_, text):
                self._text.append(text)
            case Finished():
                self._said.append("".join(self._text).strip())
                self._left.popleft()
                self._running = None
            case Failed():
                # The next event may fare better.
                self._left.clear()
                self._running = None
        return self._end() if not self._left else []

    def _end(self) -> list[CaptionOutput]:
        assert self._event is not None
        event, self._event = self._event, None
        said = dict.fromkeys(text for text in self._said if text and not _DENIAL.match(text))
        return [Captioned(event.stream, event.event, " ".join(said))]

    def _drop(self) -> None:
        self._stop()
        self._event = None

    def _stop(self) -> None:
        if self._running is not None:
            self.engine.cancel(self._running)
            self._running = None

    def _prompt(self, event: ToCaption, frame: CaptionFrame) -> Prompt:
        """The frame as one that is in view now: that is what models describe."""
        stream = AskedStream(event.stream, 0, 0, frame.media_us, "", "UTC")
        shown = WindowFrame(event.stream, frame.media_us, 0, frame.jpeg, None)
        return Prompt(self.system_prompt, [stream], [], [], [], [shown], DESCRIBE)
