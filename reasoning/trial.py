"""One frame through the whole engine before it is ready: a model that we would misread must not answer.

Our scores are held against those of the model's own forward, which gets the pixels and knows its own positions and
masks; a prompt cut in two and a token behind it show whether the cache is kept as the model wants it.
"""

from typing import Any, Final

import numpy as np
import torch

from perception.errors import StartRefused
from perception.vision import CheckpointVision
from perception.window import VisualTokens, WindowFrame
from reasoning.decoding import Decoding
from reasoning.families.common import Family
from reasoning.prompt import ChatMessage
from reasoning.render import Renderer

_TOLERANCE: Final = {torch.float32: 0.02}
_ROUGH: Final = 0.1
"""How far the scores may lie apart, as a share of their spread: half precision rounds each chunk another way."""

_FRAME: Final = WindowFrame("trial", 0, 0, b"", None)
_SEEN: Final = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@torch.inference_mode()
def try_engine(family: Family, renderer: Renderer, vision: CheckpointVision, most: int) -> None:
    """most: the most tokens that a prompt may have to be read a second time, by the model alone.

    Raises StartRefused where a frame cannot be shown to the model, or is shown otherwise than it was taught.
    """
    try:
        apart = _apart(family, renderer, vision, most)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise StartRefused("model_shape_mismatch", f"the model cannot be shown a frame: {reason}") from error
    if not apart <= _TOLERANCE.get(family.model.dtype, _ROUGH):
        raise StartRefused(
            "model_shape_mismatch", "the model reads frames in a way that is not known: name another one"
        )


def _apart(family: Family, renderer: Renderer, vision: CheckpointVision, most: int) -> float:
    [frame] = vision.encode([_SEEN])
    ids = renderer.encode([ChatMessage("system", ["a"]), ChatMessage("user", ["b", _FRAME, "c"])])
    ids = family.lay_out(ids, [frame])
    ours = _ours(family, ids, frame)
    if len(ids) > most:
        return 0.0
    whole = torch.tensor([[*ids, ids[0]]], device=family.model.device)
    told: dict[str, Any] = {"attention_mask": torch.ones_like(whole), **family.kinds(whole)}
    theirs = family.model(input_ids=whole, **told, **vision.pictures.inputs([_SEEN]), use_cache=False).logits[0, -2:]
    return float((ours - theirs).float().norm() / (theirs.float() - theirs.float().mean()).norm())


def _ours(family: Family, ids: list[int], frame: VisualTokens) -> torch.Tensor:
    """Scores behind the prompt, whose chunks end within the picture, and behind one more token."""
    decoding = Decoding(family, ids, [frame])
    chunk = ids.index(family.image_token) + max(1, frame.tokens.shape[0] // 2)
    while not decoding.prefill(chunk):
        pass
    first = decoding.logits
    decoding.extend(ids[0])
    return torch.stack([first, decoding.logits])
