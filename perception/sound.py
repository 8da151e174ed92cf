"""Voice activity of one stream: sound with its media time in, spans of speech with their samples out. No clock."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from perception.config import SoundConfig
from perception.voice import RATE, WINDOW, Floats, VoiceNet, fresh_state, load_voice_net

MAX_SPAN_US: Final = 30_000_000
"""Longer speech is cut where it is quietest: recognisers take half a minute at once."""
_SLACK_US: Final = 200_000
"""Stamps that are off by less than this belong to the same unbroken sound (jitter, padding of codecs)."""
_QUIET: Final = 3e-4
"""Sound that never leaves +-this (-70 dB) holds no speech that the network could find, whatever is said."""
_REST: Final = 16
"""Quiet windows in a row after which the network rests, until something is heard."""
_LEAD: Final = 3
"""Windows kept before and after the speech that was found: first and last sounds are soft."""
_HYSTERESIS: Final = 0.15
_BATCH: Final = 256
"""Windows that the network takes at once."""
_MAX_WINDOWS: Final = MAX_SPAN_US * RATE // (WINDOW * 1_000_000)
_CUT_FROM: Final = _MAX_WINDOWS * 2 // 3
"""A span of greatest length is cut in its last third."""


@dataclass(frozen=True)
class SpeechSpan:
    """Someone spoke in [start_us, end_us) of media time. samples: what was heard then, 16 kHz mono, float32."""

    start_us: int
    end_us: int
    samples: Floats


@dataclass
class _Span:
    """Windows since speech began. voiced: how many of them up to the last one with speech."""

    start_us: int
    windows: list[Floats]
    chances: list[float]
    voiced: int
    heard: int


class SpeechDetector:
    """Finds speech in one stream's sound. `net` is shared by all streams; what is told apart by stream lies here.

    Results do not depend on how the sound is cut into chunks. A step in time of more than 0.2 s closes the open span.
    """

    def __init__(self, config: SoundConfig, net: VoiceNet | None = None) -> None:
        self._net = net or load_voice_net()
        self._threshold = config.threshold
        self._hangover = max(1, _windows(config.silence_ms))
        self._min_windows = _windows(config.min_speech_ms)
        self._state = fresh_state()
        self._quiet = _REST
        self._rest = np.zeros(0, np.float32)
        self._next_us: int | None = None
        self._past: list[Floats] = []
        self._span: _Span | None = None
        self._ended_us = 0

    @property
    def speaking_since_us(self) -> int | None:
        """When the speech began that is still going on, or None: for who wants to know before it ends."""
        return None if self._span is None else self._span.start_us

    def feed(self, samples: Floats, start_us: int) -> list[SpeechSpan]:
        """Sound that begins at `start_us` of media time: any number of samples, 16 kHz mono, -1..1.

        Returns the spans that ended in it, in order.
        """
        found = self._at(start_us)
        waiting = np.nan_to_num(np.concatenate([self._rest, samples.ravel()]), posinf=0, neginf=0).astype(np.float32)
        count = len(waiting) // WINDOW
        self._rest = waiting[count * WINDOW :].copy()
        windows = waiting[: count * WINDOW].reshape(count, WINDOW)
        for first in range(0, count, _BATCH):
            batch = windows[first : first + _BATCH]
            for window, chance in zip(batch, self._judge(batch), strict=True):
                found += self._take(window, float(chance))
        return found

    def flush(self) -> list[SpeechSpan]:
        """The sound ends or breaks off here: the open span, if it is long enough. What follows starts afresh."""
        found = self._close()
        self._state, self._quiet = fresh_state(), _REST
        self._rest, self._next_us, self._past = np.zeros(0, np.float32), None, []
        return found

    def _at(self, start_us: int) -> list[SpeechSpan]:
        """Set the time of what comes next; between spans it follows the stamps, within one it counts samples."""
        begin_us = start_us - _duration_us(len(self._rest))
        found: list[SpeechSpan] = []
        if self._next_us is not None and abs(begin_us - self._next_us) > _SLACK_US:
            found = self.flush()
            begin_us = start_us
        if self._next_us is None or self._span is None:
            self._next_us = begin_us
        return found

    def _judge(self, windows: Floats) -> Floats:
        """Chance of speech in each window; 0 without asking the network where all is quiet for a while."""
        asked = np.ones(len(windows), bool)
        for n, quiet in enumerate(np.abs(windows).max(axis=1) < _QUIET):
            self._quiet = self._quiet + 1 if quiet else 0
            asked[n] = self._quiet < _REST
        chances = np.zeros(len(windows), np.float32)
        bounds = [0, *(np.flatnonzero(np.diff(asked)) + 1), len(windows)]
        for first, last in pairwise(bounds):
            if asked[first]:
                chances[first:last], self._state = self._net.chances(windows[first:last], self._state)
            else:
                self._state = fresh_state()
        return chances

    def _take(self, window: Floats, chance: float) -> list[SpeechSpan]:
        at_us = self._next_us or 0
        self._next_us = at_us + _duration_us(WINDOW)
        if self._span is None:
            if chance >= self._threshold:
                self._open(window, chance, at_us)
            else:
                self._past = [*self._past[1 - _LEAD :], window]
            return []
        return self._extend(self._span, window, chance)

    def _open(self, window: Floats, chance: float, at_us: int) -> None:
        free = max(0, at_us - self._ended_us) // _duration_us(WINDOW)
        lead = self._past[-free:] if free else []
        windows = [*lead, window]
        chances = [*[0.0] * len(lead), chance]
        self._span = _Span(at_us - _duration_us(len(lead) * WINDOW), windows, chances, len(windows), 1)
        self._past = []

    def _extend(self, span: _Span, window: Floats, chance: float) -> list[SpeechSpan]:
        span.windows.append(window)
        span.chances.append(chance)
        if chance >= self._threshold - _HYSTERESIS:
            span.voiced = len(span.windows)
            span.heard += 1
        elif len(span.windows) - span.voiced >= self._hangover:
            return self._close()
        return self._cut(span) if len(span.windows) >= _MAX_WINDOWS else []

    def _cut(self, span: _Span) -> list[SpeechSpan]:
        """Give out a span of greatest length up to where it is quietest, and go on with the rest."""
        at = _CUT_FROM + int(np.argmin(span.chances[_CUT_FROM:]))
        start_us = span.start_us + _duration_us(at * WINDOW)
        heard = sum(chance >= self._threshold - _HYSTERESIS for chance in span.chances[at:])
        rest = _Span(start_us, span.windows[at:], span.chances[at:], max(1, span.voiced - at), heard)
        found = [self._spoken(span, at)]
        self._span = rest
        return found

    def _close(self) -> list[SpeechSpan]:
        span, self._span = self._span, None
        if span is None:
            return []
        self._past = span.windows[span.voiced + _LEAD :][-_LEAD:]
        if span.heard < self._min_windows:
            return []
        return [self._spoken(span, min(span.voiced + _LEAD, len(span.windows)))]

    def _spoken(self, span: _Span, windows: int) -> SpeechSpan:
        self._ended_us = span.start_us + _duration_us(windows * WINDOW)
        return SpeechSpan(span.start_us, self._ended_us, np.concatenate(span.windows[:windows]))


def _windows(ms: int) -> int:
    return -(-ms * RATE // (1000 * WINDOW))


def _duration_us(samples: int) -> int:
    return samples * 1_000_000 // RATE
