"""Two frames through the whole engine before it is ready: a model that we would misread must not answer.

Our scores are held against those of the model's own forward, which gets the pixels and knows its own positions and
masks; a prompt that is read in chunks and a token behind it show whether the cache is kept as the model wants it.
"""

from typing import Final

import numpy as np
import torch

from perception.checkpoint import refusing
from perception.errors import StartRefused
from perception.vision import CheckpointVision
from perception.window import VisualTokens, WindowFrame
from reasoning.decoding import Decoding
from reasoning.families.common import Family
from reasoning.prompt import ChatMessage, Part
from reasoning.render import Renderer

_TOLERANCE: Final = {torch.float32: 0.02}
_ROUGH: Final = 0.15
"""How far the scores may lie apart, as a share of their spread: half precision rounds each chunk another way."""

_QUICK_S: Final = 1.0
"""A model that needs longer for a frame is tried with one."""

_FRAME: Final = WindowFrame("trial", 0, 0, b"", None)
_SEEN: Final = [
    np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    for seed, shape in enumerate(((48, 64), (64, 40)))
]


@torch.inference_mode()
def try_engine(family: Family, renderer: Renderer, vision: CheckpointVision, most: int) -> None:
    """most: the most tokens that a prompt may have to be read a second time, by the model alone.

    Raises StartRefused where a frame cannot be shown to the model, or is shown otherwise than it was taught.
    """
    with refusing("the model cannot be shown a frame"):
        apart = _apart(family, renderer, vision, most)
    if not apart <= _TOLERANCE.get(family.model.dtype, _ROUGH):
        raise StartRefused(
            "model_shape_mismatch", "the model reads frames in a way that is not known: name another one"
        )


def _apart(family: Family, renderer: Renderer, vision: CheckpointVision, most: int) -> float:
    seen = _SEEN if vision.slowest_s < _QUICK_S else _SEEN[:1]
    frames = vision.encode(seen)
    shown: list[Part] = ["b"]
    for _ in seen:
        shown += [_FRAME, "c"]
    turns = [ChatMessage("system", ["a"]), ChatMessage("user", shown)]
    ids = family.lay_out(renderer.encode(turns), frames)
    ours = _ours(family, ids, frames)
    if len(ids) > most:
        return 0.0
    whole = torch.tensor([[*ids, ids[0]]], device=family.model.device)
    told = dict.fromkeys(family.told, family.kinds(whole))
    pixels = vision.pictures.inputs(seen)
    out = family.model(input_ids=whole, attention_mask=torch.ones_like(whole), use_cache=False, **told, **pixels)
    theirs = out.logits[0, -2:].float()
    return float((ours.float() - theirs).norm() / (theirs - theirs.mean()).norm())


def _ours(family: Family, ids: list[int], frames: list[VisualTokens]) -> torch.Tensor:
    """Scores behind the prompt, whose chunks end within a picture, and behind one more token."""
    decoding = Decoding(family, ids, frames)
    chunk = ids.index(family.image_token) + max(1, frames[0].tokens.shape[0] // 2)
    while not decoding.prefill(chunk):
        pass
    first = decoding.logits
    decoding.extend(ids[0])
    return torch.stack([first, decoding.logits])
