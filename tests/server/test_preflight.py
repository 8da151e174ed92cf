"""What is looked at before anything heavy is loaded."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from server.config import load_config
from server.errors import StartError
from server.models import check_checkpoint, resolve_model
from server.preflight import Ground, bind, open_data, prepare

ROOT = Path(__file__).resolve().parents[2]


def checkpoint(folder: Path, *files: str, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "smolvlm", **config}))
    for name in files:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Ground]]:
    grounds: list[Ground] = []
    checkpoint(tmp_path / "model", "model.safetensors")

    def go(env: dict[str, str] | None = None, **flags: Any) -> Ground:
        given = {"data": str(tmp_path / "data"), "port": 0, "model": str(tmp_path / "model")}
        given |= {"encoder": str(tmp_path / "model"), **flags}
        grounds.append(prepare(load_config(given, {}, None), env or {}))
        return grounds[-1]

    yield go
    for ground in grounds:
        ground.close()


def code_of(caught: pytest.ExceptionInfo[StartError]) -> str:
    return caught.value.code


def test_a_fresh_folder_is_made_private(start: Callable[..., Ground], tmp_path: Path) -> None:
    ground = start()
    data = tmp_path / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "format").read_text() == "1\n"
    assert {file.stat().st_mode & 0o777 for file in data.iterdir()} == {0o600}
    assert ground.address.startswith("http://127.0.0.1:")
    assert ground.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


def test_a_folder_has_one_server(start: Callable[..., Ground]) -> None:
    first = start()
    with pytest.raises(StartError) as caught:
        start()
    assert code_of(caught) == "data_folder_in_use"
    first.close()
    start()


def test_a_lock_held_by_another_process(held: ExitStack, tmp_path: Path) -> None:
    open_data(tmp_path, held)
    script = (
        "import sys\nfrom contextlib import ExitStack\nfrom pathlib import Path\n"
        "from server.errors import StartError\nfrom server.preflight import open_data\n"
        "try:\n    open_data(Path(sys.argv[1]), ExitStack())\nexcept StartError as e:\n    sys.exit(e.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert done.stderr.strip() == "data_folder_in_use"


@pytest.mark.parametrize("content", [b"2\n", b"", b"\xff\xfe", b"one"])
def test_a_format_that_is_not_ours_is_left_alone(held: ExitStack, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "format").write_bytes(content)
    with pytest.raises(StartError) as caught:
        open_data(tmp_path, held)
    assert code_of(caught) == "data_format_unknown"
    assert (tmp_path / "format").read_bytes() == content


def test_a_folder_of_somebody_else_is_refused(held: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    mode = tmp_path.stat().st_mode
    with pytest.raises(StartError) as caught:
        open_data(tmp_path, held)
    assert code_of(caught) == "data_format_unknown"
    assert tmp_path.stat().st_mode == mode
    assert [file.name for file in tmp_path.iterdir()] == ["letters"]


def test_a_file_is_no_folder(held: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartError) as caught:
        open_data(tmp_path / "file", held)
    assert code_of(caught) == "config_invalid"


def test_a_port_has_one_server() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(StartError) as caught:
        bind("127.0.0.1", taken.getsockname()[1])
    assert code_of(caught) == "port_in_use"


@pytest.mark.parametrize("host", ["203.0.113.77", "no such host", "300.1.1.1"])
def test_an_address_that_is_not_here(host: str) -> None:
    with pytest.raises(StartError) as caught:
        bind(host, 0)
    assert code_of(caught) == "config_invalid"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_only_with_a_key(start: Callable[..., Ground], host: str) -> None:
    with pytest.raises(StartError) as caught:
        start(host=host)
    assert code_of(caught) == "api_key_required"


def test_with_a_key_all_addresses_may_be_bound(start: Callable[..., Ground]) -> None:
    ground = start(host="0.0.0.0", env={"OMNILIVE_API_KEY": "k"})
    assert ground.address.startswith("http://127.0.0.1:")
    assert ground.keys.find("k") is not None


def test_declared_streams_are_looked_at(start: Callable[..., Ground]) -> None:
    for source in ({"url": "file:///etc/passwd"}, {"url": "http://camera/"}, {"url": "rtsp://"}):
        with pytest.raises(StartError) as caught:
            start(streams=[{"id": "a", "source": source}])
        assert code_of(caught) == "config_invalid"
    twice = {"id": "a", "source": {"push": True, "pace": "real"}}
    with pytest.raises(StartError, match="twice"):
        start(streams=[twice, twice])


@pytest.mark.parametrize(
    ("files", "config", "code"),
    [
        (("pytorch_model.bin",), {}, "model_unsafe_weights"),
        ((), {}, "model_not_found"),
        (("model.safetensors",), {"auto_map": {"AutoModel": "evil.Model"}}, "model_remote_code"),
    ],
)
def test_checkpoints_that_are_refused(tmp_path: Path, files: tuple[str, ...], config: Any, code: str) -> None:
    folder = checkpoint(tmp_path / "c", *files, **config)
    with pytest.raises(StartError) as caught:
        check_checkpoint(folder, "model", trust_remote_code=False)
    assert code_of(caught) == code


def test_checkpoints_that_are_taken(tmp_path: Path) -> None:
    check_checkpoint(checkpoint(tmp_path / "a", "model.safetensors", "old.bin"), "model", False)
    check_checkpoint(checkpoint(tmp_path / "b", "m-1.safetensors", auto_map={"A": "b"}), "model", True)


def test_code_named_by_a_tokenizer_counts(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c", "model.safetensors")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.T", null]}}')
    with pytest.raises(StartError) as caught:
        check_checkpoint(folder, "model", False)
    assert code_of(caught) == "model_remote_code"
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(StartError) as caught:
        check_checkpoint(folder, "model", False)
    assert code_of(caught) == "model_not_found"


@pytest.mark.parametrize("spec", ["/no/such/folder", "no-such", "org/never-downloaded", "http://x/v1", "../../x y"])
def test_models_that_are_not_here(tmp_path: Path, spec: str) -> None:
    with pytest.raises(StartError) as caught:
        resolve_model(spec, "model", {"HF_HOME": str(tmp_path)})
    assert code_of(caught) == "model_not_found"


def test_a_hub_id_is_found_in_the_local_cache(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--name"
    snapshot = checkpoint(repository / "snapshots" / "abc", "model.safetensors")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert resolve_model("org/name", "model", {"HF_HOME": str(tmp_path)}).folder == snapshot.resolve()


def test_the_embedded_models_ship() -> None:
    for kind in ("model", "encoder"):
        check_checkpoint(resolve_model("embedded", kind).folder, kind, trust_remote_code=False)


def test_a_copy_without_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.models.ROOT", tmp_path)
    with pytest.raises(StartError) as caught:
        resolve_model("embedded", "encoder")
    assert code_of(caught) == "model_not_found"


def test_nothing_heavy_is_imported() -> None:
    script = (
        "import sys, server.preflight, server.run, server.models\n"
        "sys.exit(str([m for m in ('torch', 'transformers', 'fastapi', 'uvicorn', 'av') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.stderr.strip() == "[]"
