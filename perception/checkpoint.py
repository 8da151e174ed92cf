"""Opening a checkpoint folder: refusals, and where and in which numbers the model runs on this machine."""

import functools
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from perception.config import ModelConfig
from perception.errors import StartRefused

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class Checkpoint:
    """A folder that may be loaded, and how."""

    folder: str
    device: torch.device
    dtype: torch.dtype
    attention: str
    trust_remote_code: bool

    @functools.cached_property
    def config(self) -> Any:
        """The transformers configuration."""
        return AutoConfig.from_pretrained(self.folder, trust_remote_code=self.trust_remote_code)

    @functools.cached_property
    def identity(self) -> str:
        """A hash of the configuration and of the weights' headers and sizes: other weights, other identity."""
        digest = hashlib.sha256((Path(self.folder) / "config.json").read_bytes())
        for weights in sorted(Path(self.folder).glob("*.safetensors")):
            with weights.open("rb") as file:
                digest.update(file.read(1 << 20))
            digest.update(f"{weights.name}:{weights.stat().st_size}:{weights.stat().st_mtime_ns}".encode())
        return digest.hexdigest()[:16]

    def load(self, auto_class: Any) -> Any:
        """The model, in evaluation mode on its device. Raises StartRefused where weights are missing or misshapen."""
        model, report = self._from_pretrained(auto_class)
        missing = sorted(report["missing_keys"])
        if missing or report.get("mismatched_keys"):
            raise StartRefused("model_shape_mismatch", _mismatch(missing))
        return model.to(self.device).eval()

    def _from_pretrained(self, auto_class: Any) -> tuple[Any, dict[str, Any]]:
        try:
            loaded: tuple[Any, dict[str, Any]] = auto_class.from_pretrained(
                self.folder,
                dtype=self.dtype,
                attn_implementation=self.attention,
                use_safetensors=True,
                trust_remote_code=self.trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
        except (RuntimeError, ValueError, OSError, KeyError, AttributeError, TypeError) as error:
            raise StartRefused("model_shape_mismatch", _mismatch([])) from error
        return loaded


def _mismatch(missing: list[str]) -> str:
    which = f" (missing: {', '.join(missing[:3])})" if missing else ""
    return f"the checkpoint's weights do not fit its config.json{which}; give a complete, matching checkpoint"


def open_checkpoint(config: ModelConfig) -> Checkpoint:
    """Check a folder before anything of it is read as code or weights. Raises StartRefused."""
    folder = Path(config.folder)
    settings = _read_settings(folder)
    if not any(folder.glob("*.safetensors")):
        if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
            raise StartRefused(
                "model_unsafe_weights", "the checkpoint has pickle weights only; convert it to safetensors"
            )
        raise StartRefused("model_not_found", "the checkpoint folder holds no .safetensors file")
    if "auto_map" in settings and not config.trust_remote_code:
        raise StartRefused(
            "model_remote_code", "the checkpoint brings code of its own; allow it by --trust-remote-code"
        )
    device = choose_device(config.device)
    return Checkpoint(
        config.folder, device, choose_dtype(config.dtype, device), choose_attention(config.attention, device),
        config.trust_remote_code,
    )  # fmt: skip


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise StartRefused("model_not_found", "there is no checkpoint folder with a config.json") from error
    if not isinstance(settings, dict):
        raise StartRefused("model_not_found", "the checkpoint's config.json is not an object")
    return settings


def choose_device(wanted: str) -> torch.device:
    """CUDA where there is one, else the CPU; or what was asked for."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA, and on a CPU where it is measured faster; or what was asked for."""
    if wanted != "auto":
        return _DTYPES[wanted]
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if _bfloat16_is_faster() else torch.float32


def choose_attention(wanted: str, device: torch.device) -> str:
    """Scaled-dot-product attention, which every family has; or what was asked for."""
    return "sdpa" if wanted == "auto" else wanted


@functools.cache
def _bfloat16_is_faster() -> bool:
    """Time a product in both: without avx512_bf16 or AMX, bfloat16 is a hundred times slower than float32."""
    return _product_seconds(torch.bfloat16) < 0.7 * _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(64, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    best = 1.0
    for _ in range(3):
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return best
