"""Where a training computes: on a GPU where there is one. Films, texts and sheets are drawn on the processor anyway."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch

from perception.checkpoint import bfloat16_is_faster

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Held = TypeVar("Held", bound="DataclassInstance")

DEVICES: Final = ("auto", "cpu", "cuda")


def device_of(asked: str) -> torch.device:
    """asked: one of DEVICES. Raises ValueError for a GPU that is not there."""
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ValueError("there is no CUDA device here: leave --device out, or say cpu")
    return torch.device("cuda" if there and asked != "cpu" else "cpu")


def loaded(auto: Any, folder: Path, device: torch.device) -> Any:
    """A checkpoint to be taught, in full precision. auto: a class of transformers that opens it."""
    return auto.from_pretrained(folder, dtype=torch.float32).to(device)


def moved(held: Held, device: torch.device) -> Held:
    """The same dataclass with all its tensors there."""
    values: dict[str, Any] = {one.name: getattr(held, one.name) for one in fields(held)}
    return replace(held, **{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in values.items()})


def half(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """Products in bfloat16, where this device is quicker with it: some processors are a hundred times slower."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and bfloat16_is_faster(device))


def dice_on(device: torch.device, seed: int) -> torch.Generator:
    """The same for a seed on one kind of device."""
    return torch.Generator(device).manual_seed(seed)
