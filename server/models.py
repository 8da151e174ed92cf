"""Model SPECs, without torch: embedded, a folder, a hub id in the local cache, a server elsewhere."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from reasoning.config import RemoteConfig
from server.config import Config
from server.errors import StartError

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = "embedded"
OFF = "off"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

Kind = Literal["model", "encoder", "asr"]


@dataclass(frozen=True)
class ResolvedModel:
    """The folder of a SPEC."""

    folder: Path


@dataclass(frozen=True)
class ResolvedModels:
    """All models of a configuration."""

    model: ResolvedModel | RemoteConfig
    encoder: ResolvedModel
    asr: ResolvedModel | None


def resolve_model(spec: str, kind: Kind = "model", env: Mapping[str, str] | None = None) -> ResolvedModel:
    """The folder of a SPEC. Raises StartError model_not_found."""
    env = os.environ if env is None else env
    if spec == EMBEDDED:
        return _embedded(kind)
    if _is_remote(spec):
        raise StartError("model_not_found", f"{kind} cannot be elsewhere: name a folder")
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return ResolvedModel(folder.resolve())
    if _HUB_ID.fullmatch(spec):
        return ResolvedModel(_hub_snapshot(spec, env))
    raise StartError("model_not_found", f"there is no folder {spec}: name a folder with a checkpoint for {kind}")


def _embedded(kind: Kind) -> ResolvedModel:
    if kind == "asr":
        raise StartError("model_not_found", "no speech recogniser is embedded: name a folder, or off")
    shipped = ROOT / ("reasoning" if kind == "model" else "memory") / "embedded"
    if not (shipped / "model.safetensors").is_file():
        raise StartError("model_not_found", f"this copy came without the embedded {kind}: get it whole, or name one")
    return ResolvedModel(shipped)


def _hub_snapshot(spec: str, env: Mapping[str, str]) -> Path:
    home = Path(env.get("HF_HOME") or Path(env.get("HOME") or "~").expanduser() / ".cache/huggingface")
    cache = Path(env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or home / "hub")
    repository = cache / f"models--{spec.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        revision = ""
    snapshot = repository / "snapshots" / revision
    if not revision or not snapshot.is_dir():
        raise StartError(
            "model_not_found", f"{spec} is neither a folder nor in the local Hugging Face cache: download it first"
        )
    return snapshot.resolve()


def resolve_models(config: Config, env: Mapping[str, str]) -> ResolvedModels:
    """Every SPEC of the configuration to its folder. Raises StartError model_not_found."""
    return ResolvedModels(
        model=_remote(config, env) if _is_remote(config.model) else resolve_model(config.model, "model", env),
        encoder=resolve_model(config.encoder, "encoder", env),
        asr=None if config.asr == OFF else resolve_model(config.asr, "asr", env),
    )


def _is_remote(spec: str) -> bool:
    return spec.startswith(("http://", "https://"))


def _remote(config: Config, env: Mapping[str, str]) -> RemoteConfig:
    try:
        parts = urlsplit(config.model)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, whole = urlsplit(""), False
    if not whole or parts.username or parts.password or parts.query or parts.fragment:
        raise StartError("model_not_found", "the model's address has the form http://HOST:PORT/v1, its key apart")
    return RemoteConfig(config.model, config.model_name, env.get("OMNILIVE_MODEL_API_KEY", ""))


def check_models(models: ResolvedModels, trust_remote_code: bool) -> None:
    """Look into every folder. Raises StartError: see `check_checkpoint`."""
    for kind, one in (("model", models.model), ("encoder", models.encoder), ("asr", models.asr)):
        if isinstance(one, ResolvedModel):
            check_checkpoint(one.folder, kind, trust_remote_code)


def check_checkpoint(folder: Path, kind: str, trust_remote_code: bool) -> None:
    """A checkpoint's files, without loading it.

    Raises StartError model_not_found, model_unsafe_weights (pickle only) or model_remote_code (code not allowed).
    """
    if not (folder / "config.json").is_file():
        raise StartError("model_not_found", f"{folder} has no config.json: name a folder with a checkpoint for {kind}")
    if not any(folder.glob("*.safetensors")):
        if any(True for pattern in _PICKLES for _ in folder.glob(pattern)):
            raise StartError(
                "model_unsafe_weights", f"{folder} has pickle weights only: convert the {kind} to safetensors"
            )
        raise StartError("model_not_found", f"{folder} has no *.safetensors: name a folder with weights for {kind}")
    if not trust_remote_code and any(_wants_code(file) for file in folder.glob("*config.json")):
        raise StartError(
            "model_remote_code",
            f"the {kind} in {folder} wants to run its own code: give --trust-remote-code if you trust it",
        )


def _wants_code(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise StartError("model_not_found", f"{file} is not JSON: the checkpoint is damaged") from None
    return isinstance(content, dict) and bool(content.get("auto_map"))
