"""Who speaks when: 16 kHz mono samples in, spans of speech on the media clock out."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from silero_vad import load_silero_vad

from perception.config import SoundConfig

SAMPLE_RATE: Final = 16_000
_CHUNK: Final = 512
"""Samples that the detector looks at together: 32 ms, the size it was trained on."""
_CHUNK_US: Final = _CHUNK * 1_000_000 // SAMPLE_RATE
_JUMP_US: Final = 200_000
"""A break in the sound's time that ends a span."""
_KEPT_CHUNKS: Final = 30 * SAMPLE_RATE // _CHUNK
"""The most that is kept of a span for a transcript: thirty seconds."""
_HYSTERESIS: Final = 0.15
"""Speech that has begun goes on while its probability is above the threshold less this."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class SpokenSpan:
    """Speech in [start_us, end_us) and, for a transcript, its samples."""

    start_us: int
    end_us: int
    samples: Samples


class SpeechDetector:
    """Silero's voice activity detector over one stream's sound, whatever the size of the pieces that come."""

    def __init__(self, config: SoundConfig) -> None:
        self._config = config
        self._model: Any = load_silero_vad()  # type: ignore[no-untyped-call]
        self._rest: Samples = np.zeros(0, np.float32)
        self._time_us = 0
        self._began_us: int | None = None
        self._voiced_until_us = 0
        self._chunks: list[Samples] = []

    @property
    def speaking_since_us(self) -> int | None:
        """Start of the span that is open now."""
        return self._began_us

    def feed(self, samples: Samples, start_us: int) -> list[SpokenSpan]:
        """More sound, its first sample at `start_us`; the spans that ended in it."""
        spans: list[SpokenSpan] = []
        expected = self._time_us + self._rest.size * 1_000_000 // SAMPLE_RATE
        if self._rest.size == 0 and self._began_us is None:
            self._time_us = start_us
        elif abs(start_us - expected) > _JUMP_US:
            spans += self.flush()
            self._time_us = start_us
        sound = np.concatenate([self._rest, samples])
        whole = sound.size // _CHUNK * _CHUNK
        for chunk in sound[:whole].reshape(-1, _CHUNK):
            span = self._look(chunk)
            if span is not None:
                spans.append(span)
        self._rest = sound[whole:]
        return spans

    def flush(self) -> list[SpokenSpan]:
        """The sound ends or breaks here: the span that is open ends too."""
        span = self._end() if self._began_us is not None else None
        self._model.reset_states()
        self._rest = np.zeros(0, np.float32)
        return [] if span is None else [span]

    def _look(self, chunk: Samples) -> SpokenSpan | None:
        with torch.inference_mode():
            probability = float(self._model(torch.from_numpy(chunk.copy()), SAMPLE_RATE))
        start_us, self._time_us = self._time_us, self._time_us + _CHUNK_US
        if self._began_us is None:
            if probability < self._config.threshold:
                return None
            self._began_us, self._chunks = start_us, []
        if probability >= self._config.threshold - _HYSTERESIS:
            self._voiced_until_us = self._time_us
        if len(self._chunks) < _KEPT_CHUNKS:
            self._chunks.append(chunk)
        if self._time_us - self._voiced_until_us >= self._config.silence_ms * 1000:
            return self._end()
        return None

    def _end(self) -> SpokenSpan | None:
        """Close the open span; None where it was too short to be speech."""
        began_us, chunks = self._began_us, self._chunks
        self._began_us, self._chunks = None, []
        if began_us is None or self._voiced_until_us - began_us < self._config.min_speech_ms * 1000:
            return None
        return SpokenSpan(began_us, self._voiced_until_us, np.concatenate(chunks))
