"""Questions and events over HTTP, and the server about itself."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from memory.messages import About, ListEvents, SearchPicture
from perception.messages import Fault
from reasoning.messages import AnswerDelta, AnswerFailed, Ask, Cancel, EngineReady
from server.answers import MAX_EXPLAINS


async def until_sent(rig: Any, kind: type, count: int = 1) -> list[Any]:
    async with asyncio.timeout(5):
        while len(rig.host.of(kind)) < count:
            await asyncio.sleep(0)
    return rig.host.of(kind)


async def ask(client: Any, of: str = "cam", **fields: Any) -> Any:
    return await client.post(f"/v1/streams/{of}/questions", json={"question": "What is there?", **fields})


def parse(text: str) -> list[tuple[str, Any]]:
    events = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [
        (block.split("\n")[0].removeprefix("event: "), json.loads(block.split("\n")[1].removeprefix("data: ")))
        for block in events
    ]


async def test_an_answer(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        response = await ask(client)
    answer = response.json()
    assert response.status_code == 200
    assert answer["id"].startswith("q_")
    assert (answer["stream"], answer["question"]) == ("cam", "What is there?")
    assert (answer["answer"], answer["finish_reason"]) == ("A red door.", "stop")
    assert answer["evidence"][0]["frame"] == "/v1/streams/cam/events/e_1/frames/0"
    assert answer["coverage"]["covered"] == "full"
    assert answer["coverage"]["gaps"][0]["reason"] == "offline"
    assert answer["coverage"]["grain_ms"] == 1000
    assert answer["staleness_ms"] == 40
    assert answer["timing"] == {
        "queue_ms": 1.0, "recall_ms": 2.0, "prefill_ms": 3.0, "ttft_ms": 6.0, "total_ms": 9.0
    }  # fmt: skip
    assert answer["usage"] == {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105}
    assert rig.hub.core.metrics.registry.get_sample_value("omnilive_questions_in_flight") == 0


async def test_what_reasoning_is_asked(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        await client.patch("/v1/streams/cam", json={"prompt": "You guard a door.", "time_zone": "Asia/Tokyo"})
        await ask(client, since="0", until="12.5", max_tokens=7, deadline_ms=1500, temperature=0.5, seed=3)
    asked = rig.host.of(Ask)[0]
    assert (asked.since_us, asked.until_us, asked.max_tokens) == (0, 12_500_000, 7)
    assert asked.deadline_us - asked.arrival_us == 1_500_000
    assert (asked.temperature, asked.seed) == (0.5, 3)
    assert (asked.streams[0].prompt, asked.streams[0].time_zone) == ("You guard a door.", "Asia/Tokyo")
    assert asked.streams[0].now_us >= 29_000_000


async def test_now_of_a_fast_stream_is_its_newest_frame(rig: Any) -> None:
    await rig.add("fast", push=True, pace="fast")
    async with rig.client() as client:
        await ask(client, "fast")
        assert rig.host.of(Ask)[0].streams[0].now_us == 29_000_000
        response = await ask(client, "fast", since=32)
        assert response.json()["error"]["code"] == "time_in_future"


async def test_server_sent_events(rig: Any) -> None:
    await rig.add()
    rig.host.answer = ["Eine ", "rote ", "Tür."]
    async with rig.client() as client:
        response = await ask(client, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse(response.text)
    assert [kind for kind, _ in events][-1] == "done"
    joined = "".join(body["text"] for kind, body in events if kind == "delta")
    assert joined == events[-1][1]["answer"] == "Eine rote Tür."


async def test_a_failed_stream_of_events_ends_once(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = asyncio.create_task(ask(client, stream=True))
        name = (await until_sent(rig, Ask))[0].question_id
        rig.host.say("reasoning", AnswerDelta(name, "A "))
        rig.host.say("reasoning", AnswerFailed(name, Fault("model_unavailable", "try again")))
        rig.host.say("reasoning", AnswerDelta(name, "late"))
        events = parse((await asking).text)
    assert events == [
        ("delta", {"text": "A "}),
        ("error", {"error": {
            "type": "server_error", "code": "model_unavailable", "message": "try again", "param": None
        }}),
    ]  # fmt: skip


async def test_what_is_known_before_the_first_byte_is_an_http_error(rig: Any) -> None:
    async with rig.client() as client:
        await client.post("/v1/streams", json={"id": "empty", "source": {"push": True, "pace": "real"}})
        response = await ask(client, "empty", stream=True)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "no_frames_yet")
        response = await ask(client, "none", stream=True)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "stream_not_found")


async def test_a_text_that_is_more_than_its_deltas_gets_the_rest(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = asyncio.create_task(ask(client, stream=True))
        asked = (await until_sent(rig, Ask))[0]
        rig.host.say("reasoning", AnswerDelta(asked.question_id, "A red"))
        rig.host.say("reasoning", rig.host.done(asked))
        events = parse((await asking).text)
    assert "".join(body["text"] for kind, body in events if kind == "delta") == events[-1][1]["answer"] == "A red door."


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"question": ""}, 400, "invalid_field", "question"),
        ({"question": "  \n"}, 400, "invalid_field", "question"),
        ({"question": 5}, 400, "invalid_field", "question"),
        ({"question": "a\0b"}, 400, "invalid_field", "question"),
        ({"question": "x" * 20_000}, 413, "too_large", "question"),
        ({"max_tokens": 0}, 400, "invalid_field", "max_tokens"),
        ({"max_tokens": 4097}, 400, "invalid_field", "max_tokens"),
        ({"max_tokens": 2**63}, 400, "invalid_field", "max_tokens"),
        ({"max_tokens": "5"}, 400, "invalid_field", "max_tokens"),
        ({"max_tokens": True}, 400, "invalid_field", "max_tokens"),
        ({"temperature": -1}, 400, "invalid_field", "temperature"),
        ({"temperature": 1e308}, 400, "invalid_field", "temperature"),
        ({"deadline_ms": 0}, 400, "invalid_field", "deadline_ms"),
        ({"seed": -1}, 400, "invalid_field", "seed"),
        ({"stream": "yes"}, 400, "invalid_field", "stream"),
        ({"conversation": ""}, 400, "invalid_field", "conversation"),
        ({"n": 3}, 400, "invalid_field", "n"),
        ({"since": True}, 400, "invalid_field", None),
        ({"since": "soon"}, 400, "invalid_time", "since"),
        ({"since": 5, "until": 4}, 400, "invalid_time_range", "since"),
        ({"since": "9999-01-01T00:00:00Z"}, 400, "time_in_future", "since"),
    ],
)
async def test_bad_questions(rig: Any, fields: Any, status: int, code: str, param: str | None) -> None:
    await rig.add()
    async with rig.client() as client:
        response = await ask(client, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    if param is not None:
        assert error["param"] == param
    assert rig.host.of(Ask) == []
    assert len(rig.hub.questions) == 0


async def test_reasoning_that_dies_ends_each_question_at_once(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = [asyncio.create_task(ask(client, stream=n % 2 == 0)) for n in range(4)]
        asked = await until_sent(rig, Ask, 4)
        rig.host.say("reasoning", AnswerDelta(asked[0].question_id, "A"))
        rig.host.lose("reasoning")
        responses = await asyncio.gather(*asking)
        refused = await ask(client)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        rig.host.come_back("reasoning")
        rig.host.hold_answers = False
        assert (await ask(client)).status_code == 200
    for response in responses:
        if response.headers["content-type"].startswith("text/event-stream"):
            ends = [body["error"]["code"] for kind, body in parse(response.text) if kind == "error"]
            assert ends == ["process_lost"]
        else:
            assert (response.status_code, response.json()["error"]["code"]) == (503, "process_lost")


async def test_memory_that_dies_is_reasonings_to_handle(rig: Any) -> None:
    await rig.add()
    rig.host.lose("memory")
    async with rig.client() as client:
        assert (await ask(client)).status_code == 200


async def test_a_deadline_that_reasoning_does_not_keep(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        response = await ask(client, deadline_ms=10)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert [one.question_id for one in rig.host.of(Cancel)] == [rig.host.of(Ask)[0].question_id]


async def test_a_client_that_goes_away_cancels(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    for stream in (False, True):
        body = json.dumps({"question": "?", "stream": stream}).encode()
        gone = asyncio.Event()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive(messages: Any = messages, gone: Any = gone) -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            return

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/streams/cam/questions", "raw_path": b"", "root_path": "",
            "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        asked = len(rig.host.of(Ask))
        request = asyncio.create_task(rig.app(scope, receive, send))
        await until_sent(rig, Ask, asked + 1)
        gone.set()
        await asyncio.wait_for(request, 5)
        assert len(rig.hub.questions) == 0
    assert [one.question_id for one in rig.host.of(Cancel)] == [one.question_id for one in rig.host.of(Ask)]
    assert rig.hub.core.metrics.registry.get_sample_value("omnilive_questions_in_flight") == 0


async def test_open_questions_of_a_stream_are_counted(make_rig: Any) -> None:
    rig = make_rig(limits={"questions": 2})
    await rig.add("a")
    await rig.add("b")
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = [asyncio.create_task(ask(client, "a")) for _ in range(2)]
        asked = await until_sent(rig, Ask, 2)
        refused = await ask(client, "a")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_questions")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        asking.append(asyncio.create_task(ask(client, "b")))
        asked = await until_sent(rig, Ask, 3)
        for one in asked:
            rig.host.give_answer(one)
        assert [(await one).status_code for one in asking] == [200, 200, 200]
        rig.host.hold_answers = False
        assert (await ask(client, "a")).status_code == 200


async def test_conversation(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        await ask(client, conversation="c1", question="First?")
        await ask(client, conversation="c1", question="And before that?")
        await ask(client, conversation="c2", question="Other?")
        histories = [[(turn.question, turn.answer) for turn in one.history] for one in rig.host.of(Ask)]
        assert histories == [[], [("First?", "A red door.")], []]
        await client.delete("/v1/streams/cam/memory?since=0&until=1")
        await ask(client, conversation="c1")
        assert rig.host.of(Ask)[-1].history == []


async def test_what_that_means_is_kept_between_questions(rig: Any) -> None:
    await rig.add()
    about = About(5, 6, named=True)
    rig.host.about = about
    async with rig.client() as client:
        await ask(client, conversation="c1", question="First?")
        await ask(client, conversation="c1", question="And before that?")
    assert [turn.about for turn in rig.host.of(Ask)[-1].history] == [about]


async def test_a_prompt_of_the_stream_that_is_changed_counts_from_the_next_question_on(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        for prompt in ("Look at the door alone.", "Answer in German.", None):
            assert (await client.patch("/v1/streams/cam", json={"prompt": prompt})).status_code == 200
            await ask(client, conversation="c1")
    assert [one.streams[0].prompt for one in rig.host.of(Ask)] == ["Look at the door alone.", "Answer in German.", ""]


async def test_many_streams(rig: Any) -> None:
    await rig.add("a")
    await rig.add("b")
    async with rig.client() as client:
        for streams in (None, ["b", "a", "b"]):
            response = await client.post("/v1/questions", json={"question": "Where?", "streams": streams})
            answer = response.json()
            assert response.status_code == 200, answer
            assert sorted(answer["streams"]) == ["a", "b"]
            assert answer["stream"] is None
            assert {gap["stream"] for gap in answer["coverage"]["gaps"]} == {"a", "b"}
        assert [one.stream for one in rig.host.of(Ask)[-1].streams] == ["default/b", "default/a"]
        response = await client.post("/v1/questions", json={"question": "Where?", "streams": ["a", "none"]})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "stream_not_found")
        response = await client.post("/v1/questions", json={"question": "Where?", "streams": []})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "streams")


async def test_no_stream_at_all(rig: Any) -> None:
    async with rig.client() as client:
        response = await client.post("/v1/questions", json={"question": "Where?"})
        assert (response.status_code, response.json()["error"]["code"]) == (409, "no_frames_yet")


async def test_explain(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        name = (await ask(client, since=10, until=15)).json()["id"]
        explained = (await client.get(f"/v1/questions/{name}/explain")).json()
        assert explained["gate"] == {"needs_past": True}
        assert explained["candidates"][0] == {"stream": "cam", "event": "e_1", "score": 0.75}
        assert explained["range"]["since"] < explained["range"]["until"]
        response = await client.get("/v1/questions/q_none/explain")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "question_not_found")
        await client.delete("/v1/streams/cam/events/e_1")
        assert (await client.get(f"/v1/questions/{name}/explain")).status_code == 404


async def test_explanations_are_bounded(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        first = (await ask(client)).json()["id"]
        kept = rig.hub.questions.explains.get("default", first)
        for n in range(MAX_EXPLAINS):
            rig.hub.questions.explains.add(f"q_{n}", kept)
        assert (await client.get(f"/v1/questions/{first}/explain")).status_code == 404


async def test_forgetting_under_an_open_question(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        silent = asyncio.create_task(ask(client))
        await until_sent(rig, Ask, 1)
        told = asyncio.create_task(ask(client, stream=True))
        first, second = await until_sent(rig, Ask, 2)
        rig.host.say("reasoning", AnswerDelta(second.question_id, "A red"))
        assert (await client.delete("/v1/streams/cam/memory?since=0&until=20")).status_code == 200
        again = (await until_sent(rig, Ask, 3))[2]
        # What reasoning still says of the first attempts rests on what is gone.
        rig.host.give_answer(first)
        rig.host.give_answer(second)
        assert not silent.done()
        rig.host.answer = ["Nothing."]
        rig.host.give_answer(again)
        assert (await silent).json()["answer"] == "Nothing."
        ends = [body for kind, body in parse((await told).text) if kind != "delta"]
    assert [end["error"]["code"] for end in ends] == ["cancelled"]
    assert {one.question_id for one in rig.host.of(Cancel)} == {first.question_id, second.question_id}


async def test_deleting_a_stream_ends_its_questions(rig: Any) -> None:
    await rig.add()
    rig.host.hold_answers = True
    async with rig.client() as client:
        asking = asyncio.create_task(ask(client))
        await until_sent(rig, Ask)
        await client.delete("/v1/streams/cam")
        response = await asking
    assert (response.status_code, response.json()["error"]["code"]) == (404, "stream_not_found")


# ---------------------------------------------------------------- events


async def test_events(rig: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        listed = (await client.get("/v1/streams/cam/events")).json()
        assert [one["id"] for one in listed["events"]] == ["e_2", "e_1"]
        one = listed["events"][1]
        assert (one["stream"], one["media_start_us"], one["transcript"]) == ("cam", 10_000_000, "hello")
        assert one["frames"][0]["url"] == "/v1/streams/cam/events/e_1/frames/0"
        assert one["speech"][0]["start"].endswith("Z")
        found = (await client.get("/v1/streams/cam/events?q=door&limit=1")).json()
        assert (found["events"][0]["score"], found["next_cursor"]) == (0.5, "more")
        asked = rig.host.of(ListEvents)[-1]
        assert (asked.q, asked.limit, asked.cursor) == ("door", 1, None)
        assert (await client.get("/v1/streams/cam/events/e_1")).json()["id"] == "e_1"
        frame = await client.get("/v1/streams/cam/events/e_1/frames/0")
        assert (frame.headers["content-type"], frame.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
        assert (await client.delete("/v1/streams/cam/events/e_1")).status_code == 204
        for method, path in [("GET", "e_1"), ("DELETE", "e_1"), ("GET", "e_1/frames/0"), ("GET", "e_2/frames/7")]:
            response = await client.request(method, f"/v1/streams/cam/events/{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "event_not_found")
        for path in ("e_1/frames/x", "e_1/frames/-1"):
            response = await client.get(f"/v1/streams/cam/events/{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_field")
        response = await client.get("/v1/streams/none/events")
        assert response.json()["error"]["code"] == "stream_not_found"
        for query in ("q=", "q=%00", "q=%20"):
            assert (await client.get(f"/v1/streams/cam/events?{query}")).json()["error"]["param"] == "q"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_search_by_a_picture(rig: Any, kind: str, picture: Any) -> None:
    await rig.add()
    async with rig.client() as client:
        path = "/v1/streams/cam/events/search?since=0&until=20&limit=5"
        response = await client.post(path, content=picture(kind), headers={"Content-Type": f"image/{kind.lower()}"})
    assert response.status_code == 200, response.text
    assert response.json()["events"][0]["score"] == 0.9
    asked = rig.host.of(SearchPicture)[0]
    assert (asked.picture, asked.since_us, asked.until_us, asked.limit) == (picture(kind), 0, 20_000_000, 5)


async def test_search_by_what_is_no_picture(make_rig: Any, picture: Any) -> None:
    rig = make_rig(limits={"image_pixels": 500, "picture_bytes": 4096})
    await rig.add()
    async with rig.client() as client:
        for content, status, code in [
            (b"", 400, "invalid_image"),
            (b"<html>", 400, "invalid_image"),
            (b"GIF89a" + b"\0" * 50, 400, "invalid_image"),
            (b"\xff\xd8\xff\xe0broken", 400, "invalid_image"),
            (b"RIFF\0\0\0\0WEBPnone", 400, "invalid_image"),
            (picture("PNG"), 413, "image_too_large"),
            (b"\xff\xd8\xff" + b"\0" * 5000, 413, "too_large"),
        ]:
            response = await client.post("/v1/streams/cam/events/search", content=content)
            assert (response.status_code, response.json()["error"]["code"]) == (status, code), content[:10]
    assert rig.host.of(SearchPicture) == []


# ---------------------------------------------------------------- the server


async def test_the_server_tells_of_itself(rig: Any) -> None:
    async with rig.client() as client:
        server = (await client.get("/v1/server")).json()
        assert set(server["processes"]) == {"perception", "memory", "reasoning"}
        assert server["processes"]["memory"]["pid"] == 4242
        assert server["limits"]["streams"] == 64
        assert server["model"].startswith("embedded")
        assert server["encoder"].startswith("embedded")
        assert server["decoding"] is None
        rig.hub.on_message("reasoning", EngineReady("apart"))
        assert (await client.get("/v1/server")).json()["decoding"] == "apart"
        assert (await client.get("/livez")).json() == {"status": "live"}
        ready = await client.get("/readyz")
        assert ready.json() == {"status": "ready", "stages": dict.fromkeys(server["processes"], "ready")}
        rig.host.lose("reasoning")
        lost = await client.get("/readyz")
        assert (lost.status_code, lost.json()["stages"]["reasoning"]) == (503, "restarting")
        rig.host.come_back("reasoning")
        text = (await client.get("/metrics")).text
    assert 'omnilive_process_restarts_total{stage="reasoning"} 1.0' in text
    assert "omnilive_questions_in_flight 0.0" in text


async def test_docs(rig: Any) -> None:
    async with rig.client() as client:
        assert (await client.get("/docs")).status_code == 200
        document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    for path in ("/v1/streams", "/v1/streams/{id}/questions", "/v1/questions", "/v1/streams/{id}/memory", "/v1/server"):
        assert path in paths
    statuses = {status for path in paths.values() for operation in path.values() for status in operation["responses"]}
    assert "422" not in statuses
    assert "HTTPValidationError" not in msgspec.json.encode(document).decode()


async def test_the_document_asks_for_a_key_where_the_server_does(rig: Any, make_rig: Any) -> None:
    async with rig.client() as client:
        assert "security" not in (await client.get("/openapi.json")).json()
    async with make_rig(key="ol_k").client(Authorization="Bearer ol_k") as client:
        document = (await client.get("/openapi.json")).json()
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/livez"]["get"]["security"] == []
    errors = document["paths"]["/metrics"]["get"]["responses"]["403"]["content"]
    assert list(errors) == ["application/json"]
