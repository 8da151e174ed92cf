"""A direction for each fact: what both halves of the dual encoder are led to before contrast refines it.

The code of a picture, or of a text, is the sum of the codes of its facts. Two that share most facts lie close together,
and none lie on one another: contrast alone finds such an order too, but looks for it a long time.
"""

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from training.sayings import Fact

_LOOK: Final = 2.0
"""How loud a look is beside a single fact: of two things in a picture, one has the colour and one the shape of a third
that is not there, and only the look tells."""


def codes(facts: Sequence[Sequence[Fact]], width: int) -> Tensor:
    """Unit vectors [n, width], the sums of what `facts` names; of no fact, the code of nothing."""
    summed = [torch.stack([_code(fact, width) for fact in some or [("nothing",)]]).sum(0) for some in facts]
    return functional.normalize(torch.stack(summed), dim=-1)


@cache
def _code(fact: Fact, width: int) -> Tensor:
    """Of a look, its colour's bound to its shape's by multiplication, as likely to lie near to either as a code of its
    own, but known of pairs that training never showed too (holographic codes, Plate 1995)."""
    if fact[0] == "look":
        bound = _drawn(("colour", fact[1]), width) * _drawn(("shape", fact[2]), width)
        return _LOOK * functional.normalize(bound, dim=0)
    return functional.normalize(_drawn(fact, width), dim=0)


def _drawn(fact: Fact, width: int) -> Tensor:
    dice = torch.Generator().manual_seed(zlib.crc32(" ".join(fact).encode()))
    return torch.randn(width, generator=dice)
