"""What goes wrong on a live websocket: what counts as a bad message, what is told of refusals and of our own faults."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from memory.messages import BarrierReached, EventCommitted
from perception.messages import Barrier, Packet
from reasoning.messages import Ask

PUSH = {"push": True, "pace": "real"}


def add(client: Any, rig: Any) -> None:
    assert client.post("/v1/streams", json={"id": "cam", "source": PUSH}).status_code == 201
    client.portal.call(rig.fill, "cam")


def after(socket: Any, kind: str) -> Any:
    """The next message of a kind; those of others are passed over."""
    while True:
        message = socket.receive_json()
        if message["type"] == kind:
            return message


def ask(socket: Any, name: str, **fields: Any) -> None:
    socket.send_json({"type": "ask", "id": name, "question": "What?", **fields})


def explode(*_: Any, **__: Any) -> Any:
    raise RuntimeError("/home/secret/path")


# ---------------------------------------------------------------- barriers


def test_every_ask_waits_for_the_media_before_it(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.silent.add(Barrier)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        for name in ("a1", "a2"):
            ask(socket, name)
        ask(socket, "a2")
        assert after(socket, "error")["error"]["code"] == "invalid_field"
        barrier = rig.host.wait_pushed(Barrier)[0]
        assert rig.host.of(Ask) == []
        client.portal.call(rig.host.say, "memory", BarrierReached("default/cam", barrier.barrier))
        assert {after(socket, "done")["id"], after(socket, "done")["id"]} == {"a1", "a2"}
    assert len(rig.host.wait_pushed(Barrier)) == 1


def test_a_full_ring_holds_back_no_end(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        rig.host.wait_pushed(Packet)
        rig.host.room = False
        ask(socket, "a1", deadline_ms=1)
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a1", "deadline_exceeded")
        ask(socket, "a2")
        socket.send_json({"type": "cancel", "id": "a2"})
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a2", "cancelled")
        ask(socket, "a3")
        client.portal.call(rig.host.lose, "perception")
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a3", "process_lost")


# ---------------------------------------------------------------- bad messages and refusals


def test_refused_questions_are_no_bad_messages(make_rig: Any) -> None:
    rig = make_rig(start=False, limits={"bad_messages": 3, "questions": 2})
    rig.host.hold_answers = True
    with TestClient(rig.app, base_url="http://127.0.0.1:8000") as client:
        client.portal.call(rig.host.start)
        add(client, rig)
        with client.websocket_connect("/v1/streams/cam/live") as socket:
            for n in range(12):
                ask(socket, f"a{n}")
            for _ in range(10):
                assert after(socket, "error")["error"]["code"] == "too_many_questions"
            for one in rig.host.wait_for(Ask, 2):
                client.portal.call(rig.host.give_answer, one)
            assert {after(socket, "done")["id"], after(socket, "done")["id"]} == {"a0", "a1"}


def test_garbage_takes_no_stream_from_its_sender(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with (
        client.websocket_connect("/v1/streams/cam/live") as old,
        client.websocket_connect("/v1/streams/cam/live") as new,
    ):
        old.send_bytes(picture())
        rig.host.wait_pushed(Packet)
        new.send_bytes(b"garbage")
        assert after(new, "error")["error"]["code"] == "invalid_image"
        new.send_json({"type": "media", "track": 0, "codec": "h264"})
        new.send_json({"type": "cancel", "id": "none"})
        assert after(new, "error")["error"]["code"] == "question_not_found"
        old.send_bytes(picture())
        rig.host.wait_pushed(Packet, 2)


# ---------------------------------------------------------------- our own faults


def test_a_fault_of_ours_ends_one_message(live_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        for part in ("admit", "begin"):
            with monkeypatch.context() as patch:
                patch.setattr(rig.hub.questions, part, explode)
                ask(socket, part)
                end = after(socket, "error")
            assert (end["id"], end["error"]["code"]) == (part, "internal_error")
            assert "secret" not in end["error"]["message"]
        ask(socket, "ok")
        assert after(socket, "done")["id"] == "ok"
    assert len(rig.hub.questions) == 0


def test_an_answer_that_cannot_be_told_ends_with_an_error(live_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, client = live_rig
    add(client, rig)
    monkeypatch.setattr("server.doors.live.Session._send_end", explode)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        ask(socket, "a1")
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a1", "internal_error")


def test_a_fault_in_telling_is_told_before_the_connection_ends(live_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, client = live_rig
    add(client, rig)
    monkeypatch.setattr("server.doors.live.event_reply", explode)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "subscribe", "topics": ["events"]})
        socket.send_json({"type": "cancel", "id": "none"})
        after(socket, "error")
        client.portal.call(rig.host.say, "memory", EventCommitted(rig.host.events["default/cam"][0]))
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == (None, "internal_error")
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_json()
        assert caught.value.code == 1011
    assert rig.hub.sessions.idle.is_set()
