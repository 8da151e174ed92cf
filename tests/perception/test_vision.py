"""Frames become one picture each: of a bounded size, in a batch or alone, whatever the model would cut them into."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from perception.checkpoint import Placement, refusing
from perception.config import ModelConfig
from perception.encoders import Image
from perception.errors import StartRefused
from perception.vision import CheckpointVision, load_vision_half, to_tensor
from perception.window import VisualTokens
from reasoning.random_checkpoints import make_idefics3, make_qwen3_vl
from reasoning.random_families import (
    make_gemma3,
    make_internvl,
    make_llava_next,
    make_llava_onevision,
    make_qwen2_5_vl,
)

MAKERS: dict[str, Callable[[Path], Path]] = {
    "idefics3": make_idefics3,
    "qwen3_vl": make_qwen3_vl,
    "qwen2_5_vl": make_qwen2_5_vl,
    "internvl": make_internvl,
    "llava_onevision": make_llava_onevision,
    "llava_next": make_llava_next,
    "gemma3": make_gemma3,
}
SHAPES = ((540, 960), (960, 540), (960, 960), (30, 40), (8, 600), (600, 8), (720, 960))
CPU = Placement(torch.device("cpu"), torch.float32, "sdpa")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Small models gain nothing from more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def half_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CheckpointVision]:
    """The vision half of a random checkpoint of a family."""
    made: dict[str, CheckpointVision] = {}

    def half(name: str) -> CheckpointVision:
        if name not in made:
            folder = MAKERS[name](tmp_path_factory.mktemp(name))
            made[name] = load_vision_half(ModelConfig(str(folder), device="cpu", dtype="float32"))
        return made[name]

    return half


def picture(seed: int, height: int, width: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def size(tokens: VisualTokens) -> int:
    return sum(len(tensor.data) for tensor in (tokens.tokens, *tokens.deepstack))


@pytest.mark.parametrize("name", MAKERS)
def test_no_frame_takes_more_than_was_announced(half_of: Callable[[str], CheckpointVision], name: str) -> None:
    half = half_of(name)
    for seed, shape in enumerate(SHAPES):
        [tokens] = half.encode([picture(seed, *shape)])
        assert 0 < size(tokens) <= half.max_bytes, shape
    assert half.max_bytes < 1_000_000


@pytest.mark.parametrize("name", MAKERS)
def test_frames_of_several_shapes_keep_their_own_tokens_in_a_batch(
    half_of: Callable[[str], CheckpointVision], name: str
) -> None:
    half = half_of(name)
    images = [picture(seed, *shape) for seed, shape in enumerate(((64, 48), (40, 96), (96, 40)))]
    for count in (1, 2, 3):
        together = half._encode(images[:count])
        assert len(together) == count
        for one, alone in zip(together, half.encode(images[:count]), strict=True):
            assert one.grid == alone.grid
            assert one.tokens.shape == alone.tokens.shape
            torch.testing.assert_close(to_tensor(one.tokens), to_tensor(alone.tokens), atol=1e-4, rtol=1e-4)
            for deep, deep_alone in zip(one.deepstack, alone.deepstack, strict=True):
                torch.testing.assert_close(to_tensor(deep), to_tensor(deep_alone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "stacked"), [("internvl", True), ("gemma3", True), ("qwen2_5_vl", False)])
def test_what_a_model_gives_pictures_in_is_known(
    half_of: Callable[[str], CheckpointVision], name: str, stacked: bool
) -> None:
    assert half_of(name).stacked is stacked


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), torch.AcceleratorError("lost", 700), MemoryError()])
def test_a_full_or_lost_machine_is_no_fault_of_the_model(error: Exception) -> None:
    with pytest.raises(type(error)), refusing("the model cannot encode a frame"):
        raise error


class Cutting:
    """Image processor and vision half in one: a token for each started square of 100 pixels."""

    model_input_names = ("pixel_values",)
    config = SimpleNamespace()

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def __call__(self, images: list[Image], **_options: Any) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.from_numpy(np.stack(images)).float()}

    def get_image_features(self, pixel_values: torch.Tensor, **_options: Any) -> Any:
        if self.broken:
            raise AttributeError("'list' object has no attribute 'to'")
        _, height, width, _ = pixel_values.shape
        return SimpleNamespace(pooler_output=[torch.zeros(-(-height // 100) * -(-width // 100), 4)])


def test_a_model_that_cuts_frames_into_too_many_tokens_is_refused() -> None:
    assert CheckpointVision(Cutting(), Cutting(), CPU, 28).max_bytes == 28 * 16
    with pytest.raises(StartRefused, match="into 28 tokens, 27 are the most") as refused:
        CheckpointVision(Cutting(), Cutting(), CPU, 27)
    assert refused.value.code == "model_shape_mismatch"
    assert CheckpointVision(Cutting(), Cutting(), CPU, 59, keyframe_px=900).max_bytes == 54 * 16
    with pytest.raises(StartRefused, match="tokens"):
        CheckpointVision(Cutting(), Cutting(), CPU, 60, keyframe_px=1920)


def test_a_checkpoint_without_two_halves_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_idefics3(tmp_path)
    monkeypatch.setattr("perception.vision.load_config", lambda *_given: SimpleNamespace())
    with pytest.raises(StartRefused, match="vision half cannot be told from the rest"):
        load_vision_half(ModelConfig(str(folder), device="cpu", dtype="float32"))


def test_a_model_that_cannot_encode_is_refused() -> None:
    with pytest.raises(StartRefused, match="cannot encode a frame: AttributeError"):
        CheckpointVision(Cutting(broken=True), Cutting(), CPU, 60)
