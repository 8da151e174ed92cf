"""One typed configuration: flags over environment over TOML file over default; what it does not know it refuses."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from server.errors import StartError
from server.protocol import StreamRequest, known_zone

PREFIX = "OMNILIVE_"
RESERVED = frozenset({"OMNILIVE_API_KEY", "OMNILIVE_URL", "OMNILIVE_MODEL_API_KEY"})
"""Variables that are no settings: secrets, and where clients find the server."""

_SERVICE_LINK = re.compile(r"OMNILIVE_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?)", re.ASCII)
"""What Kubernetes sets for a service named omnilive; its OMNILIVE_PORT is an address."""

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
Port = Annotated[int, Field(ge=0, le=65_535)]

LARGEST_BYTES = 2**53
"""No size may be larger: every program reads it exactly, and it fits all that it is multiplied with."""
LARGEST_RECORD = 18 * 2**20 - 2**16
"""What a queue between processes carries in one piece: half of it, less what is told beside the content."""


class Section(BaseModel):
    """Base of every section: immutable, nothing unknown, described by its docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class PerceptionSection(Section):
    """Where perception's models run."""

    device: Device = "auto"
    """cpu, cuda, cuda:N, or auto: the best there is."""
    dtype: Dtype = "auto"
    """Of the vision half and the recall encoder."""
    attention: Attention = "auto"
    """Kernel of attention."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of its models on the CPU; 0: chosen from the machine."""


class ReasoningSection(Section):
    """Where the model runs, and its bounds."""

    device: Device = "auto"
    """cpu, cuda, cuda:N, or auto: the best there is."""
    dtype: Dtype = "auto"
    """Of the whole checkpoint."""
    attention: Attention = "auto"
    """Kernel of attention."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of the model on the CPU; 0: chosen from the machine."""
    slots: Annotated[int, Field(ge=1, le=256)] = 8
    """Questions that are answered at once, a token each a step; more share the machine, more memory."""
    evidence_cache_bytes: Annotated[int, Field(ge=0, le=LARGEST_BYTES)] = 512 * 2**20
    """Visual tokens of recalled keyframes that are kept; more memory, fewer encodings."""
    captions: bool = True
    """Whether events are described while nobody asks; never by a model elsewhere."""
    recall_timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 2_000
    """How long a question waits for memory before it is answered without the past."""
    system_prompt: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None
    """What the model is told before every question; a stream's own prompt comes on top."""


class SampleSection(Section):
    """Which frames are looked at and which are encoded."""

    fps: Annotated[float, Field(ge=0.001, le=60)] = 2.0
    """Frames looked at per second; more finds shorter events and costs encoding."""
    change: Annotated[float, Field(ge=0, le=1)] = 0.002
    """Share of the picture that must differ from the last encoded frame."""
    keyframe_px: Annotated[int, Field(ge=64, le=8192)] = 640
    """Long side of stored evidence; never enlarged."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 80
    """Of stored evidence."""


class WindowSection(Section):
    """The now window."""

    frames: Annotated[int, Field(ge=1, le=64)] = 8
    """Newest frames that are in every prompt; more context, slower first token."""


class SoundSection(Section):
    """Voice activity."""

    enabled: bool = True
    """Whether audio tracks are listened to at all."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """How sure the detector must be."""
    silence_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """Silence that ends a span of speech."""
    min_speech_ms: Annotated[int, Field(ge=0, le=60_000)] = 250
    """Shorter sounds are no speech."""


class MemorySection(Section):
    """How events close and how much of them is kept; streams may have their own bounds."""

    max_event_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Greatest length of an event."""
    min_event_s: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    """Cuts closer than this do not close an event."""
    keyframes: Annotated[int, Field(ge=1, le=64)] = 3
    """Frames kept of an event."""
    max_bytes: Annotated[int, Field(ge=2**20, le=LARGEST_BYTES)] = 10 * 2**30
    """Budget of one stream: old neighbours are merged to stay inside, the coarser the older; then the oldest go."""
    max_age_s: Annotated[float, Field(ge=1, le=3_153_600_000)] = 30 * 24 * 3600.0
    """Older events are forgotten."""
    evidence: Annotated[int, Field(ge=0, le=64)] = 4
    """Recalled keyframes in a prompt; more evidence, slower first token."""
    device: Device = "auto"
    """Where the recall encoder's text half runs."""
    dtype: Dtype = "auto"
    """Of the recall encoder's text half."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of the encoder on the CPU; 0: chosen from the machine."""


class LimitsSection(Section):
    """What clients may ask for; the whole table is in GET /v1/server."""

    body_bytes: Annotated[int, Field(ge=1024, le=LARGEST_RECORD)] = 2**20
    """A JSON body."""
    header_bytes: Annotated[int, Field(ge=1024, le=2**20)] = 64 * 2**10
    """A request's address and headers."""
    picture_bytes: Annotated[int, Field(ge=1024, le=LARGEST_RECORD)] = 16 * 2**20
    """A picture that is searched with."""
    archive_bytes: Annotated[int, Field(ge=1024, le=LARGEST_BYTES)] = 16 * 2**30
    """An archive that is imported."""
    message_bytes: Annotated[int, Field(ge=1024, le=LARGEST_RECORD)] = 16 * 2**20
    """A websocket message."""
    question_bytes: Annotated[int, Field(ge=16, le=2**20)] = 16 * 2**10
    """A question's text in UTF-8."""
    image_pixels: Annotated[int, Field(ge=1, le=2**30)] = 33_177_600
    """Width times height of any picture or video."""
    streams: Annotated[int, Field(ge=1, le=4096)] = 64
    """Streams of the server; each has its lane in the window slab."""
    questions: Annotated[int, Field(ge=1, le=4096)] = 64
    """Open questions of one stream."""
    connections: Annotated[int, Field(ge=1, le=2**20)] = 1024
    """Connections, those that have asked nothing yet included."""
    deadline_ms: Annotated[int, Field(ge=1, le=600_000)] = 60_000
    """Of a question that names none."""
    body_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Between two pieces of a request's body, and for its headers."""
    send_timeout_s: Annotated[float, Field(gt=0, le=15)] = 6.0
    """A websocket client that takes nothing of what waits for it for so long is dropped."""
    bad_messages: Annotated[int, Field(ge=1, le=2**20)] = 100
    """Bad websocket messages in a row before the connection is closed."""
    drain_s: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How long open questions may go on after SIGTERM."""
    load_s: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """How long a process may take to load its models; then it is killed and started again."""


class LogSection(Section):
    """Logs go to stderr and hold no content of a stream."""

    format: Literal["text", "json"] = "text"
    """For people or for machines."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least weight of what is written."""


class SecuritySection(Section):
    """Who may talk to the server from where."""

    origins: list[str] = []
    """Origins of web pages that may call, as https://example.org; the server's own is always one."""
    hosts: list[str] = []
    """Names in the Host header that are the server's, besides loopback and the bound address."""


class TlsSection(Section):
    """Encryption of the doors: https and wss instead of http and ws."""

    cert: Path | None = None
    """The server's certificate in PEM form, those of its chain behind it."""
    key: Path | None = None
    """The certificate's private key in PEM form, without passphrase."""


class Config(Section):
    """All settings of the server."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to bind; beyond loopback only with a key."""
    port: Port = 8000
    """Port to bind; 0 takes a free one."""
    data: Path = Path("data")
    """The data folder; default $XDG_DATA_HOME/omnilive."""
    model: Annotated[str, Field(min_length=1)] = "embedded"
    """The vision-language model: embedded, a folder, a hub id, or http(s)://.../v1 of an OpenAI-compatible server."""
    model_name: Annotated[str, Field(max_length=256)] = ""
    """Which model of that server; empty: its first one. Its key is in OMNILIVE_MODEL_API_KEY."""
    encoder: Annotated[str, Field(min_length=1)] = "embedded"
    """The dual encoder of recall: embedded, a folder, or a hub id."""
    asr: Annotated[str, Field(min_length=1)] = "off"
    """The speech recogniser: off, a folder, or a hub id."""
    trust_remote_code: bool = False
    """Run code that a checkpoint carries. It can do all that you can."""
    time_zone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    """IANA zone of words like "at 10:15", for streams that name none."""
    create_key: bool = False
    """Where there is no key, make one at the start and write it to DATA/first-key."""
    allow_files: list[Path] = []
    """Folders below which file sources may lie."""
    streams: list[StreamRequest] = []
    """Streams that are there from the start."""
    perception: PerceptionSection = PerceptionSection()
    """Perception's models."""
    reasoning: ReasoningSection = ReasoningSection()
    """The model."""
    memory: MemorySection = MemorySection()
    """Events and their budget."""
    sample: SampleSection = SampleSection()
    """Sampling of frames."""
    window: WindowSection = WindowSection()
    """The now window."""
    sound: SoundSection = SoundSection()
    """Sound."""
    limits: LimitsSection = LimitsSection()
    """Limits of the doors."""
    log: LogSection = LogSection()
    """Logs."""
    security: SecuritySection = SecuritySection()
    """Origins and hosts."""
    tls: TlsSection = TlsSection()
    """TLS."""


def load_config(flags: Mapping[str, Any], env: Mapping[str, str], file: Path | None) -> Config:
    """Merge the sources and validate the whole.

    flags: nested as the configuration is (`{"port": 0, "sample": {"fps": 2}}`); None means not given. env: variables of
    the process. Raises StartError config_unknown_key (names the nearest) or config_invalid.
    """
    merged: dict[str, Any] = {"data": default_data(env)}
    for layer in (_read_file(file) if file is not None else {}, _read_env(env), _given(flags)):
        _merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise _refuse(error) from None


def default_data(env: Mapping[str, str]) -> str:
    """The data folder where none is named."""
    return str(Path(_xdg(env, "XDG_DATA_HOME", ".local/share")) / "omnilive")


def default_cache(env: Mapping[str, str]) -> Path:
    """The folder of what can be made again."""
    return Path(_xdg(env, "XDG_CACHE_HOME", ".cache")) / "omnilive"


def _xdg(env: Mapping[str, str], name: str, below_home: str) -> str:
    value = env.get(name, "")
    return value if os.path.isabs(value) else str(Path(env.get("HOME") or "~").expanduser() / below_home)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise StartError("config_invalid", f"the configuration file {file} cannot be read") from None
    except (ValueError, RecursionError) as error:
        raise StartError("config_invalid", f"{file} is not TOML: {error}") from None


def _read_env(env: Mapping[str, str]) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    for name, value in env.items():
        if not name.startswith(PREFIX) or name in RESERVED or _is_service_link(name, value):
            continue
        path = name[len(PREFIX) :].lower().split("__")
        node = layer
        for part in path[:-1]:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                raise StartError("config_invalid", f"{name} and {PREFIX}{part.upper()} contradict each other")
            node = below
        node[path[-1]] = _env_value(name, path, value)
    return layer


def _is_service_link(name: str, value: str) -> bool:
    return _SERVICE_LINK.fullmatch(name) is not None and (name != "OMNILIVE_PORT" or "://" in value)


def _env_value(name: str, path: list[str], value: str) -> Any:
    """Lists are JSON, or separated by commas; everything else is for the field to read."""
    if ".".join(path) not in _LISTS:
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise StartError("config_invalid", f"{name} is not a JSON list") from None


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key in dotted form, sections included."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


_LISTS = frozenset({"allow_files", "streams", "security.origins", "security.hosts"})


def _refuse(error: ValidationError) -> StartError:
    first = next((one for one in error.errors() if one["type"] == "extra_forbidden"), error.errors()[0])
    where = ".".join(str(part) for part in first["loc"]) or "configuration"
    if first["type"] == "extra_forbidden":
        return StartError("config_unknown_key", f"unknown key {where}; did you mean {_nearest(first['loc'])}?")
    return StartError("config_invalid", f"{where}: {first['msg'].removeprefix('Value error, ')}")


def _nearest(location: tuple[int | str, ...]) -> str:
    """The known key that looks most like an unknown one: in a declared stream among its own fields."""
    prefix, candidates = "", known_keys()
    if location[0] == "streams":
        prefix = ".".join(str(part) for part in location[:-1]) + "."
        candidates = ["source", "sample", "memory", "prompt", "time_zone", "id", "url", "push", "pace", "start", "fps"]
        candidates += ["max_event_s", "max_bytes", "max_age_s"]
        location = location[-1:]
    name = ".".join(str(part) for part in location)

    def likeness(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, name, candidate).ratio()
        last = difflib.SequenceMatcher(None, name.rpartition(".")[2], candidate.rpartition(".")[2]).ratio()
        return max(whole, 0.99 * last)

    return prefix + max(candidates, key=likeness)
