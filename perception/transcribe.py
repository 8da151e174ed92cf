"""Speech to text by any transformers speech-recognition checkpoint: 16 kHz mono samples in, a sentence out."""

from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoProcessor

from perception.checkpoint import Checkpoint, open_checkpoint
from perception.config import ModelConfig

SAMPLE_RATE: Final = 16_000
_MOST_TOKENS: Final = 200


class Transcriber(Protocol):
    """What perception asks of a speech recogniser."""

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        """The words of at most thirty seconds of 16 kHz mono sound."""


class _Seq2Seq:
    """Whisper and its like: a generated sentence."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._processor: Any = AutoProcessor.from_pretrained(checkpoint.folder)
        self._model: Any = checkpoint.load(AutoModelForSpeechSeq2Seq)
        self._checkpoint = checkpoint

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        inputs = self._processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        features = inputs["input_features"].to(self._checkpoint.device, self._checkpoint.dtype)
        with torch.inference_mode():
            tokens = self._model.generate(features, max_new_tokens=_MOST_TOKENS)
        return str(self._processor.batch_decode(tokens, skip_special_tokens=True)[0]).strip()


class _Ctc:
    """wav2vec 2.0 and its like: the best token of each frame."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._processor: Any = AutoProcessor.from_pretrained(checkpoint.folder)
        self._model: Any = checkpoint.load(AutoModelForCTC)
        self._checkpoint = checkpoint

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        inputs = self._processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        values = inputs["input_values"].to(self._checkpoint.device, self._checkpoint.dtype)
        with torch.inference_mode():
            logits = self._model(values).logits
        return str(self._processor.batch_decode(logits.argmax(-1))[0]).strip()


def load_transcriber(config: ModelConfig) -> Transcriber:
    """The recogniser of a folder. Raises StartRefused."""
    checkpoint = open_checkpoint(config)
    architecture = AutoConfig.from_pretrained(checkpoint.folder).architectures or [""]
    return _Ctc(checkpoint) if "CTC" in architecture[0] else _Seq2Seq(checkpoint)
