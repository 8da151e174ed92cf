"""What a procedural world sounds like: tones, and a babbling voice that a voice detector takes for speech."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.world_script import SECOND, Beeped, Script, Spoke

Sound = NDArray[np.float32]
"""Mono samples, -1..1."""

RATE: Final = 16_000
_VOWELS: Final = np.array(
    [(730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240)], np.float64
)
"""The three resonances of a, e, i, o, u, in hertz."""
_RESONANCES: Final = ((1.0, 60.0), (0.5, 80.0), (0.25, 120.0))
"""Strength and half width of each resonance."""
_SYLLABLE_S: Final = 0.2
_HARMONICS: Final = 40


def soundtrack(script: Script, rate: int = RATE) -> Sound:
    """All that can be heard, from the script's beginning to its end, over a faint hiss."""
    length = round(script.duration_us * rate / SECOND)
    track = np.random.default_rng([script.seed, 6]).normal(0, 1e-4, length).astype(np.float32)
    for event in script.events:
        if isinstance(event, Beeped | Spoke):
            seconds = (event.end_us - event.start_us) / SECOND
            made = (
                tone(seconds, event.hertz, rate)
                if isinstance(event, Beeped)
                else voice(seconds, script.seed + event.start_us, rate)
            )
            first = round(event.start_us * rate / SECOND)
            made = made[: max(0, length - first)]
            track[first : first + len(made)] += made
    return track


def tone(seconds: float, hertz: float, rate: int = RATE, level: float = 0.25) -> Sound:
    """A pure tone with soft ends."""
    at_s = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * at_s) * _soft_ends(at_s, seconds)).astype(np.float32)


def voice(seconds: float, seed: int, rate: int = RATE, level: float = 0.25) -> Sound:
    """Vowels in a row, a fifth of a second each: a buzz of moving pitch through three moving resonances."""
    dice = np.random.default_rng([seed, 7])
    at_s = np.arange(round(seconds * rate)) / rate
    swing, tremble = np.sin(2 * np.pi * 0.7 * at_s + dice.uniform(0, 6)), np.sin(2 * np.pi * 5 * at_s)
    pitch = 120 * (1 + 0.15 * swing + 0.03 * tremble)
    spoken = _vowels(at_s, pitch, dice, rate)
    opened = 0.15 + 0.85 * np.sqrt(np.sin(np.pi * (at_s / _SYLLABLE_S % 1)))
    breath = dice.normal(0, 0.03 * np.abs(spoken).max(initial=1e-9), len(at_s)) * (1 - opened)
    sound = (spoken * opened + breath) * _soft_ends(at_s, seconds)
    return np.asarray(level * sound / np.abs(sound).max(initial=1e-9), np.float32)


def _vowels(
    at_s: NDArray[np.float64], pitch: NDArray[np.float64], dice: np.random.Generator, rate: int
) -> NDArray[np.float64]:
    syllables = int(at_s[-1] / _SYLLABLE_S) + 2 if len(at_s) else 1
    centres_s = (np.arange(syllables) + 0.5) * _SYLLABLE_S
    vowels = _VOWELS[dice.integers(len(_VOWELS), size=syllables)]
    resonances = [np.interp(at_s, centres_s, vowels[:, n]) for n in range(3)]
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros(len(at_s))
    for harmonic in range(1, _HARMONICS):
        hertz = harmonic * pitch
        strength = sum(
            much / (1 + ((hertz - middle) / wide) ** 2)
            for middle, (much, wide) in zip(resonances, _RESONANCES, strict=True)
        )
        sound += strength / harmonic**0.3 * np.sin(harmonic * phase) * (hertz < rate / 2 - 200)
    return sound


def _soft_ends(at_s: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(at_s / 0.02, 0, 1) * np.clip((seconds - at_s) / 0.02, 0, 1))
