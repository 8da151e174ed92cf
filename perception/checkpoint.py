"""Checkpoints from folders: where and how a model runs, and its weights, or a typed refusal.

safetensors only, no code from the folder unless allowed, and never a weight that is not the checkpoint's own.
"""

import functools
import hashlib
import importlib
import importlib.util
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors
import torch
import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

from perception.config import ModelConfig
from perception.errors import StartRefused

log = logging.getLogger(__name__)

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_CLEARLY: Final = 1.25
"""How much faster bf16 must be before it is worth its rounding."""

# What loading has to say is in the refusals; its tables and bars are for notebooks.
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@dataclass(frozen=True)
class Placement:
    """Where and how a model runs."""

    device: torch.device
    dtype: torch.dtype
    attention: str


def place(config: ModelConfig) -> Placement:
    """Resolve each `auto` for this machine; `threads` is applied to the whole process."""
    if config.threads > 0:
        torch.set_num_threads(config.threads)
    device = torch.device(_auto_device() if config.device == "auto" else config.device)
    if config.dtype == "auto":
        dtype = torch.bfloat16 if bfloat16_is_faster(device) else torch.float32
    elif config.dtype in _DTYPES:
        dtype = _DTYPES[config.dtype]
    else:
        raise StartRefused("config_invalid", f"dtype {config.dtype!r} is not one of auto, {', '.join(_DTYPES)}")
    if device.type == "cuda" and dtype is torch.float32:
        # Convolutions, which cut pictures into patches, would otherwise keep ten bits of what was asked for whole.
        torch.backends.cudnn.allow_tf32 = False
    return Placement(device, dtype, _auto_attention(device, dtype) if config.attention == "auto" else config.attention)


def _auto_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _auto_attention(device: torch.device, dtype: torch.dtype) -> str:
    flash = device.type == "cuda" and dtype is not torch.float32 and _has_flash_attention()
    return "flash_attention_2" if flash else "sdpa"


def _has_flash_attention() -> bool:
    """Whether it is installed and loads: one that was built for another torch is there and does not."""
    if importlib.util.find_spec("flash_attn") is None:
        return False
    try:
        importlib.import_module("flash_attn")
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("flash-attn is installed but cannot be loaded (%s): build it again", type(error).__name__)
        return False
    return True


@functools.cache
def bfloat16_is_faster(device: torch.device) -> bool:
    """Measured, not looked up: processors without bf16 products run them a hundred times slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    full, half = (torch.ones(64, 512, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    full_b, half_b = (torch.ones(512, 512, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    slow, fast = [], []
    for _ in range(5):
        slow.append(_seconds(lambda: full @ full_b))
        fast.append(_seconds(lambda: half @ half_b))
    return min(slow) > _CLEARLY * min(fast)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def check_folder(config: ModelConfig, what: str) -> Path:
    """The checkpoint's folder, looked at but not loaded. what: how messages call it, e.g. "the model".

    Raises StartRefused model_not_found, model_unsafe_weights (no safetensors) or model_remote_code.
    """
    folder = Path(config.folder)
    if not (folder / "config.json").is_file():
        raise StartRefused("model_not_found", f"{what} has no config.json: name a folder with a checkpoint")
    if not any(folder.glob("*.safetensors")):
        if any(True for pattern in _PICKLES for _ in folder.glob(pattern)):
            raise StartRefused("model_unsafe_weights", f"{what} has pickle weights only: convert it to safetensors")
        raise StartRefused("model_not_found", f"{what} has no *.safetensors: name a folder with weights")
    if not config.trust_remote_code and any("auto_map" in _json(file, what) for file in folder.glob("*config.json")):
        raise StartRefused("model_remote_code", f"{what} wants to run its own code: allow it if you trust it")
    return folder


def _json(file: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StartRefused("model_not_found", f"{what}: {file.name} cannot be read: its files are damaged") from error
    return content if isinstance(content, dict) else {}


def checkpoint_hash(folder: Path) -> str:
    """Tells checkpoints apart: a hash of their settings and of the names, sizes and headers of their weights."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(65536))
    return digest.hexdigest()[:16]


def load_config(config: ModelConfig, what: str) -> Any:
    """The checkpoint's transformers configuration. Raises StartRefused."""
    folder = check_folder(config, what)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=config.trust_remote_code)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StartRefused("model_not_found", f"{what} is of a kind that transformers does not know") from error


def load_model(model_class: Any, config: ModelConfig, settings: Any, placement: Placement, what: str) -> Any:
    """A model with every weight from the checkpoint, ready to run. settings: what `load_config` gave, maybe cut down.

    Raises StartRefused: model_shape_mismatch where a weight is missing or has another shape than the settings say.
    """
    try:
        model, report = model_class.from_pretrained(
            config.folder,
            config=settings,
            dtype=placement.dtype,
            attn_implementation=placement.attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=config.trust_remote_code,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, safetensors.SafetensorError) as error:
        raise StartRefused("model_not_found", f"{what}: its weights cannot be read: its files are damaged") from error
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise StartRefused("model_shape_mismatch", f"{what} does not fit its config.json: {reason}") from error
    _refuse_foreign_weights(report, what)
    return model.to(placement.device).eval().requires_grad_(False)


def _refuse_foreign_weights(report: dict[str, Any], what: str) -> None:
    """transformers draws at random what it does not find: such a model must not answer."""
    wrong = [f"{key[0] if isinstance(key, tuple) else key} has another shape" for key in report["mismatched_keys"]]
    wrong += [f"{key} is missing" for key in sorted(report["missing_keys"])]
    wrong += [str(line) for line in report.get("error_msgs", ())]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise StartRefused("model_shape_mismatch", f"{what}: {wrong[0]}{more}: its weights do not fit its config.json")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Whatever a library raises while a model is tried says that `what`: the model is refused, in one short line.

    A machine that is full or lost says nothing about the model.
    """
    try:
        yield
    except (StartRefused, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = ": ".join([type(error).__name__, *lines[:1]])[:200]
        raise StartRefused("model_shape_mismatch", f"{what}: {reason}") from error


def load_image_processor(config: ModelConfig, what: str) -> Any:
    """The checkpoint's image processor in its Pillow form, which needs no torchvision. Raises StartRefused."""
    return _load_part(AutoImageProcessor, config, f"{what}: its image processor", backend="pil")


def load_tokenizer(config: ModelConfig, what: str) -> Any:
    """The checkpoint's tokenizer. Raises StartRefused."""
    return _load_part(AutoTokenizer, config, f"{what}: its tokenizer")


def _load_part(auto_class: Any, config: ModelConfig, what: str, **more: Any) -> Any:
    try:
        return auto_class.from_pretrained(
            config.folder, local_files_only=True, trust_remote_code=config.trust_remote_code, **more
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise StartRefused("model_not_found", f"{what} {_hint(error)}") from error


def _hint(error: Exception) -> str:
    """What is missing, where that is known: some image processors have no Pillow form."""
    if isinstance(error, ImportError) and "torchvision" in str(error).lower():
        return "needs torchvision: install the one that is built for this torch, or name another model"
    return "cannot be loaded"


def drop_modules(model: Any, *parts: Any) -> None:
    """Take modules out of a model, and their memory with them."""
    unwanted = {id(part) for part in parts if part is not None}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if id(child) in unwanted:
                delattr(module, name)


def drop_layers(settings: Any, half: str) -> None:
    """Cut one half (`text_config`, `vision_config`) of the settings down to no layers, so that they are not loaded."""
    part = getattr(settings, half)
    part.num_hidden_layers = 0
    for name in ("layer_types", "mlp_layer_types"):
        if getattr(part, name, None) is not None:
            setattr(part, name, [])
