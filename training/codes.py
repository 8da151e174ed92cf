"""A direction for each fact: what both halves of the dual encoder are led to before contrast refines it.

The code of a picture, or of a text, is the sum of the codes of its facts. Two that share most facts lie close together,
and none lie on one another: contrast alone finds such an order too, but looks for it a long time.
"""

import zlib
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from training.sayings import Fact


def codes(facts: Sequence[Sequence[Fact]], width: int) -> Tensor:
    """Unit vectors [n, width], the sums of what `facts` names; of no fact, the code of nothing."""
    summed = [torch.stack([_code(fact, width) for fact in some or [("nothing",)]]).sum(0) for some in facts]
    return functional.normalize(torch.stack(summed), dim=-1)


@cache
def _code(fact: Fact, width: int) -> Tensor:
    dice = torch.Generator().manual_seed(zlib.crc32(" ".join(fact).encode()))
    return functional.normalize(torch.randn(width, generator=dice), dim=0)
