"""Questions that cannot be answered in time are refused at every door, at once, with when to ask again."""

import asyncio
from typing import Any

import pytest

from reasoning.messages import AnswerDelta, AnswerFailed, Ask, Costs
from server.admission import Asked
from server.errors import RequestError
from server.protocol import QuestionRequest

# One slot; ten seconds to read a question, and a tenth for each token.
COSTS = Costs(read_s=0.01, tokens=1000.0, encode_s=0.0, elsewhere_s=0.0, step_s=[0.1], end_rate=0.0)
SHORT = {"question": "What?", "max_tokens": 10}


def admit(rig: Any, stream: str = "cam", **fields: Any) -> Any:
    entry = rig.hub.registry.find("default", stream)
    run = rig.hub.questions.admit("default", [entry], QuestionRequest(**(SHORT | fields)))
    rig.hub.questions.begin(run)
    return run


def refused(rig: Any, why: str) -> float:
    return rig.hub.core.metrics.registry.get_sample_value("omnilive_questions_refused_total", {"why": why}) or 0.0


async def busy(make_rig: Any, open_: int = 5, **limits: int) -> Any:
    """A server with five questions open, which take nearly a minute."""
    rig = make_rig(limits=limits)
    await rig.add()
    rig.host.hold_answers = True
    rig.host.say("reasoning", COSTS)
    for _ in range(open_):
        admit(rig, deadline_ms=600_000)
    return rig


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", ["/v1/streams/cam/questions", "/v1/questions"])
async def test_refused_over_http(make_rig: Any, path: str, streamed: bool) -> None:
    rig = await busy(make_rig)
    more = {"streams": None} if path == "/v1/questions" else {}
    async with rig.client() as client:
        body = {**SHORT, **more, "stream": streamed, "deadline_ms": 30_000}
        response = await asyncio.wait_for(client.post(path, json=body), 5)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many_questions")
        # It would wait 55 s and take 11; a wait counts twice, so that 9.5 of its 30 s are left for one.
        assert response.headers["Retry-After"] == "46"
        assert "46 s" in response.json()["error"]["message"]
    assert (len(rig.hub.questions), refused(rig, "late"), refused(rig, "open")) == (5, 1, 0)
    assert len(rig.host.of(Ask)) == 5


def test_refused_over_a_websocket(live_rig: Any) -> None:
    rig, client = live_rig
    assert client.post("/v1/streams", json={"id": "cam", "source": {"push": True, "pace": "real"}}).is_success
    client.portal.call(rig.fill, "cam")
    rig.host.hold_answers = True
    client.portal.call(rig.host.say, "reasoning", COSTS)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        for name in ("a1", "a2"):
            socket.send_json({"type": "ask", "id": name, **SHORT, "deadline_ms": 20_000})
        while (message := socket.receive_json())["type"] != "error":
            pass
        assert (message["id"], message["error"]["code"]) == ("a2", "too_many_questions")
        assert message["retry_after_s"] == 7
    assert len(rig.host.of(Ask)) == 1


async def test_who_has_more_time_is_let_in(make_rig: Any) -> None:
    rig = await busy(make_rig)
    with pytest.raises(RequestError):
        admit(rig, deadline_ms=60_000)
    assert admit(rig, deadline_ms=125_000).asked.foretold_s == pytest.approx(66, rel=0.1)


async def test_what_takes_too_long_even_alone_is_told_so(make_rig: Any) -> None:
    rig = await busy(make_rig, 1)
    async with rig.client() as client:
        body = {**SHORT, "max_tokens": 4000, "deadline_ms": 60_000}
        response = await client.post("/v1/streams/cam/questions", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert "max_tokens" in response.json()["error"]["message"]


async def test_a_full_stream_says_when_the_next_place_is_free(make_rig: Any) -> None:
    rig = await busy(make_rig, questions=5)
    async with rig.client() as client:
        response = await client.post("/v1/streams/cam/questions", json={**SHORT, "deadline_ms": 600_000})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "12")
    assert refused(rig, "open") == 1


async def test_open_questions_of_all_streams_are_bounded(make_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await busy(make_rig, 3)
    await rig.add("yard")
    monkeypatch.setattr("server.questions.most_open", lambda _: 3)
    with pytest.raises(RequestError, match="3 questions are open") as caught:
        admit(rig, "yard", deadline_ms=600_000)
    assert caught.value.code == "too_many_questions"


async def test_a_stream_that_asks_a_lot_leaves_others_their_turn(make_rig: Any) -> None:
    rig = await busy(make_rig)
    await rig.add("yard")
    with pytest.raises(RequestError):
        admit(rig, "cam", deadline_ms=50_000)
    admit(rig, "yard", deadline_ms=50_000)


async def test_it_learns_from_answers_and_from_those_that_ran_out_of_time(make_rig: Any) -> None:
    rig = await busy(make_rig, 2)
    for ask, fault in zip(rig.host.of(Ask), (None, "deadline_exceeded"), strict=True):
        rig.host.say("reasoning", AnswerDelta(ask.question_id, "A red "))
        end = rig.host.done(ask) if fault is None else AnswerFailed(ask.question_id, RequestError(fault, "late").fault)
        rig.host.say("reasoning", end)
    # Both ended at once where seconds were foretold.
    assert rig.hub.questions.admission.slowness() < 0.5
    assert len(rig.hub.questions) == 0


async def test_an_answer_without_the_model_teaches_nothing(make_rig: Any) -> None:
    rig = await busy(make_rig, 1)
    [ask] = rig.host.of(Ask)
    rig.host.say("reasoning", rig.host.done(ask, finish_reason="not_covered"))
    assert rig.hub.questions.admission.slowness() == 1.0


async def test_another_process_is_not_judged_by_what_the_lost_one_cost(make_rig: Any) -> None:
    rig = await busy(make_rig)
    rig.host.lose("reasoning")
    rig.host.come_back("reasoning")
    assert rig.hub.questions.admission.foretell([], Asked("default/cam", 1.0, 1, 0.0)) is None
    admit(rig, deadline_ms=1000)


async def test_a_wait_for_its_own_media_is_not_held_against_reasoning(make_rig: Any) -> None:
    rig = await busy(make_rig, 1)
    entry = rig.hub.registry.find("default", "cam")
    run = rig.hub.questions.admit("default", [entry], QuestionRequest(**SHORT, deadline_ms=600_000))
    # It came long ago, and waits for what was sent before it.
    run.asked.at_s -= 500
    assert rig.hub.questions.admission.slowness([run.asked], run.arrival_us / 1e6) == 1.0
    rig.hub.questions.begin(run)
    assert run.arrival_us / 1e6 <= run.asked.at_s
    assert run.asked.foretold_s == pytest.approx(22, rel=0.1)
