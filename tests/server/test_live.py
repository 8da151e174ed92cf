"""The live websocket: media in, questions, what is told, how it ends."""

import struct
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from memory.messages import BarrierReached, EventCommitted
from perception.messages import Barrier, Packet, Percept, SessionEnded, SessionStarted, StreamStatus
from reasoning.messages import AnswerDelta, Ask, Cancel
from server.times import wall_text
from server.watchers import MAX_EVENTS, Watcher

PUSH = {"push": True, "pace": "real"}


def add(client: Any, rig: Any, id: str = "cam", frames: bool = True, **source: Any) -> None:
    response = client.post("/v1/streams", json={"id": id, "source": source or PUSH})
    assert response.status_code == 201, response.text
    if frames:
        client.portal.call(rig.fill, id)


def after(socket: Any, kind: str) -> Any:
    """The next message of a kind; those of others are passed over."""
    while True:
        message = socket.receive_json()
        if message["type"] == kind:
            return message


def lead(track: int, time: int, data: bytes) -> bytes:
    return struct.pack(">Bq", track, time) + data


def test_the_first_message_is_the_state(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        first = socket.receive_json()
        assert (first["type"], first["stream"]["id"]) == ("state", "cam")


def test_the_protocol_is_selected(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    protocols = ["omnilive.v1", "omnilive.key.x"]
    with client.websocket_connect("/v1/streams/cam/live", subprotocols=protocols) as socket:
        assert socket.accepted_subprotocol == "omnilive.v1"


def test_an_unknown_stream_is_refused_before_the_upgrade(live_rig: Any) -> None:
    _, client = live_rig
    with pytest.raises(WebSocketDenialResponse) as caught:
        client.websocket_connect("/v1/streams/none/live").__enter__()
    assert (caught.value.status_code, caught.value.json()["error"]["code"]) == (404, "stream_not_found")


def test_ask(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        text = ""
        while (message := socket.receive_json())["type"] != "done":
            text += message["text"] if message["type"] == "delta" else ""
        assert message["id"] == "a1"
        assert message["result"]["answer"] == text == "A red door."
    assert rig.host.wait_for(Ask)[0].question == "What?"


def test_cancel(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.hold_answers = True
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        asked = rig.host.wait_for(Ask)[0]
        client.portal.call(rig.host.say, "reasoning", AnswerDelta(asked.question_id, "A"))
        assert after(socket, "delta")["text"] == "A"
        socket.send_json({"type": "cancel", "id": "a1"})
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a1", "cancelled")
        assert rig.host.wait_for(Cancel)[0].question_id == asked.question_id
        socket.send_json({"type": "cancel", "id": "a1"})
        assert after(socket, "error")["error"]["code"] == "question_not_found"


def test_an_id_is_open_once(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.hold_answers = True
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        for _ in range(2):
            socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"], end["error"]["param"]) == ("a1", "invalid_field", "id")
        client.portal.call(rig.host.give_answer, rig.host.wait_for(Ask)[0])
        assert after(socket, "done")["id"] == "a1"


def test_a_client_that_goes_away_cancels_its_questions(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.hold_answers = True
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        rig.host.wait_for(Ask)
    rig.host.wait_for(Cancel)
    assert client.portal.call(lambda: len(rig.hub.questions)) == 0


def test_questions_end_when_reasoning_dies(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.hold_answers = True
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        for name in ("a1", "a2"):
            socket.send_json({"type": "ask", "id": name, "question": "What?"})
        rig.host.wait_for(Ask, 2)
        client.portal.call(rig.host.lose, "reasoning")
        ends = {after(socket, "error")["id"] for _ in range(2)}
        assert ends == {"a1", "a2"}
        socket.send_json({"type": "ask", "id": "a3", "question": "What?"})
        assert after(socket, "error")["error"]["code"] == "not_ready"


# ---------------------------------------------------------------- media


@pytest.mark.parametrize(("kind", "codec"), [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp")])
def test_bare_images_are_known_by_their_bytes(live_rig: Any, picture: Any, kind: str, codec: str) -> None:
    rig, client = live_rig
    add(client, rig, frames=False)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture(kind))
        packet = rig.host.wait_pushed(Packet)[0]
        assert (packet.codec, packet.pts_us, packet.data) == (codec, None, picture(kind))
        assert rig.host.wait_pushed(SessionStarted)[0].session == packet.session
    ended = rig.host.wait_pushed(SessionEnded)[0]
    assert (ended.session, ended.final, ended.fault) == (packet.session, False, None)


def test_tracks_are_led_by_nine_bytes(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, frames=False)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "media", "track": 0, "codec": "h264"})
        socket.send_json({"type": "media", "track": 1, "codec": "pcm_s16le", "rate": 16000, "channels": 1})
        socket.send_json({"type": "media", "track": 2, "codec": "jpeg"})
        socket.send_bytes(lead(0, 0, b"\0\0\0\1g"))
        socket.send_bytes(lead(1, 5_000, b"\1\0" * 10))
        socket.send_bytes(lead(2, -1, picture()))
        packets = rig.host.wait_pushed(Packet, 3)
    assert [(one.track, one.codec, one.pts_us) for one in packets] == [
        (0, "h264", 0), (1, "pcm_s16le", 5_000), (2, "jpeg", None)
    ]  # fmt: skip
    assert (packets[1].rate, packets[1].channels) == (16000, 1)
    assert len({one.session for one in packets}) == 1


def test_an_ask_waits_for_the_media_before_it(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, frames=False)
    rig.host.silent.add(Barrier)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        barrier = rig.host.wait_pushed(Barrier)[0]
        assert [type(one) for one in rig.host.pushed] == [SessionStarted, Packet, Barrier]
        assert rig.host.of(Ask) == []
        client.portal.call(rig.host.see_frame, "default/cam")
        client.portal.call(rig.host.say, "memory", BarrierReached("default/cam", barrier.barrier))
        assert after(socket, "done")["id"] == "a1"
        # Nothing was sent since: the next one needs no barrier.
        socket.send_json({"type": "ask", "id": "a2", "question": "What?"})
        assert after(socket, "done")["id"] == "a2"
        assert len(rig.host.wait_pushed(Barrier)) == 1


@pytest.mark.parametrize("stage", ["perception", "memory"])
def test_a_barrier_that_dies_ends_the_question(live_rig: Any, picture: Any, stage: str) -> None:
    rig, client = live_rig
    add(client, rig)
    rig.host.silent.add(Barrier)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        rig.host.wait_pushed(Barrier)
        client.portal.call(rig.host.lose, stage)
        end = after(socket, "error")
        assert (end["id"], end["error"]["code"]) == ("a1", "process_lost")


def test_a_new_perception_gets_a_new_session(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, frames=False)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        rig.host.wait_pushed(Packet)
        client.portal.call(rig.host.lose, "perception")
        client.portal.call(rig.host.come_back, "perception")
        socket.send_bytes(picture())
        packets = rig.host.wait_pushed(Packet, 2)
        sessions = [one.session for one in rig.host.wait_pushed(SessionStarted, 2)]
    assert [one.session for one in packets] == sessions
    assert sessions[0] != sessions[1]


def test_fast_waits_for_room(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, frames=False, push=True, pace="fast")
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        rig.host.wait_pushed(Packet)
        rig.host.room = False
        for _ in range(3):
            socket.send_bytes(picture())
        socket.send_json({"type": "ask", "id": "a1", "question": "What?"})
        rig.host.room = True
        assert after(socket, "error")["error"]["code"] == "no_frames_yet"
        assert len(rig.host.wait_pushed(Packet, 4)) == 4


def test_a_live_sender_is_not_held_back_for_long(live_rig: Any, picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.pushing.REAL_PATIENCE_S", 0.02)
    rig, client = live_rig
    add(client, rig, frames=False)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "media", "track": 0, "codec": "h264"})
        socket.send_bytes(lead(0, 0, b"key"))
        rig.host.wait_pushed(Packet)
        rig.host.room = False
        socket.send_bytes(lead(0, 1, b"lost"))
        socket.send_json({"type": "cancel", "id": "none"})
        assert after(socket, "error")["error"]["code"] == "question_not_found"
        rig.host.room = True
        socket.send_bytes(lead(0, 2, b"next"))
        packets = rig.host.wait_pushed(Packet, 2)
    assert [one.data for one in packets] == [b"key", b"next"]
    # The lost unit breaks what follows: the decoder has to begin anew.
    assert packets[0].session != packets[1].session


def test_the_newest_sender_takes_over(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, frames=False)
    with client.websocket_connect("/v1/streams/cam/live") as old:
        old.send_bytes(picture())
        rig.host.wait_pushed(Packet)
        with client.websocket_connect("/v1/streams/cam/live") as new:
            new.send_bytes(picture())
            rig.host.wait_pushed(Packet, 2)
            old.send_bytes(picture())
            assert after(old, "error")["error"]["code"] == "sender_replaced"
            assert len(rig.host.wait_pushed(Packet, 2)) == 2


def test_media_into_a_stream_with_its_own_source(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig, url="rtsp://camera/1")
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_bytes(picture())
        assert after(socket, "error")["error"]["code"] == "not_a_push_stream"
        socket.send_json({"type": "media", "track": 0, "codec": "h264"})
        assert after(socket, "error")["error"]["code"] == "not_a_push_stream"


@pytest.mark.parametrize(
    ("message", "code", "param", "name"),
    [
        ("", "invalid_json", None, None),
        ("{", "invalid_json", None, None),
        ("[" * 5000, "invalid_json", None, None),
        ("[]", "invalid_field", None, None),
        ("{}", "invalid_field", "type", None),
        ('{"type": "fly", "id": "x"}', "invalid_field", "type", "x"),
        ('{"type": 5}', "invalid_field", "type", None),
        ('{"type": "ask", "id": "a1"}', "invalid_field", "question", "a1"),
        ('{"type": "ask", "question": "?"}', "invalid_field", "id", None),
        ('{"type": "ask", "id": "a1", "question": ""}', "invalid_field", "question", "a1"),
        ('{"type": "ask", "id": "a1", "question": "?", "since": "soon"}', "invalid_time", "since", "a1"),
        ('{"type": "ask", "id": "a1", "question": "?", "n": 1}', "invalid_field", "n", "a1"),
        ('{"type": "ask", "id": "a1", "question": "' + "x" * 20_000 + '"}', "too_large", "question", "a1"),
        ('{"type": "subscribe", "topics": ["everything"]}', "invalid_field", None, None),
        ('{"type": "subscribe"}', "invalid_field", "topics", None),
        ('{"type": "media", "track": 256, "codec": "h264"}', "invalid_field", "track", None),
        ('{"type": "media", "track": 0, "codec": "divx"}', "codec_not_supported", "codec", None),
        ('{"type": "media", "track": 0, "codec": "pcm_s16le"}', "invalid_field", "rate", None),
        ('{"type": "media", "track": 0, "codec": "pcm_s16le", "rate": 1}', "invalid_field", "rate", None),
    ],
)  # fmt: skip
def test_a_bad_message_leaves_the_connection_open(
    live_rig: Any, message: str, code: str, param: str | None, name: str | None
) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_text(message)
        end = after(socket, "error")
        assert (end["error"]["code"], end["id"]) == (code, name), end
        if param is not None:
            assert end["error"]["param"] == param
        socket.send_json({"type": "ask", "id": "ok", "question": "Still there?"})
        assert after(socket, "done")["id"] == "ok"


def test_bad_media_leaves_the_connection_open(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        for data, code in [(b"", "invalid_image"), (b"<html>", "invalid_image"), (b"\xff\xd8\xff", "invalid_image")]:
            socket.send_bytes(data)
            assert after(socket, "error")["error"]["code"] == code
        socket.send_json({"type": "media", "track": 1, "codec": "png"})
        for data, code in [
            (picture(), "invalid_field"),
            (b"\1", "invalid_field"),
            (lead(2, 0, b"x"), "invalid_field"),
            (lead(1, -2, picture("PNG")), "invalid_field"),
            (lead(1, 0, picture("JPEG")), "invalid_image"),
        ]:
            socket.send_bytes(data)
            assert after(socket, "error")["error"]["code"] == code
    assert [one for one in rig.host.pushed if isinstance(one, Packet)] == []


def test_too_many_bad_messages_end_it(make_rig: Any) -> None:
    rig = make_rig(start=False, limits={"bad_messages": 3})
    with TestClient(rig.app, base_url="http://127.0.0.1:8000") as client:
        client.portal.call(rig.host.start)
        add(client, rig)
        with client.websocket_connect("/v1/streams/cam/live") as socket:
            for _ in range(2):
                socket.send_text("{")
                after(socket, "error")
            socket.send_json({"type": "subscribe", "topics": ["state"]})
            for _ in range(3):
                socket.send_text("{")
                after(socket, "error")
            with pytest.raises(WebSocketDisconnect) as caught:
                after(socket, "never")
            assert caught.value.code == 1008


# ---------------------------------------------------------------- told


def test_events_after_commit(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "subscribe", "topics": ["events"]})
        socket.send_json({"type": "cancel", "id": "none"})
        after(socket, "error")
        committed = rig.host.events["default/cam"][0]
        client.portal.call(rig.host.say, "memory", EventCommitted(committed))
        told = after(socket, "event")["event"]
        assert (told["id"], told["stream"]) == ("e_1", "cam")


def test_frames_newest_wins(live_rig: Any, picture: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "subscribe", "topics": ["frames"]})
        after(socket, "frame")
        socket.receive_bytes()
        client.portal.call(rig.host.see_frame, "default/cam", 40_000_000)
        assert after(socket, "frame")["time"].endswith("Z")
        assert socket.receive_bytes() == picture()


def test_who_begins_to_watch_is_shown_the_newest_frame(live_rig: Any, picture: Any) -> None:
    """Before a still scene the next one may be half a minute away."""
    rig, client = live_rig
    add(client, rig)
    client.portal.call(rig.host.see_frame, "default/cam", 40_000_000)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "subscribe", "topics": ["frames"]})
        told = after(socket, "frame")
        assert socket.receive_bytes() == picture()
        # What is watched already is not shown again.
        socket.send_json({"type": "subscribe", "topics": ["frames", "state"]})
        client.portal.call(rig.host.see_frame, "default/cam", 41_000_000)
        assert after(socket, "frame")["time"] > told["time"]


def test_who_begins_to_watch_is_shown_nothing_that_was_forgotten(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    client.portal.call(rig.host.see_frame, "default/cam", 40_000_000)
    entry = rig.hub.registry.by_key("default/cam")
    entry.forgot_shown(41_000_000, 50_000_000)
    assert entry.shown is not None
    entry.forgot_shown(0, 40_000_001)
    assert entry.shown is None
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        socket.send_json({"type": "subscribe", "topics": ["frames"]})
        client.portal.call(rig.host.see_frame, "default/cam", 60_000_000)
        assert after(socket, "frame")["time"] == wall_text(entry.declaration.start_wall_us + 60_000_000)


def test_state_at_most_once_a_second(live_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.doors.live.STATE_EVERY_S", 0.2)
    rig, client = live_rig
    add(client, rig)

    def change(received: int) -> None:
        status = StreamStatus(
            "default/cam", "live", None, "vp8", 8, 8, received, 0, 0, 0, 0.0, 0.0, 1, rig.hub.core.clocks.monotonic_us()
        )
        rig.host.say("perception", status)

    with client.websocket_connect("/v1/streams/cam/live") as socket:
        after(socket, "state")
        for received in range(1, 50):
            client.portal.call(change, received)
        told = [after(socket, "state")["stream"]["frames"]["received"]]
        while told[-1] != 49:
            told.append(after(socket, "state")["stream"]["frames"]["received"])
    assert len(told) < 20


def test_a_stream_that_is_deleted_says_goodbye(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        after(socket, "state")
        assert client.delete("/v1/streams/cam").status_code == 204
        assert after(socket, "error")["error"]["code"] == "stream_not_found"
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_json()
        assert caught.value.code == 1001


def test_a_server_that_stops_says_goodbye(live_rig: Any) -> None:
    rig, client = live_rig
    add(client, rig)
    with client.websocket_connect("/v1/streams/cam/live") as socket:
        after(socket, "state")
        client.portal.call(rig.hub.sessions.close_all, 1001)
        with pytest.raises(WebSocketDisconnect) as caught:
            after(socket, "never")
        assert caught.value.code == 1001


async def test_what_waits_for_a_slow_client_is_bounded(rig: Any) -> None:
    await rig.add()
    watcher = Watcher(rig.hub.core.metrics, topics=frozenset({"events", "frames"}))
    first = rig.host.events["default/cam"][0]
    for _ in range(MAX_EVENTS + 10):
        watcher.tell_event(first)
    assert len(watcher.events) == MAX_EVENTS
    for time in (1, 2):
        watcher.tell_frame(Percept("default/cam", time, 0, b"", b"", False, 0))
    assert watcher.frame is not None
    assert watcher.frame.media_us == 2
    value = rig.hub.core.metrics.registry.get_sample_value
    assert value("omnilive_client_messages_dropped_total", {"topic": "events"}) == 10
    watcher.forget(0, 10**9)
    assert (len(watcher.events), watcher.frame) == (0, None)
