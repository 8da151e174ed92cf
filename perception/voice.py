"""Silero's voice detector as a plain torch module: windows of sound in, the chance of speech in each out.

The weights come from the package `silero-vad`. It is not imported: that would set the process's number of threads.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from perception.errors import StartRefused

RATE: Final = 16_000
"""Samples per second."""
WINDOW: Final = 512
"""Samples that are judged at once: 32 ms."""
_CONTEXT: Final = 64
"""Samples before a window that the network looks at as well."""
_HIDDEN: Final = 128
_BINS: Final = 129

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceState:
    """What the network keeps of a stream from one window to the next."""

    context: Tensor
    hidden: Tensor
    cell: Tensor


def fresh_state() -> VoiceState:
    """The state of a stream of which nothing has been heard."""
    return VoiceState(torch.zeros(_CONTEXT), torch.zeros(1, _HIDDEN), torch.zeros(1, _HIDDEN))


class VoiceNet(nn.Module):
    """Spectrum, four convolutions, one recurrent layer. It keeps nothing: any number of streams share it."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, _HIDDEN, 3, padding=1)
        self.lstm_cell = nn.LSTM(_HIDDEN, _HIDDEN)
        self.final_conv = nn.Conv1d(_HIDDEN, 1, 1)

    @torch.inference_mode()
    def chances(self, windows: Sound, state: VoiceState) -> tuple[Sound, VoiceState]:
        """Chance of speech, 0..1, in each of n windows [n, WINDOW] that follow each other, and the state after them."""
        sound = torch.from_numpy(windows)
        context = torch.cat([state.context[None], sound[:-1, -_CONTEXT:]])
        features = self._features(torch.cat([context, sound], dim=1))
        heard, (hidden, cell) = self.lstm_cell(features, (state.hidden, state.cell))
        chances = self.final_conv(heard.relu()[..., None]).sigmoid()
        return chances.flatten().numpy(), VoiceState(sound[-1, -_CONTEXT:].clone(), hidden, cell)

    def _features(self, sound: Tensor) -> Tensor:
        padded = nn.functional.pad(sound, (0, _CONTEXT), mode="reflect")
        waves = self.stft_conv(padded[:, None])
        spectrum = (waves[:, :_BINS] ** 2 + waves[:, _BINS:] ** 2).sqrt()
        deep = self.conv3(self.conv2(self.conv1(spectrum).relu()).relu()).relu()
        features: Tensor = self.conv4(deep).relu().squeeze(-1)
        return features


@lru_cache(maxsize=1)
def load_voice_net() -> VoiceNet:
    """The network with its weights, once a process. Raises StartRefused model_not_found."""
    weights = _weights()
    try:
        stored = load_file(weights)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            stored[f"lstm_cell.{name}_l0"] = stored.pop(f"lstm_cell.{name}")
        net = VoiceNet()
        net.load_state_dict(stored)
    except (OSError, KeyError, RuntimeError) as error:
        raise StartRefused("model_not_found", "silero-vad holds other weights than expected: install 6.2") from error
    return net.eval()


def _weights() -> Path:
    found = find_spec("silero_vad")
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder) / "data" / "silero_vad_16k.safetensors"
        if file.is_file():
            return file
    raise StartRefused(
        "model_not_found", "the package silero-vad is not installed: install it, or set sound.enabled off"
    )
