"""A conversation through the real process: by REST and by websocket, "that" is what was asked before."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

START = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def watched(_launcher: Any, make_clip: Any, until: Any) -> Any:
    """A server with stream `talk`, five shots of two seconds. Its questions wait for memory on a busy machine too."""
    clip: Path = make_clip(shots=5, seconds=2.0)
    server = _launcher("--allow-files", str(clip.parent), OMNILIVE_REASONING__RECALL_TIMEOUT_MS="60000")
    with server.client() as client:
        body = {"id": "talk", "source": {"url": f"file://{clip}", "pace": "fast", "start": START}}
        response = client.post("/v1/streams", json=body)
        assert response.status_code == 201, response.text
        until(lambda: client.get("/v1/streams/talk").json()["state"] == "ended", 120)
        until(lambda: len(client.get("/v1/streams/talk/events").json()["events"]) >= 4, 60)
    return server


def asked_until(client: Any, question: str) -> float | None:
    """Where the range ends that was understood, in seconds of the stream; None: there was none."""
    told = client.get(f"/v1/questions/{question}/explain").json()
    until = told["range"]["until"]
    return None if until is None else float(until.removeprefix("2026-01-01T00:00:").removesuffix("Z"))


def test_that_is_what_was_asked_before_whatever_the_door(watched: Any) -> None:
    with watched.client() as client:

        def ask(question: str, conversation: str | None) -> dict[str, Any]:
            body = {"question": question, "max_tokens": 4}
            body |= {"conversation": conversation} if conversation else {}
            response = client.post("/v1/streams/talk/questions", json=body)
            assert response.status_code == 200, response.text
            found: dict[str, Any] = response.json()
            return found

        first = ask("What was there between 6 and 7 seconds?", "c1")
        assert asked_until(client, first["id"]) == pytest.approx(7, abs=0.1)
        with connect(f"{watched.ws}/v1/streams/talk/live") as live:
            live.send(json.dumps({"type": "ask", "id": "a", "question": "And before that?", "conversation": "c1"}))
            message = json.loads(live.recv(60))
            while message["type"] not in ("done", "error"):
                message = json.loads(live.recv(60))
        assert message["type"] == "done", message
        second = message["result"]
        assert asked_until(client, second["id"]) == pytest.approx(6, abs=0.1)
        assert second["evidence"]
        assert all(one["start"] < "2026-01-01T00:00:06" for one in second["evidence"])
        third = ask("And before that?", "c1")
        ends = asked_until(client, third["id"])
        assert ends is not None
        assert ends < 6
        for other in ("c2", None):
            assert asked_until(client, ask("And before that?", other)["id"]) is None


def test_a_prompt_is_changed_while_the_stream_is_asked(watched: Any) -> None:
    with watched.client() as client:
        tokens = []
        for prompt in ("", "Answer with one word. " * 8, ""):
            changed = client.patch("/v1/streams/talk", json={"prompt": prompt})
            assert changed.status_code == 200
            assert changed.json()["options"]["prompt"] == prompt
            answer = client.post("/v1/streams/talk/questions", json={"question": "What is it?", "max_tokens": 1}).json()
            tokens.append(answer["usage"]["input_tokens"])
        assert tokens[1] > tokens[0] == tokens[2]
