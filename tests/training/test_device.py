"""Where a training computes, and how exactly."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from training import device
from training.device import device_of, dice_on, half, loaded, moved

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, asked: str, there: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of(asked).type == chosen


def test_one_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        device_of("cuda")


@pytest.mark.parametrize(
    ("fast", "wanted", "dtype"),
    [(True, True, torch.bfloat16), (True, False, torch.float32), (False, True, torch.float32)],
)
def test_products_are_rounded_where_that_is_quicker(
    monkeypatch: pytest.MonkeyPatch, fast: bool, wanted: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(device, "bfloat16_is_faster", lambda _: fast)
    with half(CPU, enabled=wanted):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_dice_fall_alike_for_a_seed() -> None:
    first, again, other = (torch.rand(8, generator=dice_on(CPU, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_taught_is_in_full_precision(blank: Path) -> None:
    model = loaded(AutoModelForImageTextToText, blank, CPU)
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@dataclass(frozen=True)
class Mixed:
    numbers: torch.Tensor
    names: list[str]


def test_tensors_are_moved_and_all_else_is_kept() -> None:
    found = moved(Mixed(torch.ones(2), ["a"]), torch.device("meta"))
    assert found.numbers.device.type == "meta"
    assert found.names == ["a"]
