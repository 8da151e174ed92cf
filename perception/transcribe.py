"""Speech to text by any transformers speech-recognition checkpoint: 16 kHz mono samples in, a sentence out."""

from abc import ABC, abstractmethod
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING, MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING

from perception.checkpoint import Placement, load_config, load_model, place
from perception.config import ModelConfig
from perception.errors import StartRefused

_WHAT: Final = "the speech recogniser"
SAMPLE_RATE: Final = 16_000
_SHORTEST: Final = SAMPLE_RATE // 5
"""Shorter sound is filled up with silence: convolutions need some to stand on."""
_TOKENS_PER_S: Final = 16
"""More than anyone says: bounds what a recogniser that repeats itself may cost."""
_PROMPT_TOKENS: Final = 8
"""Room that a decoder's own prompt (language, task) takes of its positions."""


class Transcriber(Protocol):
    """What perception asks of a speech recogniser."""

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        """The words of at most thirty seconds of 16 kHz mono sound; empty where it hears none."""


class _Recogniser(ABC):
    """A checkpoint with its processor; the two kinds differ in how the model's words come out."""

    def __init__(self, model: Any, processor: Any, placement: Placement) -> None:
        self._model = model
        self._processor = processor
        self._placement = placement

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        missing = max(0, _SHORTEST - len(samples))
        inputs = self._processor(np.pad(samples, (0, missing)), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            return self._words(
                inputs.to(self._placement.device, self._placement.dtype), len(samples) / SAMPLE_RATE
            ).strip()

    @abstractmethod
    def _words(self, inputs: Any, seconds: float) -> str: ...


class _Seq2Seq(_Recogniser):
    """Whisper and its like: a sentence is generated."""

    def _words(self, inputs: Any, seconds: float) -> str:
        wanted = _PROMPT_TOKENS + round(seconds * _TOKENS_PER_S)
        config = self._model.config
        positions = getattr(config, "max_target_positions", getattr(config, "max_position_embeddings", wanted * 2))
        tokens = self._model.generate(**inputs, max_new_tokens=max(1, min(wanted, positions - _PROMPT_TOKENS)))
        return str(self._processor.batch_decode(tokens, skip_special_tokens=True)[0])


class _Ctc(_Recogniser):
    """wav2vec 2.0 and its like: the best token of each moment."""

    def _words(self, inputs: Any, seconds: float) -> str:
        # Special tokens stay in until equal neighbours are joined: the blank between two letters keeps them apart.
        return str(self._processor.batch_decode(self._model(**inputs).logits.argmax(-1))[0])


def load_transcriber(config: ModelConfig) -> Transcriber:
    """The recogniser of a folder. Raises StartRefused; model_not_found too where it is no speech recogniser."""
    settings = load_config(config, _WHAT)
    kind = type(settings)
    if kind not in MODEL_FOR_CTC_MAPPING and kind not in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING:
        raise StartRefused("model_not_found", f"{_WHAT} hears no speech: name a Whisper or a CTC checkpoint")
    spelling = kind in MODEL_FOR_CTC_MAPPING
    placement, processor = place(config), _load_processor(config)
    model = load_model(AutoModelForCTC if spelling else AutoModelForSpeechSeq2Seq, config, settings, placement, _WHAT)
    return (_Ctc if spelling else _Seq2Seq)(model, processor, placement)


def _load_processor(config: ModelConfig) -> Any:
    opening: Any = AutoProcessor
    try:
        return opening.from_pretrained(config.folder, trust_remote_code=config.trust_remote_code, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StartRefused(
            "model_not_found", f"{_WHAT} lacks its tokenizer or feature extractor: name a complete checkpoint"
        ) from error
