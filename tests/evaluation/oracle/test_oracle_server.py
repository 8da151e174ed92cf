"""The oracle as a server: what a client of chat completions needs of it, and what it remembers of what it saw."""

import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from evaluation.oracle.server import OracleServer, listen
from evaluation.ovo import prompts
from training.world import SECOND, Appeared, Cut, Script, Thing, frame, strip_state, with_strip

SCRIPT = Script(7, 9 * SECOND, (Cut(0, 0, "plain", 0.9), Appeared(0, 0, Thing(1, "red", "ring", 0.8), 5)))
PROMPT = prompts.choice("Where was the red ring?", ["left", "right", "top", "bottom"])


def picture(at_us: int | None) -> dict[str, Any]:
    drawn = frame(SCRIPT, at_us or 0, 320, 240)
    written = io.BytesIO()
    Image.fromarray(drawn if at_us is None else with_strip(drawn, strip_state(SCRIPT, at_us))).save(written, "JPEG")
    url = f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def body(*pictures: dict[str, Any], **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": "Now:\n"}, *pictures, {"type": "text", "text": f"\nQuestion: {PROMPT}"}]
    return {"model": "oracle", "messages": [{"role": "user", "content": parts}], **more}


def test_it_answers_from_the_pictures_and_tells_what_it_saw() -> None:
    with OracleServer() as oracle:
        assert httpx.get(f"{oracle.url}/models").json()["data"][0]["id"] == "oracle"
        answered = httpx.post(f"{oracle.url}/chat/completions", json=body(picture(0), picture(8 * SECOND)))
        assert answered.json()["choices"][0]["message"]["content"] == "B"
        streamed = httpx.post(f"{oracle.url}/chat/completions", json=body(picture(None), stream=True))
        heard = oracle.heard()
        assert oracle.heard() == []
    chunks = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert chunks[-1] == "[DONE]"
    assert [json.loads(chunk)["choices"][0] for chunk in chunks[:-1]] == [
        {"index": 0, "delta": {"role": "assistant", "content": "A"}},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    assert [one.question for one in heard] == [PROMPT, PROMPT]
    assert [[(state.film, state.at_us) for state in one.seen] for one in heard] == [[(7, 0), (7, 8 * SECOND)], []]
    assert [one.unreadable for one in heard] == [0, 1]


def test_what_a_request_says_beside_the_question_is_kept() -> None:
    earlier = [{"role": "user", "content": "Is it red?"}, {"role": "assistant", "content": "No."}]
    heard = listen([*earlier, *body(picture(0))["messages"]])
    assert heard.question == PROMPT
    assert all(text in heard.beside for text in ("Is it red?", "No.", "Now:"))
    assert PROMPT not in heard.beside


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"messages": []}',
        json.dumps(body({"type": "image_url", "image_url": {"url": "x"}})).encode(),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_answered(content: bytes) -> None:
    with OracleServer() as oracle, httpx.Client() as client:
        refused = client.post(f"{oracle.url}/chat/completions", content=content)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
        assert client.get(f"{oracle.url}/nothing").status_code == 404
        assert client.post(f"{oracle.url}/chat/completions", json=body(picture(0))).is_success
