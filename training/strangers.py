"""Pictures that are not of the world: heaps of blurred, shaded and textured patches, as real scenes are made of."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_SIDE: Final = 160


def stranger(seed: int) -> NDArray[np.uint8]:
    """One picture, [160, 160, 3]: the same for a seed."""
    dice = np.random.default_rng([seed, 30])
    canvas = _cloud(dice)
    if dice.random() < 0.75:
        canvas = _heap(canvas, dice)
    shading = 1 + 0.5 * (_field(dice, 1.6)[..., None] * dice.uniform(0, 1))
    lit = np.asarray(canvas, np.float64) * shading * dice.uniform(0.4, 1.2) + dice.uniform(-30, 30)
    noisy = lit + dice.normal(0, dice.uniform(0, 8), lit.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _field(dice: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """A random plane whose power falls with the frequency as in photographs; values of about -1..1."""
    y, x = np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.rfftfreq(_SIDE), indexing="ij")
    stretch = np.hypot(x * dice.uniform(0.5, 2), y * dice.uniform(0.5, 2))
    stretch[0, 0] = 1
    waves = (dice.normal(size=x.shape) + 1j * dice.normal(size=x.shape)) / stretch**slope
    waves[0, 0] = 0
    plane = np.fft.irfft2(waves, (_SIDE, _SIDE))
    return np.asarray(plane / (2 * plane.std()))


def _cloud(dice: np.random.Generator) -> Image.Image:
    slope = dice.uniform(0.7, 1.8)
    shared, own = _field(dice, slope), dice.uniform(0.1, 0.7)
    tint, spread = dice.uniform(40, 215, 3), dice.uniform(15, 70)
    planes = [tint[c] + spread * ((1 - own) * shared + own * _field(dice, slope)) for c in range(3)]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def _heap(canvas: Image.Image, dice: np.random.Generator) -> Image.Image:
    """Patches of many sizes, one over the other, each with a texture of its own."""
    for _ in range(int(dice.integers(2, 40))):
        size = _SIDE * float(dice.uniform(0.04, 1.0)) ** 1.5
        x, y = dice.uniform(-0.2, 1.2, 2) * _SIDE
        cover = Image.new("L", canvas.size, 0)
        _outline(ImageDraw.Draw(cover), x, y, size, dice)
        if dice.random() < 0.6:
            cover = cover.filter(ImageFilter.GaussianBlur(float(dice.uniform(0.3, 4))))
        texture = _cloud(dice) if dice.random() < 0.3 else Image.new("RGB", canvas.size, _dull(dice))
        canvas.paste(texture, (0, 0), cover)
    return canvas.filter(ImageFilter.GaussianBlur(float(dice.uniform(0, 1.5))))


def _outline(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, dice: np.random.Generator) -> None:
    corners = int(dice.integers(3, 12))
    turns = np.sort(dice.uniform(0, 2 * np.pi, corners))
    radii = size * dice.uniform(0.4, 1.0, corners)
    squeeze = float(dice.uniform(0.2, 1.0))
    draw.polygon(
        [
            (x + r * float(np.cos(t)), y + squeeze * r * float(np.sin(t)))
            for r, t in zip(radii.tolist(), turns.tolist(), strict=True)
        ],
        fill=255,
    )


def _dull(dice: np.random.Generator) -> tuple[int, int, int]:
    grey = dice.uniform(10, 245)
    red, green, blue = np.clip(grey + dice.normal(0, 25, 3), 0, 255).astype(int).tolist()
    return red, green, blue
