"""The model of zero cost speaks the protocol of real ones."""

import json

import httpx

from evaluation.instant_model import InstantModel


def test_it_names_itself_and_streams_its_words_on_one_connection() -> None:
    with InstantModel(["No", "body"]) as model, httpx.Client(base_url=model.url, trust_env=False) as client:
        assert client.get("/models").json()["data"][0]["id"] == "instant"
        for _ in range(2):
            response = client.post("/chat/completions", json={"messages": [], "stream": True})
            assert response.headers["content-type"] == "text/event-stream"
            *events, last = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
            chunks = [json.loads(event) for event in events]
            said = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
            assert said == ["No", "body", None]
            assert chunks[-1]["usage"]["completion_tokens"] == 2
            assert last == "[DONE]"
        assert model.answered == 2
