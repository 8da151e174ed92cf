"""A model elsewhere for real: `transformers serve` with a small checkpoint, through our engine and our whole server."""

import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from memory.messages import Evidence
from perception.config import ModelConfig
from reasoning.config import RemoteConfig
from reasoning.engine import Delta, Engine, Failed, Finished, Request
from reasoning.local import load_engine
from reasoning.messages import AskedStream, Turn
from reasoning.prompt import Prompt
from server.stages.remote import RemoteEngine
from training.blank import make_blank_model

SECOND = 1_000_000
READY_S = 120.0


@dataclass
class Served:
    """A checkpoint and the server that serves it."""

    folder: Path
    url: str
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = make_blank_model(tmp_path_factory.mktemp("served") / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", program, "serve", str(folder), "--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evaluation.tethered", *command, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_healthy(process, f"http://127.0.0.1:{port}/health")
        yield Served(folder, f"http://127.0.0.1:{port}/v1", process)
    finally:
        process.kill()
        process.wait(10)


def wait_healthy(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "transformers serve has ended"
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("transformers serve is not healthy in time")


def picture(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(blocks).resize((320, 240), Image.Resampling.NEAREST).save(written, "JPEG")
    return written.getvalue()


def prompts() -> list[Prompt]:
    """With one to four pictures, with and without an earlier turn."""
    stream = AskedStream("default/cam", 0, 1_793_000_000 * SECOND, 100 * SECOND, "", "UTC")
    made = []
    for count in range(1, 5):
        evidence = [
            Evidence(stream.stream, f"e_{count}{n}", 0, 20 * n * SECOND, 0, 50 * SECOND, 0.5, picture(10 * count + n))
            for n in range(count)
        ]
        turns = [Turn("Is it open?", "Yes.")] if count % 2 else []
        made.append(Prompt("Watch.", [stream], turns, evidence, [], [], f"Who came in {count} times?"))
    return made


def answered(engine: Engine, prompt: Prompt, woken: Callable[[], None]) -> tuple[str, str]:
    """The text and how it ended."""
    engine.begin(Request("q", prompt, 24))
    text = ""
    while True:
        woken()
        for output in engine.step():
            assert not isinstance(output, Failed), output
            text += output.text if isinstance(output, Delta) else ""
            if isinstance(output, Finished):
                return text, output.reason


@pytest.mark.timeout(300)
def test_the_text_is_that_of_the_same_checkpoint_here(served: Served) -> None:
    come = threading.Event()

    def wait() -> None:
        assert come.wait(60)
        come.clear()

    there = RemoteEngine(RemoteConfig(served.url, str(served.folder)), 4, come.set)
    here = load_engine(ModelConfig(str(served.folder), device="cpu", dtype="float32"), 2**24, chunk=512)
    told = [(answered(here, prompt, lambda: None), answered(there, prompt, wait)) for prompt in prompts()]
    there.close()
    for ours, theirs in told:
        # A character that is cut off at the end is told or not.
        assert (ours[0].rstrip("\ufffd"), ours[1]) == (theirs[0].rstrip("\ufffd"), theirs[1])
    assert len({ours for ours, _ in told}) > 1


@pytest.mark.timeout(300)
def test_a_server_answers_with_it_and_says_so_when_it_is_gone(served: Served, launch: Any, until: Any) -> None:
    server = launch("--model", served.url, "--model-name", str(served.folder), OMNILIVE_MODEL_API_KEY="sk-not-needed")
    with server.client() as client:
        about = client.get("/v1/server").json()
        assert (about["model"], about["decoding"]) == (served.url, "elsewhere")
        client.post("/v1/streams", json={"id": "cam", "source": {"push": True, "pace": "real"}})
        with connect(f"{server.ws}/v1/streams/cam/live") as live:
            live.send(picture(1))
            until(lambda: client.get("/v1/streams/cam").json()["state"] == "live")

            def ask() -> httpx.Response:
                return client.post("/v1/streams/cam/questions", json={"question": "Who?", "max_tokens": 8})

            answer = ask().json()
            assert answer["answer"]
            assert answer["usage"]["output_tokens"] > 0
            assert answer["usage"]["input_tokens"] > 9
            served.process.kill()
            served.process.wait(10)
            began = time.monotonic()
            refused = ask()
            assert time.monotonic() - began < 10
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_unavailable")
            assert "Retry-After" in refused.headers
            assert client.get("/readyz").status_code == 200
    assert "sk-not-needed" not in server.errors()
