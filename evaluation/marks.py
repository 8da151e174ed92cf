"""A number in a picture, for programs that look at it after it was scaled and coded: blocks along its lower edge."""

from typing import Final

from evaluation.clips import Picture

NUMBERS: Final = 1 << 12
_BITS: Final = 12
_CHECKS: Final = 4
_BLOCKS: Final = _BITS + _CHECKS
_DARK, _LIGHT = 30, 225
_HEIGHT: Final = 1 / 9
"""Of the strip, as a share of the picture's."""


def marked(picture: Picture, number: int) -> Picture:
    """A copy that carries a number below NUMBERS."""
    number %= NUMBERS
    text = f"{number:0{_BITS}b}{_check(number):0{_CHECKS}b}"
    copy = picture.copy()
    height, width = picture.shape[:2]
    for n, bit in enumerate(text):
        left, right = round(n * width / _BLOCKS), round((n + 1) * width / _BLOCKS)
        copy[height - round(height * _HEIGHT) :, left:right] = _LIGHT if bit == "1" else _DARK
    return copy


def read_mark(picture: Picture) -> int | None:
    """The number of a picture [height, width, 3]; None where there is none that can be read."""
    height, width = picture.shape[:2]
    strip = picture[height - round(height * _HEIGHT * 0.75) : height - round(height * _HEIGHT * 0.25)].mean(axis=(0, 2))
    edges = [round((n + share) * width / _BLOCKS) for n in range(_BLOCKS) for share in (0.25, 0.75)]
    means = [strip[left:right].mean() for left, right in zip(edges[::2], edges[1::2], strict=True)]
    if any(abs(mean - (_DARK + _LIGHT) / 2) < (_LIGHT - _DARK) / 4 for mean in means):
        return None
    text = "".join("1" if mean > (_DARK + _LIGHT) / 2 else "0" for mean in means)
    number = int(text[:_BITS], 2)
    return number if int(text[_BITS:], 2) == _check(number) else None


def _check(number: int) -> int:
    """Never that of an all dark or all light strip."""
    return (5 + 7 * sum(number >> shift & 15 for shift in (0, 4, 8)) + 3 * (number >> 4)) % (1 << _CHECKS)
