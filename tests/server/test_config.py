"""Flags over environment over file over default; nothing unknown, nothing bad."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from server.config import LARGEST_RECORD, Config, Section, known_keys, load_config
from server.errors import StartError
from server.ipc.links import create_links
from server.ipc.ring import RingWriter
from server.models import ResolvedModel, ResolvedModels
from server.settings import check_config, show_config, stage_configs


def write(folder: Path, text: str) -> Path:
    file = folder / "omnilive.toml"
    file.write_text(text)
    return file


def refused(flags: dict[str, Any], env: dict[str, str], file: Path | None = None) -> StartError:
    with pytest.raises(StartError) as caught:
        load_config(flags, env, file)
    return caught.value


def test_defaults_name_the_data_folder_after_xdg() -> None:
    config = load_config({}, {"XDG_DATA_HOME": "/somewhere"}, None)
    assert (config.host, config.port, config.data) == ("127.0.0.1", 8000, Path("/somewhere/omnilive"))
    assert load_config({}, {"HOME": "/home/x"}, None).data == Path("/home/x/.local/share/omnilive")


def test_each_source_wins_over_the_one_below(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1\n[sample]\nfps = 1\nkeyframe_px = 640\n[window]\nframes = 4")
    env = {"OMNILIVE_PORT": "2", "OMNILIVE_SAMPLE__FPS": "2"}
    config = load_config({"port": 3, "host": None, "sample": {"fps": None}}, env, file)
    assert (config.port, config.sample.fps, config.sample.keyframe_px, config.window.frames) == (3, 2.0, 640, 4)


def test_lists_in_the_environment() -> None:
    assert load_config({}, {"OMNILIVE_ALLOW_FILES": "/a, /b"}, None).allow_files == [Path("/a"), Path("/b")]
    config = load_config({}, {"OMNILIVE_SECURITY__ORIGINS": '["https://x.example"]'}, None)
    assert config.security.origins == ["https://x.example"]
    streams = '[{"id": "door", "source": {"push": true, "pace": "real"}}]'
    assert load_config({}, {"OMNILIVE_STREAMS": streams}, None).streams[0].id == "door"


def test_secrets_and_service_links_are_no_settings() -> None:
    env = {
        "OMNILIVE_API_KEY": "k", "OMNILIVE_URL": "http://x", "OMNILIVE_MODEL_API_KEY": "k",
        "OMNILIVE_SERVICE_HOST": "10.0.0.1", "OMNILIVE_PORT": "tcp://10.0.0.1:8000",
        "OMNILIVE_PORT_8000_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    assert load_config({}, env, None) == load_config({}, {}, None)


@pytest.mark.parametrize(
    ("text", "named", "nearest"),
    [
        ("[sample]\nfsp = 2", "sample.fsp", "sample.fps"),
        ("prot = 1", "prot", "port"),
        ("[smaple]\nfps = 2", "smaple", "sample"),
        ("[memory]\nmax_byte = 2", "memory.max_byte", "memory.max_bytes"),
        ('[[streams]]\nid = "a"\nsuorce = {push = true, pace = "real"}', "streams.0.suorce", "streams.0.source"),
        ("threshold = 0.4", "threshold", "sound.threshold"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest(tmp_path: Path, text: str, named: str, nearest: str) -> None:
    error = refused({}, {}, write(tmp_path, text))
    assert error.code == "config_unknown_key"
    assert f"unknown key {named};" in error.message
    assert error.message.endswith(f"did you mean {nearest}?")


def test_unknown_variables_are_refused_too() -> None:
    error = refused({}, {"OMNILIVE_SAMPLE__FSP": "2"})
    assert (error.code, "sample.fps" in error.message) == ("config_unknown_key", True)


@pytest.mark.parametrize(
    "text",
    [
        "port = 70000", "port = -1", 'port = "x"', "[sample]\nfps = 0", "[sample]\nfps = -3", "[window]\nframes = []",
        "[limits]\nstreams = 0", '[log]\nformat = "yaml"', "streams = 3", "[sample]\nfps = nan", "not toml",
        '[[streams]]\nid = "no spaces"\nsource = {push = true, pace = "real"}', '[[streams]]\nid = "a"\nsource = {}',
        'sample = "fast"', 'time_zone = "Mars/Phobos"', 'time_zone = "../../etc/passwd"', "a = " + "[" * 5000,
        "port = " + "9" * 5000,
    ],
)  # fmt: skip
def test_bad_values_are_refused(tmp_path: Path, text: str) -> None:
    assert refused({}, {}, write(tmp_path, text)).code == "config_invalid"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused({}, {}, tmp_path / "absent.toml").code == "config_invalid"


def test_contradicting_variables_are_refused() -> None:
    assert refused({}, {"OMNILIVE_SAMPLE": "3", "OMNILIVE_SAMPLE__FPS": "2"}).code == "config_invalid"


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=12), max_size=4))
def test_no_variables_break_the_loader(variables: dict[str, str]) -> None:
    env = {f"OMNILIVE_{name}": value for name, value in variables.items()}
    code = None
    try:
        load_config({}, env, None)
    except StartError as error:
        code = error.code
    assert code in (None, "config_unknown_key", "config_invalid")


def fields(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield prefix + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from fields(field.annotation, f"{prefix}{name}.")


def test_every_setting_is_described() -> None:
    assert [name for name, field in fields() if not field.description] == []
    assert "sample.fps" in known_keys()


NUMBERS = [name for name, field in fields() if field.annotation in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["9" * 30, "1e300", "-" + "9" * 30])
def test_no_number_is_too_large_for_what_is_done_with_it(name: str, value: str) -> None:
    variable = "OMNILIVE_" + name.replace(".", "__").upper()
    assert refused({}, {variable: value}).code == "config_invalid"


@pytest.mark.parametrize("name", NUMBERS)
def test_the_stages_can_be_started_with_the_largest_numbers(name: str) -> None:
    field = dict(fields())[name]
    (largest,) = [bound for one in field.metadata for bound in [getattr(one, "le", getattr(one, "lt", None))] if bound]
    largest = largest if any(hasattr(one, "le") for one in field.metadata) else 0.999
    config = load_config({}, {"OMNILIVE_" + name.replace(".", "__").upper(): str(largest)}, None)
    models = ResolvedModels(ResolvedModel(Path("/m")), ResolvedModel(Path("/e")), None)
    for part in stage_configs(config, models).values():
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=type(part)) == part


def test_what_clients_may_send_fits_into_the_queues() -> None:
    """A record takes at most half a ring; beside a picture or media stand a few hundred bytes."""
    links = create_links()
    try:
        for ring in (links.media, links.spills["server", "memory"]):
            assert RingWriter(ring, populate=False).max_record_bytes >= LARGEST_RECORD + 4096
    finally:
        links.close()


def test_the_stages_get_their_parts(tmp_path: Path) -> None:
    flags = {"data": str(tmp_path), "sample": {"fps": 3}, "memory": {"max_event_s": 5}, "limits": {"streams": 7}}
    models = ResolvedModels(ResolvedModel(Path("/m")), ResolvedModel(Path("/e")), None)
    parts: dict[str, Any] = dict(stage_configs(load_config(flags, {}, None), models))
    assert parts["perception"].sample.fps == 3
    assert parts["perception"].window.lanes == 7
    assert parts["perception"].model.folder == "/m"
    assert parts["perception"].encoder.folder == parts["memory"].encoder.folder == "/e"
    assert parts["memory"].max_event_us == 5_000_000
    assert parts["memory"].streams_folder == str(tmp_path / "streams")
    assert parts["reasoning"].window_frames == 8
    assert "live video" in parts["reasoning"].system_prompt


def test_show_resolves_models_and_hides_credentials(tmp_path: Path) -> None:
    stream = {"id": "door", "source": {"url": "rtsp://user:secret@camera/1?token=t"}}
    flags = {"model": str(tmp_path), "streams": [stream]}
    shown = show_config(load_config(flags, {}, None), {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert shown["model"] == str(tmp_path.resolve())
    assert "encoder" in shown["encoder"] or "embedded" in shown["encoder"]
    assert shown["streams"][0]["source"]["url"] == "rtsp://camera/1"


def test_check_reads_a_file_alone(tmp_path: Path) -> None:
    assert check_config(write(tmp_path, "port = 9")).port == 9


@pytest.mark.parametrize(
    "streams",
    [
        2 * '[[streams]]\nid = "door"\nsource = {push = true, pace = "real"}\n',
        '[[streams]]\nid = "file"\nsource = {url = "file:///etc/passwd"}\n',
        '[[streams]]\nid = "past"\nsource = {push = true, pace = "real", start = "noon"}\n',
    ],
)
def test_check_refuses_streams_that_serve_refuses(tmp_path: Path, streams: str) -> None:
    with pytest.raises(StartError) as caught:
        check_config(write(tmp_path, streams))
    assert caught.value.code == "config_invalid"
