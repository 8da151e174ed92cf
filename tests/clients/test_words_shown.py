"""The commands in front of a server whose model, cameras and refusals say what would act on a terminal."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clients.plain import plain

ROOT = Path(__file__).resolve().parents[2]
ACTS = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202e[/bold] [link=http://example.org]here[/link]"
SHOWN = "[/bold] [link=http://example.org]here[/link]"

EVENT = {
    "id": "ev_1", "start": "2026-01-01T10:00:00.000000Z", "end": "2026-01-01T10:00:05.000000Z", "frames": [],
    "score": None, "transcript": None, "caption": ACTS,
}  # fmt: skip
STREAM = {
    "id": "door", "state": "offline", "size": None, "fps": {"received": 0.0}, "last_frame": None,
    "memory": {"events": 1, "bytes": 1}, "error": {"code": "camera_refused", "message": ACTS},
}  # fmt: skip
ANSWER = {
    "id": "q_1", "answer": ACTS, "timing": {"ttft_ms": 1.0, "total_ms": 2.0},
    "evidence": [{"start": EVENT["start"], "end": EVENT["end"], "stream": "door", "frame": f"/v1/{ACTS}"}],
}  # fmt: skip

EXPLAINED = {
    "range": {"since": None, "until": None},
    "gate": {"past": True, "reasons": [ACTS]},
    "candidates": [{"stream": ACTS, "event": "e_1", "parts": {ACTS: 1.0}, "picked": True}],
}


class Door(BaseHTTPRequestHandler):
    """Says ACTS wherever a server has words that are not its own."""

    def do_GET(self) -> None:
        if self.path.startswith("/v1/streams/door/events"):
            self._json(200, {"events": [EVENT], "gaps": [], "next_cursor": None})
        elif self.path.startswith("/v1/streams?"):
            self._json(200, {"streams": [STREAM], "next_cursor": None})
        elif self.path.startswith("/v1/questions"):
            self._json(200, EXPLAINED)
        else:
            self._json(404, {"error": {"type": "x", "code": "stream_not_found", "message": ACTS, "param": None}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not asked.get("stream"):
            self._json(200, ANSWER)
            return
        told = [("delta", {"text": ACTS[n : n + 3]}) for n in range(0, len(ACTS), 3)]
        told.append(("error", {"error": {"code": "model_unavailable", "message": ACTS}}) if "fail" in asked["question"]
                    else ("done", ANSWER))  # fmt: skip
        self._send(
            200, "text/event-stream", "".join(f"event: {name}\ndata: {json.dumps(one)}\n\n" for name, one in told)
        )

    def _json(self, status: int, body: Any) -> None:
        self._send(status, "application/json", json.dumps(body))

    def _send(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def told() -> Iterator[Callable[..., str]]:
    """All that a command writes to the terminal."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "OMNILIVE_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "COLUMNS": "300",
        "PYTHONPATH": str(ROOT),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "clients.cli.main", *arguments]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, timeout=100)
        return (done.stdout + done.stderr).decode()

    yield run
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "door", "What?"),
        ("ask", "door", "What?", "--json"),
        ("ask", "door", "fail"),
        ("explain", "q_1"),
        ("explain", "q_1", "--json"),
        ("events", "door"),
        ("events", "door", "--json"),
        ("events", "gate"),
        ("streams",),
        ("streams", "--json"),
    ],
    ids=" ".join,
)
def test_words_of_others_are_shown_and_do_not_act(told: Callable[..., str], arguments: tuple[str, ...]) -> None:
    text = told(*arguments)
    assert SHOWN in text
    assert plain(text) == text
    assert "Traceback" not in text


def test_words_of_ones_own_that_are_refused_do_not_act(told: Callable[..., str]) -> None:
    for arguments in (("fly\x1b[2J",), ("push", "door", "none\x9b2J.mp4")):
        text = told(*arguments)
        assert text
        assert plain(text) == text
