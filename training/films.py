"""Films as a model sees them: scripts drawn, sent through H.264, sampled, and made as small as the models take them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from transformers import AutoImageProcessor

from training.world import PRESETS, SECOND, Preset, Script, World, frame

Pictures = NDArray[np.uint8]
"""[frames, height, width, 3], RGB."""

RATE: Final = 2.0
"""Samples a second, as perception takes them."""
SIZES: Final = ((320, 240), (426, 240), (480, 360), (640, 480), (256, 256), (640, 360), (240, 320))
_SIZE_ODDS: Final = (0.25, 0.15, 0.2, 0.15, 0.1, 0.1, 0.05)
_PRESET_ODDS: Final = {"plain": 0.7, "many": 0.15, "dark": 0.1, "still": 0.05}
_CRF: Final = (16, 36)
_JITTER_US: Final = 100_000


@dataclass(frozen=True)
class Film:
    """A script and what is seen of it: pictures[n] was taken at times[n], in microseconds. width, height: as shot."""

    script: Script
    times: tuple[int, ...]
    pictures: Pictures
    width: int
    height: int


class Shrinker:
    """Makes pictures as a checkpoint's image processor does, kept as bytes."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoImageProcessor.from_pretrained(folder)

    def shrink(self, pictures: Sequence[NDArray[np.uint8]]) -> Pictures:
        """[frames, side, side, 3] of pictures of any size."""
        found = self.processor(images=list(pictures), input_data_format="channels_last", return_tensors="np")
        values = np.asarray(found["pixel_values"]).reshape(len(pictures), *np.asarray(found["pixel_values"]).shape[-3:])
        return np.round((values * 0.5 + 0.5) * 255).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def training_preset(seed: int) -> Preset:
    """The preset of a training film: most are plain; none shows a pair that is held back."""
    name = str(np.random.default_rng([seed, 20]).choice(list(_PRESET_ODDS), p=list(_PRESET_ODDS.values())))
    return replace(PRESETS[name], pairs="seen")


def make_film(seed: int, preset: Preset, shrinker: Shrinker) -> Film:
    """The film of a seed: its size, its quality and the moments of its samples follow from the seed too."""
    script = World(seed, preset).script()
    dice = np.random.default_rng([seed, 21])
    width, height = SIZES[int(dice.choice(len(SIZES), p=_SIZE_ODDS))]
    late_us = int(dice.integers(_JITTER_US)) * int(dice.integers(2))
    times = [round(n * SECOND / RATE) + late_us for n in range(int(script.duration_us * RATE / SECOND))]
    seen = coded((frame(script, at_us, width, height) for at_us in times), width, height, int(dice.integers(*_CRF)))
    return Film(script, tuple(times), shrinker.shrink(list(seen)), width, height)


def coded(pictures: Iterator[NDArray[np.uint8]], width: int, height: int, crf: int) -> Iterator[NDArray[np.uint8]]:
    """The pictures after a way through H.264 and back."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 10)
    # As many slices as threads: on a machine with more cores it would be another film.
    encoder.thread_count = 1
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf), "g": "8"}
    decoder: Any = av.CodecContext.create("h264", "r")
    for number, picture in enumerate(pictures):
        shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
        shown.pts = number
        for packet in encoder.encode(shown):
            yield from (image.to_ndarray(format="rgb24") for image in decoder.decode(packet))
    for packet in encoder.encode(None):
        yield from (image.to_ndarray(format="rgb24") for image in decoder.decode(packet))
    yield from (image.to_ndarray(format="rgb24") for image in decoder.decode(None))
