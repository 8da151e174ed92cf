"""One video shown to a server as a stream, and the queries about it asked at their times."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from clients.api import Api, ApiError, Json
from clients.live import Live
from evaluation.ovo.annotations import Query
from evaluation.ovo.video import Video

Mode = Literal["prefix", "onepass", "live"]
Horizon = Literal["ceil", "exact"]
Tell = Callable[[Query, Json], None]
"""What is done with an answer: the query, and what is to be kept of the answer."""
Wanted = Callable[[Query], bool]
"""Whether a query is to be put, told when its time has come."""

PASSING: Final = frozenset(
    {"unreachable", "connection_lost", "process_lost", "not_ready", "draining", "model_unavailable", "sender_replaced"}
)
"""Refusals that say nothing of the query: the server is away, or starts again."""
START: Final = "2026-01-01T00:00:00Z"
"""Wall time of every video's beginning, so that prompts of two runs are the same byte for byte."""
SKIPPED: Final[Json] = {"response": "", "skipped": True}
"""What is kept of a query that was no longer wanted."""
_TRACK: Final = 0
_PATIENCE_S: Final = 660.0
_DEADLINE_MS: Final = 600_000
_ASKERS: Final = 8


@dataclass(frozen=True)
class Settings:
    """How it is asked. fps: frames the server looks at a second, None: its own choice. max_tokens: of an answer."""

    mode: Mode
    horizon: Horizon = "ceil"
    max_tokens: int = 128
    fps: float | None = None

    def end_us(self, query: Query) -> int:
        """Frames before this moment may be seen."""
        at_s = math.ceil(query.at_s) if self.horizon == "ceil" else query.at_s
        return round(at_s * 1_000_000)


class Shower:
    """Shows videos to one server. Everything raises ApiError, and VideoInvalid for a file that breaks off."""

    def __init__(self, url: str | None, settings: Settings, prefix: str) -> None:
        """prefix: of the streams' names, so that two runs at one server do not meet."""
        self._url, self._settings, self._prefix = url, settings, prefix

    def show(self, name: str, video: Video, queries: Sequence[Query], tell: Tell, wanted: Wanted) -> None:
        """Ask all of a video's queries in the order of their times; each is told as soon as it is answered."""
        due = sorted(queries, key=lambda query: (self._settings.end_us(query), query.key))
        if self._settings.mode == "prefix":
            for query in due:
                self._watch(f"{self._prefix}-{name}", video, [query], tell, wanted)
        elif self._settings.mode == "onepass":
            self._watch(f"{self._prefix}-{name}", video, due, tell, wanted)
        else:
            self._play(f"{self._prefix}-{name}", video, due, tell, wanted)

    # ------------------------------------------------------------ on file time

    def _watch(self, stream: str, video: Video, due: Sequence[Query], tell: Tell, wanted: Wanted) -> None:
        """As fast as the server takes it; each question comes behind all media before its time, and before the rest."""
        with self._stream(stream, "fast") as live:
            live.announce(_TRACK, video.codec)
            units = _Feed(video)
            for end_us, together in groupby(due, key=self._settings.end_us):
                for unit in units.before(end_us):
                    live.send(_TRACK, unit.data, unit.at_us)
                for query in together:
                    tell(query, self._ask(live, query, end_us) if wanted(query) else SKIPPED)

    def _ask(self, live: Live, query: Query, end_us: int) -> Json:
        """One at a time: a batch of one is what makes answers repeatable."""
        name = f"{query.id}-{query.index}"

        def put() -> Json:
            live.ask(name, query.prompt, max_tokens=self._settings.max_tokens, deadline_ms=_DEADLINE_MS)
            return live.wait(name, _PATIENCE_S).answer

        return answered(put, end_us)

    # ------------------------------------------------------------ in real time

    def _play(self, stream: str, video: Video, due: Sequence[Query], tell: Tell, wanted: Wanted) -> None:
        """Questions go over connections of their own: they see what the server has got to, not all that was sent."""
        with self._stream(stream, "real") as live, ThreadPoolExecutor(_ASKERS) as askers:
            live.announce(_TRACK, video.codec)
            began = time.monotonic()
            units = _Feed(video)
            asked = []
            for end_us, together in groupby(due, key=self._settings.end_us):
                for unit in units.before(end_us):
                    _sleep_until(began + unit.at_us / 1e6)
                    live.send(_TRACK, unit.data, unit.at_us)
                _sleep_until(began + end_us / 1e6)
                for query in together:
                    if wanted(query):
                        asked.append(askers.submit(self._ask_apart, stream, query, end_us, tell))
                    else:
                        tell(query, SKIPPED)
            for one in asked:
                one.result()

    def _ask_apart(self, stream: str, query: Query, end_us: int, tell: Tell) -> None:
        with Api(self._url) as api:
            began = time.monotonic()
            options = {"max_tokens": self._settings.max_tokens, "deadline_ms": _DEADLINE_MS}
            kept = answered(lambda: api.ask(stream, query.prompt, **options), end_us)
            tell(query, {**kept, "round_trip_ms": round(1000 * (time.monotonic() - began), 1)})

    # ------------------------------------------------------------ streams

    @contextmanager
    def _stream(self, stream: str, pace: str) -> Iterator[Live]:
        """A stream of its own, which goes when it is over."""
        with Api(self._url) as api:
            with suppress_missing():
                api.remove(stream)
            source: Json = {"push": True, "pace": pace, **({"start": START} if pace == "fast" else {})}
            options: Json = {"sample": {"fps": self._settings.fps}} if self._settings.fps is not None else {}
            api.add(stream, source, **options)
            try:
                with Live(self._url, stream) as live:
                    yield live
            finally:
                # A server that is gone forgets it when it is asked for the same stream again.
                with suppress(ApiError):
                    api.remove(stream)


class _Feed:
    """A video's units, taken up to one moment after another."""

    def __init__(self, video: Video) -> None:
        self._units = video.units()
        self._next = next(self._units, None)

    def before(self, end_us: int) -> Iterator[Any]:
        """Those before a moment that were not taken yet."""
        while self._next is not None and self._next.at_us < end_us:
            unit, self._next = self._next, next(self._units, None)
            yield unit


@contextmanager
def suppress_missing() -> Iterator[None]:
    """That there is no such stream is no error here."""
    try:
        yield
    except ApiError as error:
        if error.code != "stream_not_found":
            raise


def answered(put: Callable[[], Json], end_us: int) -> Json:
    """What is kept of an answer, or of a refusal that is about the query. Raises ApiError for one that will pass."""
    try:
        return kept_of(put(), end_us)
    except ApiError as error:
        if error.code in PASSING:
            raise
        return {"response": None, "error": error.code, "end_s": end_us / 1e6}


def kept_of(answer: Json, end_us: int) -> Json:
    """What the sidecar keeps of an Answer; times of evidence in seconds of the video where its beginning is known."""
    return {
        "response": answer["answer"],
        "end_s": end_us / 1e6,
        "finish_reason": answer["finish_reason"],
        "evidence": [
            {**{name: one[name] for name in ("event", "score")}, "span": [one["start"], one["end"]]}
            for one in answer["evidence"]
        ],
        "covered": answer["coverage"]["covered"],
        "staleness_ms": answer["staleness_ms"],
        "timing": answer["timing"],
        "usage": answer["usage"],
    }


def _sleep_until(moment: float) -> None:
    ahead_s = moment - time.monotonic()
    if ahead_s > 0:
        time.sleep(ahead_s)
