"""A server's start, stop and exit codes, through the real process."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from server.models import resolve_model

pytestmark = pytest.mark.alone

Refusal = Callable[..., tuple[str, str, float]]

FAST_S = 2.0
"""A refused start says so this soon; twice that where other tests use the processors too."""


def checkpoint(folder: Path, *files: str, **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "smolvlm", **config}))
    for name in files:
        (folder / name).write_bytes(b"x")
    return folder


def refused_soon(answer: tuple[str, str, float], code: str) -> str:
    assert (answer[0], answer[2] <= 2 * FAST_S) == (code, True), answer
    return answer[1]


# ---------------------------------------------------------------- 2: refused


def test_port_in_use(refusal: Refusal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused_soon(refusal("--port", str(taken.getsockname()[1])), "port_in_use")


def test_data_format_unknown(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "format").write_text("999\n")
    refused_soon(refusal(), "data_format_unknown")
    assert (tmp_path / "data" / "format").read_text() == "999\n"


def test_api_key_required(refusal: Refusal) -> None:
    assert "omnilive keys create" in refused_soon(refusal("--host", "0.0.0.0"), "api_key_required")


def test_config_unknown_key(refusal: Refusal, tmp_path: Path) -> None:
    file = tmp_path / "omnilive.toml"
    file.write_text("[sample]\nfsp = 2\n")
    assert "sample.fps" in refused_soon(refusal("--config", str(file)), "config_unknown_key")
    assert "sample.fps" in refused_soon(refusal(OMNILIVE_SAMPLE__FSP="2"), "config_unknown_key")


def test_config_invalid(refusal: Refusal, tmp_path: Path) -> None:
    refused_soon(refusal(OMNILIVE_SAMPLE__FPS="many"), "config_invalid")
    refused_soon(refusal("--config", str(tmp_path / "absent.toml")), "config_invalid")
    refused_soon(refusal("--port", "70000"), "config_invalid")


def test_model_not_found(refusal: Refusal, tmp_path: Path) -> None:
    refused_soon(refusal("--model", str(tmp_path / "absent")), "model_not_found")
    refused_soon(refusal("--encoder", str(tmp_path / "absent")), "model_not_found")
    refused_soon(refusal("--asr", "nobody/nothing-here", HF_HOME=str(tmp_path)), "model_not_found")


def test_model_unsafe_weights(refusal: Refusal, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "pickled", "pytorch_model.bin")
    refused_soon(refusal("--model", str(folder)), "model_unsafe_weights")


def test_model_remote_code(refusal: Refusal, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "coded", "model.safetensors", auto_map={"AutoModel": "modeling.Model"})
    assert "--trust-remote-code" in refused_soon(refusal("--model", str(folder)), "model_remote_code")


def test_model_shape_mismatch(refusal: Refusal, server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mismatched"
    shutil.copytree(resolve_model("embedded").folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] += 8
    (folder / "config.json").write_text(json.dumps(config))
    code, message, took = refusal("--model", str(folder), limit_s=120)
    assert code == "model_shape_mismatch", message
    assert took <= 40


def _environ() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_data_folder_in_use(launch: Any, refusal: Refusal, tmp_path: Path) -> None:
    launch(data=tmp_path / "shared", ready=False)
    deadline = time.monotonic() + 20
    while not (tmp_path / "shared" / "format").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    refused_soon(refusal("--data", str(tmp_path / "shared")), "data_folder_in_use")


def test_bad_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clients.cli.main", "serve", "--no-such-flag"],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")


# ---------------------------------------------------------------- 0: asked to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(launch: Any, number: signal.Signals, tmp_path: Path) -> None:
    server = launch(data=tmp_path / "data")
    family = psutil.Process(server.pid).children(recursive=True)
    assert len(family) == 3
    names = [" ".join(one.cmdline()[-3:]) for one in family]
    assert sorted(names) == [f"-m server.worker {stage}" for stage in ("memory", "perception", "reasoning")]
    with server.client() as client:
        assert client.get("/readyz").status_code == 200
    server.signal(number)
    assert server.wait() == 0
    _, left = psutil.wait_procs(family, timeout=5)
    assert left == []
    assert len(server.stdout) == 1
    assert server.stdout[0].startswith("ready http://127.0.0.1:")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    open_to_others = [file for file in (tmp_path / "data").rglob("*") if file.stat().st_mode & 0o077]
    assert open_to_others == []


def test_asked_to_stop_while_it_starts(launch: Any) -> None:
    server = launch(ready=False)
    deadline = time.monotonic() + 30
    while not psutil.Process(server.pid).children() and time.monotonic() < deadline:
        time.sleep(0.01)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert server.stdout == []


def ask_long(server: Any, ended: list[Any]) -> threading.Thread:
    """A question that takes a while, in the background; what came of it goes to `ended`."""

    def ask() -> None:
        with server.client() as client:
            body = {"question": "What is there?", "max_tokens": 300}
            ended.append(client.post("/v1/streams/clip/questions", json=body))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def add_clip(server: Any, clip: Path, until: Any) -> None:
    with server.client() as client:
        body = {"id": "clip", "source": {"url": f"file://{clip}", "pace": "fast"}}
        assert client.post("/v1/streams", json=body).status_code == 201
        until(lambda: client.get("/v1/streams/clip/events").json()["events"], 30)


def in_flight(server: Any) -> float:
    with server.client() as client:
        text = client.get("/metrics").text
    return float(
        next(line for line in text.splitlines() if line.startswith("omnilive_questions_in_flight ")).split()[1]
    )


def test_open_questions_end_before_it_stops(launch: Any, make_clip: Any, until: Any, talkative: Path) -> None:
    clip = make_clip()
    server = launch("--allow-files", str(clip.parent), "--model", str(talkative))
    add_clip(server, clip, until)
    ended: list[Any] = []
    asking = ask_long(server, ended)
    until(lambda: in_flight(server) == 1)
    server.signal(signal.SIGTERM)
    refused = None
    while refused is None and not ended:
        try:
            with server.client() as client:
                response = client.post("/v1/streams/clip/questions", json={"question": "And now?"})
            refused = response if response.status_code == 503 else None
        except httpx.TransportError:
            break
    asking.join(40)
    assert [one.status_code for one in ended] == [200]
    assert refused is not None
    assert refused.json()["error"]["code"] == "draining"
    assert refused.headers["retry-after"]
    assert server.wait() == 0


def test_a_second_signal_does_not_wait(launch: Any, make_clip: Any, until: Any) -> None:
    clip = make_clip()
    server = launch("--allow-files", str(clip.parent))
    add_clip(server, clip, until)
    reasoning = psutil.Process(server.stages()["reasoning"]["pid"])
    reasoning.suspend()
    ended: list[Any] = []
    asking = ask_long(server, ended)
    until(lambda: in_flight(server) == 1)
    server.signal(signal.SIGTERM)
    until(lambda: "stopping: 1 open questions" in server.errors())
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - began <= 6
    asking.join(10)
    assert [one.status_code for one in ended] != [200]


# ---------------------------------------------------------------- 1: failed


def test_a_stage_that_keeps_dying_ends_the_server(launch: Any) -> None:
    server = launch()
    deadline = time.monotonic() + 90
    while server.process.poll() is None and time.monotonic() < deadline:
        for one in psutil.Process(server.pid).children():
            try:
                if one.cmdline()[-1:] == ["reasoning"]:
                    one.kill()
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    assert server.wait() == 1
    last = server.errors().rstrip("\n").splitlines()[-1]
    assert last.startswith("omnilive: error[process_lost]: ")
    assert len(server.stdout) == 1


# ---------------------------------------------------------------- again


def test_streams_survive_a_restart_and_go_on(launch: Any, make_clip: Any, until: Any, tmp_path: Path) -> None:
    clip = make_clip()
    server = launch("--allow-files", str(clip.parent), data=tmp_path / "data")
    add_clip(server, clip, until)
    with server.client() as client:
        client.post("/v1/streams", json={"id": "push", "source": {"push": True, "pace": "real"}, "prompt": "look"})
        until(lambda: client.get("/v1/streams/clip").json()["state"] == "ended")
        before = client.get("/v1/streams/clip/events").json()["events"]
    server.process.kill()
    server.wait()
    again = launch("--allow-files", str(clip.parent), data=tmp_path / "data")
    with again.client() as client:
        assert [one["id"] for one in client.get("/v1/streams").json()["streams"]] == ["clip", "push"]
        assert client.get("/v1/streams/push").json()["options"]["prompt"] == "look"
        after = {one["id"]: one for one in client.get("/v1/streams/clip/events").json()["events"]}
    assert {one["id"] for one in before} <= set(after)


def test_declared_streams_are_there_from_the_start(launch: Any, tmp_path: Path, until: Any) -> None:
    file = tmp_path / "omnilive.toml"
    secret = "pw-7f3aZ%40q"
    file.write_text(
        f'[[streams]]\nid = "door"\nsource = {{ url = "rtsp://user:{secret}@127.0.0.1:9/1" }}\n'
        '[[streams]]\nid = "yard"\nsource = { push = true, pace = "real" }\n'
    )
    server = launch("--config", str(file))
    with server.client() as client:
        listed = client.get("/v1/streams")
        assert [one["id"] for one in listed.json()["streams"]] == ["door", "yard"]
        until(lambda: client.get("/v1/streams/door").json()["error"], 20)
        said = client.get("/v1/streams/door").text + listed.text + client.get("/metrics").text
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    for word in (secret, "pw-7f3aZ@q", "user:"):
        assert word not in said + server.errors()
