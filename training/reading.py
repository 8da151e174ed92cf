"""What a visual token is read to hold: a fixed linear reading of its place's features, fitted to the labels.

Features carry what a place shows in directions of very different size: which place it is, in one hundredth of what its
colour takes. A connector that learns from them directly lets the large ones bury the small. So the language model
learns from the reading, one number for each thing that the labels name, and both are one matrix in the end.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.labels import DIGITS, EMPTY, KINDS, SIGN, UNSURE, Labels
from training.world import COLOURS, PLACES, SHAPES

_KIND: Final = len(PLACES)
_COLOUR: Final = _KIND + KINDS
_DIGIT: Final = _COLOUR + len(COLOURS)
_MIDDLE: Final = _DIGIT + 10 * DIGITS
WIDTH: Final = _MIDDLE + 2
"""Numbers that a place is read as: which it is, what stands there, its colour, each digit, and its middle."""
_MIDDLE_SCALE: Final = 2.0
_RIDGE: Final = 10.0
_LOUDNESS: Final = 25.0
"""How much larger than words visual tokens are. The layers of a language model add far more to a token than the size
of a word: a place as quiet as a word is drowned by the first of them, and cannot be looked up by those that follow.
"""
_FADED: Final = 0.65
"""What is left of the weakest readings."""


class Fit:
    """Least squares from the features of places to what their labels say, frame by frame."""

    def __init__(self, width: int) -> None:
        self._square = torch.zeros(width, width)
        self._product = torch.zeros(width, WIDTH)

    def add(self, features: NDArray[np.float16], labels: Sequence[Labels]) -> None:
        """features: [n, 9, width]. Places of which it is open what they show are left out."""
        told = torch.from_numpy(np.stack([one.kinds for one in labels]) != UNSURE)
        x = torch.from_numpy(features).float()[told]
        y = torch.from_numpy(np.stack([numbers(one) for one in labels]))[told]
        self._square += x.T @ x
        self._product += x.T @ y

    def solve(self) -> NDArray[np.float32]:
        """The reading: [WIDTH, width]."""
        ridge = _RIDGE * torch.eye(len(self._square))
        found: NDArray[np.float32] = torch.linalg.solve(self._square + ridge, self._product).T.contiguous().numpy()
        return found


def numbers(labels: Labels) -> NDArray[np.float32]:
    """Labels as the numbers that a perfect reading would give: [9, WIDTH]."""
    found = np.zeros((len(PLACES), WIDTH), np.float32)
    for place, kind in enumerate(labels.kinds):
        found[place, place] = 1
        if kind != UNSURE:
            found[place, _KIND + kind] = 1
        if labels.colours[place] != UNSURE:
            found[place, _COLOUR + labels.colours[place]] = 1
        for n, digit in enumerate(labels.digits[place]):
            if digit != UNSURE:
                found[place, _DIGIT + 10 * n + digit] = 1
        if EMPTY < kind < SIGN:
            found[place, _MIDDLE:] = _MIDDLE_SCALE * labels.middles[place]
    return found


def read(features: NDArray[np.float16], reading: NDArray[np.float32]) -> NDArray[np.float16]:
    """[n, 9, width] to [n, 9, WIDTH]."""
    return (features.astype(np.float32) @ reading.T).astype(np.float16)


class Reader(nn.Module):
    """The layer from readings [n, 9, WIDTH] to visual tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, width, bias=False)

    @staticmethod
    def faded(read: Tensor, dice: torch.Generator) -> Tensor:
        """Readings in which, frame by frame, what stands there and its colour are weaker than they were read.

        A clear reading then outweighs what the words alone make likely: that no ring was yellow so far.
        """
        found = read.clone()
        for part in (slice(_KIND, _COLOUR), slice(_COLOUR, _DIGIT)):
            found[..., part] *= read.new_empty(len(read), 1, 1).uniform_(_FADED, 1, generator=dice)
        return found

    def forward(self, read: Tensor) -> Tensor:
        """[n, 9, width]."""
        tokens: Tensor = _LOUDNESS * self.linear(read)
        return tokens

    def behind(self, reading: Tensor) -> Tensor:
        """Reading and layer as one matrix, from features to visual tokens."""
        return _LOUDNESS * self.linear.weight @ reading


def new_reader(table: Tensor, tokenizer: Any) -> Reader:
    """It begins with the words for what is read, where there are such."""
    made = Reader(table.shape[1])
    words = {
        **dict(enumerate(PLACES)),
        **{_KIND + 1 + n: shape for n, shape in enumerate(SHAPES)},
        **{_COLOUR + n: colour for n, colour in enumerate(COLOURS)},
        _KIND + EMPTY: "nothing",
        _KIND + SIGN: "sign",
    }
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        weight = made.linear.weight
        weight.copy_(torch.randn(weight.shape, generator=dice) * table.std())
        for n, word in words.items():
            [token] = tokenizer.encode(f" {word}", add_special_tokens=False)
            weight[:, n] = table[token]
    return made
