"""The configuration as the stages and people want it: plain structs for each stage, and what `config show` prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from memory.config import MemoryConfig
from perception.config import ModelConfig, PerceptionConfig, SampleConfig, SoundConfig, WindowConfig
from reasoning.config import ReasoningConfig, RemoteConfig
from server.admission import most_open
from server.config import Config, PerceptionSection, ReasoningSection, load_config
from server.ipc.messages import StageName
from server.models import ResolvedModel, ResolvedModels, resolve_models
from server.preflight import check_streams
from server.sources import shown_url


def stage_configs(config: Config, models: ResolvedModels) -> dict[StageName, msgspec.Struct]:
    """What each stage process is started with."""
    return {
        "perception": perception_config(config, models),
        "memory": memory_config(config, models),
        "reasoning": reasoning_config(config, models),
    }


def perception_config(config: Config, models: ResolvedModels) -> PerceptionConfig:
    """Perception's part."""
    section = config.perception
    return PerceptionConfig(
        encoder=_model(config, section, models.encoder),
        model=_model(config, section, models.model) if isinstance(models.model, ResolvedModel) else None,
        asr=None if models.asr is None else _model(config, section, models.asr),
        sample=SampleConfig(**config.sample.model_dump(), max_pixels=config.limits.image_pixels),
        window=WindowConfig(frames=config.window.frames, lanes=config.limits.streams),
        sound=SoundConfig(**config.sound.model_dump()),
    )


def memory_config(config: Config, models: ResolvedModels) -> MemoryConfig:
    """Memory's part."""
    section = config.memory
    data = config.data.absolute()
    return MemoryConfig(
        streams_folder=str(data / "streams"),
        cache_folder=str(data / "cache"),
        encoder=ModelConfig(
            folder=str(models.encoder.folder),
            device=section.device,
            dtype=section.dtype,
            threads=section.threads,
            trust_remote_code=config.trust_remote_code,
        ),
        max_event_us=round(section.max_event_s * 1e6),
        min_event_us=round(section.min_event_s * 1e6),
        keyframes=section.keyframes,
        max_bytes=section.max_bytes,
        max_age_us=round(section.max_age_s * 1e6),
        evidence=section.evidence,
    )


def reasoning_config(config: Config, models: ResolvedModels) -> ReasoningConfig:
    """Reasoning's part."""
    section = config.reasoning
    model = models.model
    settings = ReasoningConfig(
        model=None if isinstance(model, RemoteConfig) else _model(config, section, model),
        remote=model if isinstance(model, RemoteConfig) else None,
        slots=section.slots,
        evidence_cache_bytes=section.evidence_cache_bytes,
        window_frames=config.window.frames,
        recall_timeout_us=section.recall_timeout_ms * 1000,
        max_open_questions=most_open(config.limits.questions),
        captions=section.captions and not isinstance(model, RemoteConfig),
    )
    if section.system_prompt is None:
        return settings
    return msgspec.structs.replace(settings, system_prompt=section.system_prompt)


def _model(config: Config, section: PerceptionSection | ReasoningSection, model: ResolvedModel) -> ModelConfig:
    return ModelConfig(
        folder=str(model.folder),
        device=section.device,
        dtype=section.dtype,
        attention=section.attention,
        threads=section.threads,
        trust_remote_code=config.trust_remote_code,
    )


def show_config(config: Config, env: Mapping[str, str]) -> dict[str, Any]:
    """All settings as JSON, model and encoder resolved to folders, camera credentials left out.

    Raises StartError model_not_found.
    """
    models = resolve_models(config, env)
    shown: dict[str, Any] = config.model_dump(mode="json")
    here = models.model
    shown["model"] = here.url if isinstance(here, RemoteConfig) else str(here.folder)
    shown["encoder"] = str(models.encoder.folder)
    shown["asr"] = config.asr if models.asr is None else str(models.asr.folder)
    for stream in shown["streams"]:
        if stream["source"]["url"] is not None:
            stream["source"]["url"] = shown_url(stream["source"]["url"])
    return shown


def check_config(file: Path) -> Config:
    """Read and validate a file alone, its streams included. Raises StartError config_unknown_key or config_invalid."""
    config = load_config({}, {}, file)
    check_streams(config)
    return config
