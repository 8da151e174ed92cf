"""Speech written down beside the stage's steps: spans in; `Speech` out once its words are known, in order."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from perception.messages import Barrier, Speech
from perception.sound import SpeechSpan

log = logging.getLogger(__name__)

Transcribe = Callable[[SpeechSpan], str]

MOST_WAITING: Final = 16
"""Spans that may wait for their words: eight minutes of speech at most, 30 MB."""
_PATIENCE_S: Final = 1.0
"""How long the last words may take when all ends."""


@dataclass(frozen=True)
class _Said:
    start_us: int
    end_us: int
    words: "Future[str | None]"


class Scribe:
    """Keeps what was said in order, stream by stream; barriers wait behind what was said before them.

    Where more waits than MOST_WAITING, what a live stream says next goes without words; others are to be held back.
    """

    def __init__(self, transcribe: Transcribe | None, wake: Callable[[], None] | None) -> None:
        """wake: called from a thread when words are there. None: nobody can be woken, and `take` itself waits."""
        self._transcribe, self._wake = transcribe, wake
        self._pool = ThreadPoolExecutor(1, "transcription") if transcribe is not None and wake is not None else None
        self._owed: dict[str, deque[_Said | Barrier]] = {}
        self._unwritten: list[Future[str | None]] = []
        self._overloaded = False

    @property
    def full(self) -> bool:
        """Whether streams that can wait should."""
        self._unwritten = [words for words in self._unwritten if not words.done()]
        return len(self._unwritten) >= MOST_WAITING

    @property
    def ready(self) -> bool:
        """Whether `settled` has something."""
        return any(_is_settled(owed[0]) for owed in self._owed.values())

    def take(self, stream: str, item: SpeechSpan | Barrier) -> list[Speech | Barrier]:
        """What was said next, or a barrier behind it. Returns what is known of the stream by now."""
        owed = self._owed.setdefault(stream, deque())
        if isinstance(item, SpeechSpan):
            owed.append(_Said(item.start_us, item.end_us, self._words(stream, item)))
        else:
            owed.append(item)
        return self._settle(stream)

    def settled(self) -> list[Speech | Barrier]:
        """What has become known, in order."""
        return [record for stream in list(self._owed) for record in self._settle(stream)]

    def give_up(self, stream: str) -> list[Speech | Barrier]:
        """The stream ends: what it said, without the words that are not known yet."""
        for item in self._owed.get(stream, ()):
            if isinstance(item, _Said):
                item.words.cancel()
        owed = self._owed.pop(stream, deque())
        return [_record(stream, item) for item in owed]

    def forget(self, stream: str, since_us: int, until_us: int) -> None:
        """Nothing that touches [since, until) and waits for its words is told any more."""
        kept = deque[_Said | Barrier]()
        for item in self._owed.pop(stream, deque()):
            if isinstance(item, _Said) and item.start_us < until_us and item.end_us > since_us:
                item.words.cancel()
            else:
                kept.append(item)
        if kept:
            self._owed[stream] = kept

    def close(self) -> list[Speech | Barrier]:
        """What is owed, with the words that are known in a moment."""
        wait(self._unwritten, _PATIENCE_S)
        records = [record for stream in list(self._owed) for record in self.give_up(stream)]
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return records

    # ------------------------------------------------------------ words

    def _words(self, stream: str, span: SpeechSpan) -> "Future[str | None]":
        if self._transcribe is None or self._is_overloaded():
            return _known(None)
        if self._pool is None or self._wake is None:
            return _known(self._write(self._transcribe, stream, span))
        words = self._pool.submit(self._write, self._transcribe, stream, span)
        self._unwritten.append(words)
        wake = self._wake
        words.add_done_callback(lambda _: wake())
        return words

    def _is_overloaded(self) -> bool:
        before, self._overloaded = self._overloaded, self.full
        if self._overloaded and not before:
            log.warning("the speech recogniser is behind: what is said meanwhile is kept without its words")
        return self._overloaded

    @staticmethod
    def _write(transcribe: Transcribe, stream: str, span: SpeechSpan) -> str | None:
        try:
            return transcribe(span)
        except Exception as error:  # noqa: BLE001 - a model's failure on one span must not lose the next
            # A library's message may hold content.
            log.error("stream %s: speech could not be written down: %s", stream, type(error).__name__)
            return None

    def _settle(self, stream: str) -> list[Speech | Barrier]:
        owed = self._owed[stream]
        records = []
        while owed and _is_settled(owed[0]):
            records.append(_record(stream, owed.popleft()))
        if not owed:
            del self._owed[stream]
        return records


def _known(text: str | None) -> "Future[str | None]":
    words: Future[str | None] = Future()
    words.set_result(text)
    return words


def _is_settled(item: _Said | Barrier) -> bool:
    return isinstance(item, Barrier) or item.words.done()


def _record(stream: str, item: _Said | Barrier) -> Speech | Barrier:
    if isinstance(item, Barrier):
        return item
    text = item.words.result() if item.words.done() and not item.words.cancelled() else None
    return Speech(stream, item.start_us, item.end_us, text)
