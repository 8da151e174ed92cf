"""Cameras that fail: each way ends the session with its own fault, none ends the reader, and no secret is told."""

import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakecam.scripted import describing, refusing, scripted
from reading import Inbox, opened, running
from writing import add_sound, write_video

from evaluation.rtsp_camera import RtspCamera
from perception.messages import Packet, SessionEnded, SessionStarted
from perception.sources import rtsp
from perception.sources.rtsp import RtspReader

PASSWORD = "wr0ng-s3cret"


@pytest.fixture(autouse=True)
def quick(caplog: Any, monkeypatch: Any) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(rtsp, "_TIMEOUT_S", (1.0, 0.3))
    monkeypatch.setattr(rtsp.random, "uniform", lambda low, high: 0.1)


def ends(url: str, count: int = 2) -> list[SessionEnded]:
    """How the first sessions end: the reader lives on after each."""
    with running(RtspReader(opened(), url)) as inbox:
        return [inbox.take(SessionEnded) for _ in range(count)]


@pytest.mark.parametrize(
    "status",
    ["401 Unauthorized", "403 Forbidden", "404 Not Found", "454 Session Not Found", "500 Error", "503 Unavailable"],
)
def test_a_camera_that_refuses_is_told_and_tried_again(status: str, caplog: Any, capfd: Any) -> None:
    with scripted(refusing(status, 'WWW-Authenticate: Basic realm="camera"')) as camera:
        found = ends(f"rtsp://admin:{PASSWORD}@127.0.0.1:{camera.port}/live")
    assert [(end.session, end.final, end.fault and end.fault.code) for end in found] == [
        (1, False, "camera_refused"),
        (2, False, "camera_refused"),
    ]
    written = capfd.readouterr()
    said = "\n".join([str(found), caplog.text, written.out, written.err])
    for secret in (PASSWORD, "rtsp://", "127.0.0.1", "/live"):
        assert secret not in said


def test_a_wrong_password_is_refused(clip: Path) -> None:
    with RtspCamera(str(clip), user="admin", password="right") as camera:
        (end,) = ends(camera.url.replace("right", PASSWORD), 1)
    assert end.fault is not None
    assert end.fault.code == "camera_refused"
    assert "password" in end.fault.message


def test_a_camera_that_stays_mute_is_a_timeout(clip: Path) -> None:
    with RtspCamera(str(clip), behaviour="mute") as camera:
        found = ends(camera.url)
    assert [end.fault and end.fault.code for end in found] == ["camera_timeout"] * 2


def test_a_camera_that_falls_silent_is_a_timeout(clip: Path) -> None:
    with RtspCamera(str(clip), behaviour="silent") as camera, running(RtspReader(opened(), camera.url)) as inbox:
        assert isinstance(inbox.take(), SessionStarted)
        assert inbox.take().fault.code == "camera_timeout"
        assert inbox.take().session == 2


def test_sound_of_an_unknown_codec_is_left_out(talkie: Path) -> None:
    with RtspCamera(str(talkie)) as camera:
        video, sound = camera.sdp.split("m=audio")
        camera.sdp = f"{video}m=audio{sound.replace('MPEG4-GENERIC', 'X-SECRET-VOICE')}"
        with running(RtspReader(opened(), camera.url)) as inbox:
            packets = [inbox.take(Packet) for _ in range(5)]
    assert {packet.codec for packet in packets} == {"h264"}


def test_a_picture_of_an_unknown_codec_is_told(clip: Path) -> None:
    with RtspCamera(str(clip)) as camera:
        camera.sdp = camera.sdp.replace("H264/90000", "X-SECRET-PICTURE/90000")
        (end,) = ends(camera.url, 1)
    assert end.fault is not None
    assert end.fault.code == "codec_not_supported"


@pytest.mark.parametrize("name", ["Caméra".encode("latin-1"), "摄像头".encode("gbk")])
def test_a_name_in_another_encoding_is_no_hindrance(clip: Path, name: bytes) -> None:
    sdp = RtspCamera(str(clip)).sdp.encode().replace(b"s=camera", b"s=" + name)
    with (
        scripted(describing(sdp)) as camera,
        running(RtspReader(opened(), f"rtsp://127.0.0.1:{camera.port}/")) as inbox,
    ):
        assert isinstance(inbox.take(), SessionStarted)
    assert "PLAY" in camera.asked


# ---------------------------------------------------------------- sound without a picture


def test_sound_without_a_picture_is_a_timeout(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(rtsp, "_PICTURE_S", 0.3)
    path = add_sound(write_video(tmp_path / "short.mp4", 2, bf="0"), tmp_path / "radio.mp4", 4.0)
    with RtspCamera(str(path), loop=False) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        end = inbox.take(SessionEnded)
    assert end.fault.code == "camera_timeout"


def test_sound_alone_does_not_count_as_what_a_camera_gave(monkeypatch: Any) -> None:
    """It gives no picture: the next attempts come less and less often."""
    given = [(None, Packet("t/cam", 1, track, "x", b"", 0, 0, 0)) for track in (1, 1, 0)]
    reader, container = RtspReader(opened(), ""), SimpleNamespace(demux=lambda chosen: None)
    for count, pictures in ((2, 0), (3, 1)):
        monkeypatch.setattr(rtsp, "packets", lambda *args, upto=count, **more: iter(given[:upto]))
        found = reader._read(
            container,
            [SimpleNamespace(index=0, codec_context=SimpleNamespace(name="mjpeg"))],
            Inbox(),
            threading.Event(),
        )  # type: ignore[arg-type]
        assert found[1] == pictures
