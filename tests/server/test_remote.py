"""A model elsewhere: what goes there, what comes back, and each way in which it can fail."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from evaluation.instant_model import InstantModel
from memory.messages import Evidence
from perception.window import WindowFrame
from reasoning.config import RemoteConfig
from reasoning.engine import Delta, EngineOutput, Failed, Finished, Request, Started
from reasoning.messages import AskedStream
from reasoning.prompt import Prompt
from server.stages import remote as module
from server.stages.remote import RemoteEngine

KEY = "sk-very-secret"
STREAM = AskedStream("default/cam", 0, 1_793_000_000_000_000, 100_000_000, "", "UTC")
FRAME = WindowFrame(STREAM.stream, 99_000_000, 0, b"<a frame of now>", None)


def evidence(second: int, n: int = 0) -> Evidence:
    us = second * 1_000_000
    return Evidence(STREAM.stream, "e_1", n, us, us, us + 1, 0.5, f"<frame {n} of the past>".encode())


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def piece(text: str | None, reason: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": reason}])


USAGE = event(choices=[], usage={"prompt_tokens": 321, "completion_tokens": 2, "total_tokens": 323})
DONE = b"data: [DONE]\n\n"
WHOLE = [piece("A"), piece(" man."), piece(None, "stop"), USAGE, DONE]


class Elsewhere(ThreadingHTTPServer):
    """Answers each request with the next entry of `script`: a status, or pieces of a stream; None hangs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gone = threading.Event()
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Elsewhere

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        self._json(200, {"data": [{"id": "first-model"}, {"id": "second-model"}]})

    def do_POST(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        told = self.server.script.pop(0)
        if isinstance(told, int):
            self._json(told, {"error": {"message": "see /home/someone/model"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for one in told:
                if one is None:
                    self.server.let_go.wait(20)
                    # A peer that is gone shows when something is written to it.
                    for _ in range(100):
                        self.wfile.write(b": still here\n\n")
                        time.sleep(0.02)
                else:
                    self.wfile.write(one)
                    self.wfile.flush()
        except OSError:
            self.server.gone.set()

    def _json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.let_go.set()
    server.shutdown()
    server.server_close()


class Asker:
    """An engine, and somebody who waits for what comes out of it."""

    def __init__(self, url: str, name: str = "", slots: int = 8) -> None:
        self.woken = threading.Event()
        self.engine = RemoteEngine(RemoteConfig(url, name, KEY), slots, self.woken.set)

    def until_ended(self, *names: str) -> list[EngineOutput]:
        outputs: list[EngineOutput] = []
        left = set(names)
        while left:
            outputs += self.more()
            left -= {output.id for output in outputs if isinstance(output, Finished | Failed)}
        return outputs

    def more(self) -> list[EngineOutput]:
        assert self.woken.wait(20), "nothing came"
        self.woken.clear()
        return self.engine.step()


@pytest.fixture
def asker(elsewhere: Elsewhere) -> Iterator[Asker]:
    one = Asker(elsewhere.url)
    yield one
    one.engine.close()


@pytest.fixture
def prompt() -> Prompt:
    return Prompt("Watch.", [STREAM], [], [evidence(20)], [], [FRAME], "Who?")


def test_an_answer_comes_piece_by_piece(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script.append(WHOLE)
    asker.engine.begin(Request("q", prompt, 64))
    assert asker.until_ended("q") == [
        Started("q", prompt, 0),
        Delta("q", "A"),
        Delta("q", " man."),
        Finished("q", "stop", 2, input_tokens=321),
    ]
    assert not asker.engine.has_work()


def test_the_prompt_goes_as_texts_and_pictures_in_order(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script.append(WHOLE)
    asker.engine.begin(Request("q", prompt, 64, temperature=0.5, seed=7))
    asker.until_ended("q")
    [body] = elsewhere.bodies
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("first-model", 64, 0.5, 7)
    assert body["messages"][0] == {"role": "system", "content": "Watch."}
    parts = body["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url", "text"]
    assert parts[0]["text"].startswith("Earlier:\n[")
    assert parts[-1]["text"] == "\nQuestion: Who?"
    sent = [base64.b64decode(part["image_url"]["url"].split(",")[1]) for part in parts if part["type"] == "image_url"]
    assert sent == [picture.jpeg for picture in prompt.pictures()]
    assert elsewhere.keys == [f"Bearer {KEY}"] * 2


def test_a_named_model_is_asked_for_and_length_is_told(elsewhere: Elsewhere, prompt: Prompt) -> None:
    asker = Asker(elsewhere.url, "mine")
    elsewhere.script.append([piece("A", "length"), DONE])
    asker.engine.begin(Request("q", prompt, 1))
    assert asker.until_ended("q")[-1] == Finished("q", "length", 1)
    assert elsewhere.bodies[0]["model"] == "mine"
    asker.engine.close()


def test_many_are_asked_at_once(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script += [WHOLE] * 6
    names = [f"q_{n}" for n in range(6)]
    for name in names:
        asker.engine.begin(Request(name, prompt, 8))
    outputs = asker.until_ended(*names)
    for name in names:
        assert [type(output) for output in outputs if output.id == name] == [Started, Delta, Delta, Finished]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.0))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("script", "said", "tries"),
    [
        ([401], "key", 1),
        ([403], "key", 1),
        ([404], "--model-name", 1),
        ([503, 429, 500], "overloaded", 3),
        ([[b"data: {nonsense\n\n"]], "form", 1),
        ([[b"data: []\n\n"]], "form", 1),
        ([[piece("A"), b"data: 7\n\n"]], "form", 1),
        ([[piece("A")]], "in the middle", 1),
        ([[piece("A"), event(error={"message": "cuda"})]], "in the middle", 1),
        ([[], [], []], "in the middle", 3),
        ([418], "form", 1),
    ],
)
def test_each_failure_has_one_end_that_says_what_to_do(
    asker: Asker, elsewhere: Elsewhere, prompt: Prompt, script: list[Any], said: str, tries: int
) -> None:
    elsewhere.script += script
    asker.engine.begin(Request("q", prompt, 8))
    outputs = asker.until_ended("q")
    ends = [output for output in outputs if isinstance(output, Finished | Failed)]
    assert len(ends) == 1
    assert isinstance(ends[0], Failed)
    assert ends[0].fault.code == "model_unavailable"
    assert said in ends[0].fault.message
    assert "/home" not in ends[0].fault.message
    assert len(elsewhere.bodies) == tries


@pytest.mark.usefixtures("quick")
def test_what_is_busy_is_tried_again(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script += [503, WHOLE]
    asker.engine.begin(Request("q", prompt, 8))
    assert isinstance(asker.until_ended("q")[-1], Finished)


def test_what_was_too_much_is_tried_with_less(asker: Asker, elsewhere: Elsewhere) -> None:
    prompt = Prompt("Watch.", [STREAM], [], [evidence(n, n) for n in range(3)], [], [FRAME], "?")
    elsewhere.script += [400, 413, WHOLE]
    asker.engine.begin(Request("q", prompt, 8))
    outputs = asker.until_ended("q")
    assert isinstance(outputs[0], Started)
    assert len(outputs[0].prompt.evidence) == 1
    elsewhere.script += [400, 400]
    bare = Prompt("Watch.", [STREAM], [], [], [], [FRAME], "?")
    asker.engine.begin(Request("q_2", bare, 8))
    [failed] = asker.until_ended("q_2")
    assert isinstance(failed, Failed)
    assert "shorter" in failed.fault.message


@pytest.mark.usefixtures("quick")
def test_nobody_is_there(prompt: Prompt) -> None:
    asker = Asker("http://127.0.0.1:9/v1")
    asker.engine.begin(Request("q", prompt, 8))
    [failed] = asker.until_ended("q")
    assert isinstance(failed, Failed)
    assert "reached" in failed.fault.message
    asker.engine.close()


def test_who_says_nothing_for_long_is_given_up(
    elsewhere: Elsewhere, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.3)
    asker = Asker(elsewhere.url)
    elsewhere.script.append([piece("A"), None])
    asker.engine.begin(Request("q", prompt, 8))
    failed = asker.until_ended("q")[-1]
    assert isinstance(failed, Failed)
    assert "too long" in failed.fault.message
    asker.engine.close()


def test_what_is_cancelled_is_let_go_there_too(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script += [[piece("A"), None], WHOLE]
    asker.engine.begin(Request("q", prompt, 8))
    while not any(isinstance(output, Delta) for output in asker.more()):
        pass
    asker.engine.cancel("q")
    elsewhere.let_go.set()
    assert elsewhere.gone.wait(10)
    asker.engine.begin(Request("q_2", prompt, 8))
    assert {output.id for output in asker.until_ended("q_2")} == {"q_2"}


def test_the_key_is_never_shown(asker: Asker, elsewhere: Elsewhere, prompt: Prompt, caplog: Any) -> None:
    elsewhere.script.append(401)
    asker.engine.begin(Request("q", prompt, 8))
    told = f"{asker.until_ended('q')} {RemoteConfig('http://x/v1', '', KEY)!r} {caplog.text}"
    assert KEY not in told


def test_one_question_after_the_other_takes_one_connection(prompt: Prompt) -> None:
    with InstantModel(["A"]) as model:
        asker = Asker(model.url)
        for name in ("q_1", "q_2", "q_3"):
            asker.engine.begin(Request(name, prompt, 8))
            assert asker.until_ended(name)[-1] == Finished(name, "stop", 1, input_tokens=1)
        asker.engine.close()
    # The first one asks for the model's name too.
    assert (model.answered, model.connections) == (3, 1)


def test_a_stream_that_is_not_ended_after_its_last_word_keeps_nobody_waiting(
    asker: Asker, elsewhere: Elsewhere, prompt: Prompt
) -> None:
    elsewhere.script += [[*WHOLE, None], WHOLE]
    for name in ("q_1", "q_2"):
        asker.engine.begin(Request(name, prompt, 8))
        assert asker.until_ended(name)[-1] == Finished(name, "stop", 2, input_tokens=321)


def test_what_it_waits_for_is_measured(asker: Asker, elsewhere: Elsewhere, prompt: Prompt) -> None:
    elsewhere.script.append(WHOLE)
    assert asker.engine.meter.costs() is None
    asker.engine.begin(Request("q", prompt, 8))
    asker.until_ended("q")
    costs = asker.engine.meter.costs()
    assert costs is not None
    assert costs.elsewhere_s > 0
    # What it reads there takes nobody else's time here.
    assert (costs.read_s, costs.encode_s, len(costs.step_s)) == (0.0, 0.0, 8)


def test_closing_ends_everything(elsewhere: Elsewhere, prompt: Prompt) -> None:
    before = threading.active_count()
    asker = Asker(elsewhere.url)
    elsewhere.script.append([piece("A"), None])
    asker.engine.begin(Request("q", prompt, 8))
    asker.more()
    asker.engine.close()
    elsewhere.let_go.set()
    assert elsewhere.gone.wait(10)
    assert asker.engine.step() == []
    assert not asker.engine._thread.is_alive()
    assert threading.active_count() <= before + 1
