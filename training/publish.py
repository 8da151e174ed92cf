"""Trained checkpoints to where the server finds them, in half precision."""

import shutil
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModel, AutoModelForImageTextToText

MODEL: Final = Path("reasoning/embedded")
ENCODER: Final = Path("memory/embedded")
MOST_BYTES: Final = 25_000_000


def publish(model: Path, encoder: Path, mean_with: Path | None = None) -> None:
    """mean_with: what the language model was after an earlier piece.

    Raises ValueError where both together are larger than they may be.
    """
    copy_checkpoint(AutoModelForImageTextToText, model, MODEL, mean_with)
    copy_checkpoint(AutoModel, encoder, ENCODER)
    size = sum(file.stat().st_size for folder in (MODEL, ENCODER) for file in folder.iterdir() if file.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"the checkpoints take {size} bytes, {MOST_BYTES} are the most")


def copy_checkpoint(kind: Any, source: Path, target: Path, mean_with: Path | None = None) -> None:
    """Weights rounded, everything else as it is. What else lies there, such as the model card, stays.

    mean_with: another checkpoint of the same shape; the weights are then halfway between both.
    """
    target.mkdir(parents=True, exist_ok=True)
    model = kind.from_pretrained(source, dtype=torch.float16)
    if mean_with is not None:
        one, other = (kind.from_pretrained(of, dtype=torch.float32).state_dict() for of in (source, mean_with))
        model.load_state_dict({name: (value + other[name]) / 2 for name, value in one.items()})
    model.save_pretrained(target)
    for file in source.iterdir():
        if file.suffix != ".safetensors" and file.name != "config.json":
            shutil.copyfile(file, target / file.name)
