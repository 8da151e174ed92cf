"""Trained checkpoints to where the server finds them, in half precision."""

import shutil
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModel, AutoModelForImageTextToText

MODEL: Final = Path("reasoning/embedded")
ENCODER: Final = Path("memory/embedded")
MOST_BYTES: Final = 25_000_000


def publish(model: Path, encoder: Path) -> None:
    """Raises ValueError where both together are larger than they may be."""
    copy_checkpoint(AutoModelForImageTextToText, model, MODEL)
    copy_checkpoint(AutoModel, encoder, ENCODER)
    size = sum(file.stat().st_size for folder in (MODEL, ENCODER) for file in folder.iterdir() if file.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"the checkpoints take {size} bytes, {MOST_BYTES} are the most")


def copy_checkpoint(kind: Any, source: Path, target: Path) -> None:
    """Weights rounded, everything else as it is. What else lies there, such as the model card, stays."""
    target.mkdir(parents=True, exist_ok=True)
    kind.from_pretrained(source, dtype=torch.float16).save_pretrained(target)
    for file in source.iterdir():
        if file.suffix != ".safetensors" and file.name != "config.json":
            shutil.copyfile(file, target / file.name)
