"""Where and how a model runs: which attention is taken where."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch

from perception.checkpoint import place
from perception.config import ModelConfig


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """flash-attn as if it were installed."""
    module = ModuleType("flash_attn")
    module.__spec__ = ModuleSpec("flash_attn", None)
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    return module


def attention(device: str, dtype: str = "bfloat16", wanted: str = "auto") -> str:
    return place(ModelConfig("nowhere", device=device, dtype=dtype, attention=wanted)).attention


@pytest.mark.usefixtures("flash")
@pytest.mark.parametrize(
    ("device", "dtype", "chosen"),
    [
        ("cuda", "bfloat16", "flash_attention_2"),
        ("cuda:1", "float16", "flash_attention_2"),
        ("cuda", "float32", "sdpa"),
        ("cpu", "bfloat16", "sdpa"),
    ],
)
def test_flash_attention_is_taken_on_cuda_in_half_precision(device: str, dtype: str, chosen: str) -> None:
    assert attention(device, dtype) == chosen


@pytest.mark.parametrize(("dtype", "rounded"), [("float32", False), ("bfloat16", True)])
def test_what_is_asked_for_in_full_precision_is_rounded_nowhere(
    monkeypatch: pytest.MonkeyPatch, dtype: str, rounded: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    place(ModelConfig("nowhere", device="cuda", dtype=dtype))
    assert torch.backends.cudnn.allow_tf32 is rounded


@pytest.mark.usefixtures("flash")
def test_what_is_configured_wins() -> None:
    assert attention("cuda", wanted="sdpa") == "sdpa"
    assert attention("cpu", wanted="eager") == "eager"


def test_without_it_scaled_dot_product_attention_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    assert attention("cuda") == "sdpa"


def test_one_that_was_built_for_another_torch_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> ModuleType:
        raise ImportError("undefined symbol: _ZN2at4_ops5zeros4callE")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr("importlib.import_module", broken)
    assert attention("cuda") == "sdpa"
    assert "build it again" in caplog.text


def test_the_best_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert place(ModelConfig("nowhere", dtype="float32")).device.type == device
