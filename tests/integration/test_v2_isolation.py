"""V2: two tenants remember the same film; nothing of one is ever told to the other, whatever is asked at random."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

QUICK, LONG = 300, 10_000
QUESTION = {"question": "What was there?", "max_tokens": 2}


@dataclass
class Tenant:
    """Somebody with a key, a stream whose name both have, one whose name they alone have, and what they were told."""

    client: httpx.Client
    own: str
    events: list[str]
    questions: list[str]

    @property
    def secrets(self) -> list[str]:
        """What only they may read."""
        return [self.own, *self.events, *self.questions]


@pytest.fixture(scope="module")
def two(_launcher: Any, omnilive: Any, make_clip: Any, until: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with both tenants, each of which has watched the same clip twice."""
    clip: Path = make_clip(shots=3, seconds=2.0)
    data = tmp_path_factory.mktemp("tenants") / "data"
    server = _launcher("--allow-files", str(clip.parent), data=data)
    tenants = []
    for name in ("north", "south"):
        made = omnilive("keys", "create", name, "--tenant", name, "--data", str(data))
        client = server.client(authorization=f"Bearer {made.stdout.strip()}")
        tenants.append(Tenant(client, f"yard-{name}", [], []))
    for tenant in tenants:
        for stream in ("cam", tenant.own):
            body = {"id": stream, "source": {"url": f"file://{clip}", "pace": "fast"}}
            assert tenant.client.post("/v1/streams", json=body).status_code == 201
    for tenant in tenants:
        for stream in ("cam", tenant.own):
            until(lambda t=tenant, s=stream: t.client.get(f"/v1/streams/{s}").json()["state"] == "ended", 120)
            until(lambda t=tenant, s=stream: len(t.client.get(f"/v1/streams/{s}/events").json()["events"]) >= 3, 60)
            tenant.events += [one["id"] for one in tenant.client.get(f"/v1/streams/{stream}/events").json()["events"]]
            answer = tenant.client.post(f"/v1/streams/{stream}/questions", json=QUESTION)
            tenant.questions.append(answer.json()["id"])
    yield tenants
    for tenant in tenants:
        tenant.client.close()


def calls(mine: Tenant, theirs: Tenant, dice: random.Random) -> list[tuple[str, Callable[[], Any], set[int]]]:
    """What one may try: by name, the call, the statuses that it may end with."""
    client, event, question = mine.client, dice.choice(theirs.events), dice.choice(theirs.questions)
    cam, away, text = "/v1/streams/cam", f"/v1/streams/{theirs.own}", {"question": "Where was it?", "max_tokens": 2}
    return [
        ("their stream", lambda: client.get(away), {404}),
        ("their events", lambda: client.get(f"{away}/events", params={"q": "red"}), {404}),
        ("their memory", lambda: client.get(f"{away}/memory"), {404}),
        ("to forget theirs", lambda: client.delete(f"{away}/memory"), {404}),
        ("to delete theirs", lambda: client.delete(away), {404}),
        ("to change theirs", lambda: client.patch(away, json={"prompt": "x"}), {404}),
        ("to ask theirs", lambda: client.post(f"{away}/questions", json=text), {404}),
        ("to ask both", lambda: client.post("/v1/questions", json={**text, "streams": ["cam", theirs.own]}), {404}),
        ("their event here", lambda: client.get(f"{cam}/events/{event}"), {404}),
        ("to forget their event", lambda: client.delete(f"{cam}/events/{event}"), {404}),
        ("their frame", lambda: client.get(f"{cam}/events/{event}/frames/0"), {404}),
        ("their explanation", lambda: client.get(f"/v1/questions/{question}/explain"), {404}),
        ("own streams", lambda: client.get("/v1/streams"), {200}),
        ("own events", lambda: client.get(f"{cam}/events", params={"q": dice.choice(["red", "a door", "x"])}), {200}),
        ("own answer", lambda: client.post("/v1/questions", json={**text, "question": "What was there?"}), {200, 429}),
    ]


def ask_across(two: list[Tenant], times: int) -> None:
    dice = random.Random(2)
    known = [[one["id"] for one in tenant.client.get("/v1/streams/cam/events").json()["events"]] for tenant in two]
    assert not set(known[0]) & set(known[1])
    for _ in range(times):
        mine, theirs = dice.sample(two, 2)
        # Answers cost most: one in about forty is one.
        options = calls(mine, theirs, dice)
        name, call, allowed = dice.choice(options[:-1]) if dice.random() < 0.97 else options[-1]
        response = call()
        assert response.status_code in allowed, (name, response.text)
        if response.status_code == 404:
            assert response.json()["error"]["code"].endswith("_not_found"), name
        told = response.text if response.headers["content-type"].startswith("application/json") else ""
        asked = str(response.request.url) + str(response.request.content)
        assert [one for one in theirs.secrets if one in told and one not in asked] == [], name
    after = [[one["id"] for one in tenant.client.get("/v1/streams/cam/events").json()["events"]] for tenant in two]
    assert after == known


def test_nothing_of_another_tenant_is_told(two: list[Tenant]) -> None:
    ask_across(two, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_of_another_tenant_is_told_however_often(two: list[Tenant]) -> None:
    ask_across(two, LONG)


def test_evidence_of_the_same_picture_is_ones_own(two: list[Tenant]) -> None:
    """Both films are alike, byte for byte: whose picture was encoded first is nobody's evidence but theirs."""
    for tenant in two:
        answer = tenant.client.post("/v1/streams/cam/questions", json={**QUESTION, "since": "0", "until": "3"}).json()
        assert answer["evidence"]
        assert {one["event"] for one in answer["evidence"]} <= set(tenant.events)
        for one in answer["evidence"]:
            assert tenant.client.get(one["frame"]).status_code == 200
            other = next(other for other in two if other is not tenant)
            assert other.client.get(one["frame"]).status_code == 404
