"""Silero's voice detector in numpy: windows of sound in, the chance of speech in each out.

The weights come from the package `silero-vad`, which is not imported: that would set the process's number of threads.
A window is so little work that a framework's calls would cost more than the arithmetic.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from perception.errors import StartRefused

RATE: Final = 16_000
"""Samples per second."""
WINDOW: Final = 512
"""Samples that are judged at once: 32 ms."""
_CONTEXT: Final = 64
"""Samples before a window that the network looks at as well."""
_HOP: Final = 128
_FRAME: Final = 256
_BINS: Final = _FRAME // 2 + 1
_HIDDEN: Final = 128
_STEPS: Final = 4
"""Spectra of a window and what is before it; the last one reaches beyond its end, where it is mirrored."""
_SAMPLES = np.arange(_STEPS)[:, None] * _HOP + np.arange(_FRAME)
_FRAMES: Final = np.minimum(_SAMPLES, 2 * (_CONTEXT + WINDOW - 1) - _SAMPLES)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceState:
    """What the network keeps of a stream from one window to the next."""

    context: Floats
    hidden: Floats
    cell: Floats


def fresh_state() -> VoiceState:
    """The state of a stream of which nothing has been heard."""
    return VoiceState(np.zeros(_CONTEXT, np.float32), np.zeros(_HIDDEN, np.float32), np.zeros(_HIDDEN, np.float32))


class VoiceNet:
    """Spectrum, four convolutions, one recurrent layer. It keeps nothing: any number of streams share it.

    weights: by the names of the safetensors file. Raises KeyError or ValueError if they are others.
    """

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._spectrum = np.ascontiguousarray(weights["stft_conv.weight"].reshape(2 * _BINS, _FRAME).T)
        self._layers = [
            _unrolled(weights[f"conv{n}.weight"], weights[f"conv{n}.bias"], steps, stride)
            for n, steps, stride in ((1, _STEPS, 1), (2, _STEPS, 2), (3, _STEPS // 2, 2), (4, _STEPS // 4, 1))
        ]
        self._enter = np.ascontiguousarray(weights["lstm_cell.weight_ih"].T)
        self._recur = np.ascontiguousarray(weights["lstm_cell.weight_hh"].T)
        self._bias = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
        self._last = weights["final_conv.weight"].reshape(_HIDDEN)
        self._last_bias = weights["final_conv.bias"][0]

    def chances(self, windows: Floats, state: VoiceState) -> tuple[Floats, VoiceState]:
        """Chance of speech, 0..1, in each of n windows [n, WINDOW] that follow each other, and the state after them."""
        context = np.concatenate([state.context[None], windows[:-1, -_CONTEXT:]])
        gates = self._features(np.concatenate([context, windows], axis=1)) @ self._enter + self._bias
        hidden, cell = state.hidden, state.cell
        heard = np.empty((len(windows), _HIDDEN), np.float32)
        for n, gate in enumerate(gates):
            hidden, cell = self._remember(gate + hidden @ self._recur, cell)
            heard[n] = hidden
        chances = _sigmoid(np.maximum(heard, 0) @ self._last + self._last_bias)
        return chances, VoiceState(windows[-1, -_CONTEXT:].copy(), hidden, cell)

    def _features(self, sound: Floats) -> Floats:
        """[n, context + window] to [n, hidden]: what is in each window, taken by itself."""
        waves = sound[:, _FRAMES] @ self._spectrum
        deep: Floats = np.sqrt(waves[..., :_BINS] ** 2 + waves[..., _BINS:] ** 2).reshape(len(sound), -1)
        for weights, bias in self._layers:
            deep = np.maximum(deep @ weights + bias, 0)
        return deep

    @staticmethod
    def _remember(gates: Floats, cell: Floats) -> tuple[Floats, Floats]:
        """One step of a long short-term memory: input, forget, new and output gate, in this order."""
        opened = _sigmoid(gates)
        new = np.tanh(gates[2 * _HIDDEN : 3 * _HIDDEN])
        cell = opened[_HIDDEN : 2 * _HIDDEN] * cell + opened[:_HIDDEN] * new
        return opened[3 * _HIDDEN :] * np.tanh(cell), cell


@lru_cache(maxsize=1)
def load_voice_net() -> VoiceNet:
    """The network with its weights, once a process. Raises StartRefused model_not_found."""
    file = _weights_file()
    try:
        return VoiceNet(load_file(file))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise StartRefused("model_not_found", "silero-vad holds other weights than expected: install 6.2") from error


def _weights_file() -> Path:
    found = find_spec("silero_vad")
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder) / "data" / "silero_vad_16k.safetensors"
        if file.is_file():
            return file
    raise StartRefused("model_not_found", "the package silero-vad is missing: install it, or set sound.enabled off")


def _unrolled(weights: Floats, bias: Floats, steps: int, stride: int) -> tuple[Floats, Floats]:
    """A convolution [out, in, 3] over few steps as one matrix [steps in, steps / stride out], and its bias.

    Beyond the edges is 0. One product instead of three taps: a call costs more than the zeros that it multiplies.
    """
    wide, deep = weights.shape[:2]
    matrix = np.zeros((steps, deep, steps // stride, wide), np.float32)
    for after in range(steps // stride):
        for tap in range(3):
            before = after * stride + tap - 1
            if 0 <= before < steps:
                matrix[before, :, after] = weights[:, :, tap].T
    return matrix.reshape(steps * deep, -1), np.tile(bias, steps // stride)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray((1 + np.tanh(values / 2)) / 2, np.float32)
