"""A camera that sends its viewers elsewhere is refused before anybody follows, with the password or without."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from fakecam.scripted import describing, refusing, scripted
from reading import opened, running

from evaluation.rtsp_camera import RtspCamera
from perception.messages import Fault, Packet, SessionEnded
from perception.sources.rtsp import RtspReader
from server.stages import describe
from server.stages.describe import vetted


def refusal(url: str) -> Fault | None:
    with vetted(url) as found:
        return found


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "305 Use Proxy", "307 Temporary"])
def test_a_redirect_is_refused_and_nobody_goes_there(status: str) -> None:
    with scripted(describing(b"")) as trap:
        with scripted(refusing(status, f"Location: rtsp://127.0.0.1:{trap.port}/")) as camera:
            url = f"rtsp://admin:s3cret@127.0.0.1:{camera.port}/live?channel=1"
            with running(RtspReader(opened(), url, vetted)) as inbox:
                end = inbox.take(SessionEnded)
        assert trap.asked == []
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_refused")
    assert camera.asked == ["DESCRIBE"]
    assert not any("s3cret" in line or "authorization" in line.lower() for line in camera.heard)
    assert "127.0.0.1" not in end.fault.message


def test_a_camera_that_asks_for_a_password_is_opened(clip: Path) -> None:
    camera = RtspCamera(str(clip), user="admin", password="right")
    with camera, running(RtspReader(opened(), camera.url, vetted)) as inbox:
        assert inbox.take(Packet).keyframe


@pytest.mark.parametrize(
    "url",
    [
        "rtsps://127.0.0.1:{}/live",
        "rtsp://127.0.0.1:{}/live",
        "rtsp://127.0.0.1:99999/live",
        "rtsp:///live",
        "rtsp://" + "x" * 70 + ".example/",
    ],
)
def test_what_cannot_be_asked_is_left_to_ffmpeg(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert refusal(url.format(port)) is None


def test_a_camera_that_answers_no_question_is_a_timeout(monkeypatch: Any, clip: Path) -> None:
    monkeypatch.setattr(describe, "_TIMEOUT_S", 0.05)
    with RtspCamera(str(clip), behaviour="mute") as camera:
        found = refusal(camera.url)
    assert found is not None
    assert found.code == "camera_timeout"


def test_a_camera_that_answers_byte_by_byte_is_given_no_longer(monkeypatch: Any) -> None:
    monkeypatch.setattr(describe, "_TIMEOUT_S", 0.05)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            client, _ = listener.accept()
            with client:
                while not over.wait(0.02):
                    client.send(b"R")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        found = refusal(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/")
        over.set()
        thread.join()
    assert found is not None
    assert found.code == "camera_timeout"


def test_the_connection_is_held_until_the_camera_was_opened() -> None:
    """Some servers take their media down with the last who asked for it, and refuse who comes at that moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answered: list[socket.socket] = []

        def answer() -> None:
            client, _ = listener.accept()
            client.recv(4096)
            client.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
            answered.append(client)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with vetted(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/") as found:
            thread.join(5)
            assert found is None
            [client] = answered
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
        client.settimeout(5)
        assert client.recv(1) == b""
        client.close()
