"""Cameras as sources: a session for each connection, and what is told of each way to fail."""

import logging
import socket
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from reading import SECOND, opened, running

from evaluation.clips import moving_picture, moving_video
from evaluation.rtsp_camera import RtspCamera
from perception.decode import VideoDecoder
from perception.messages import Packet, SessionEnded, SessionStarted
from perception.sources import rtsp
from perception.sources.rtsp import RtspReader

PASSWORD = "wr0ng-s3cret"


def test_the_first_keyframe_of_a_camera_is_there_at_once(clip: Path) -> None:
    with RtspCamera(str(clip)) as camera:
        start = time.monotonic()
        with running(RtspReader(opened(), camera.url)) as inbox:
            started = inbox.take()
            first = inbox.take()
            took = time.monotonic() - start
            rest = [inbox.take(Packet) for _ in range(5)]
    assert isinstance(started, SessionStarted)
    assert (started.stream, started.session) == ("t/cam", 1)
    assert isinstance(first, Packet)
    assert (first.stream, first.session, first.codec) == ("t/cam", 1, "h264")
    assert first.keyframe
    assert first.pts_us == 0
    assert took < 2.0
    assert [packet.pts_us for packet in rest] == pytest.approx([n * SECOND // 10 for n in range(1, 6)], abs=1000)


def test_pictures_that_are_sent_in_another_order_keep_their_stamps(tmp_path: Path) -> None:
    """With B-frames the first picture is shown some frames after it is decoded: its stamp must say so."""
    path = tmp_path / "reordered.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"preset": "veryfast", "bf": "3", "b-adapt": "0"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for n in range(40):
            frame = av.VideoFrame.from_ndarray(moving_picture(320, 180, n / 10, seed=1), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with RtspCamera(str(path)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        packets = [inbox.take(Packet) for _ in range(20)]
    stamps = [-1 if packet.pts_us is None else packet.pts_us for packet in packets]
    assert min(stamps) >= 0
    assert any(one > later for one, later in pairwise(stamps)), "the camera sent no B-frames"
    decoder = VideoDecoder("h264", packets[0].extradata, 10**7)
    shown = [picture.pts_us for packet in packets for picture in decoder.decode(packet)][:10]
    first = shown[0]
    assert first is not None
    assert shown == pytest.approx([first + n * SECOND // 10 for n in range(10)], abs=1000)


def test_a_camera_gives_picture_and_sound(talkie: Path) -> None:
    with RtspCamera(str(talkie)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        packets = [inbox.take(Packet) for _ in range(20)]
    first = {packet.codec: packet for packet in reversed(packets)}
    assert set(first) == {"h264", "aac"}
    # The camera's sender reports say when each track began.
    assert all(0 <= (first[codec].pts_us or 0) < SECOND // 10 for codec in ("h264", "aac"))
    assert (first["aac"].rate, first["aac"].channels) == (48_000, 2)
    assert first["h264"].track != first["aac"].track


def test_a_camera_that_dies_and_comes_back_is_a_new_session(clip: Path) -> None:
    with RtspCamera(str(clip)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        assert inbox.take(SessionStarted).session == 1
        inbox.take(Packet)
        camera.stop()
        end = inbox.take(SessionEnded)
        camera.start()
        again = inbox.take(SessionStarted)
        first = inbox.take()
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_closed")
    assert again.session == 2
    assert isinstance(first, Packet)
    assert (first.session, first.pts_us, first.keyframe) == (2, 0, True)
    assert camera.connections == 2


def test_a_camera_that_reaches_its_end_is_connected_again(tmp_path: Path) -> None:
    short = moving_video(tmp_path / "short.mp4", 0.5, fps=10, size=(320, 180))
    with RtspCamera(str(short), loop=False) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        end = inbox.take(SessionEnded)
        again = inbox.take(SessionStarted)
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_closed")
    assert again.session == 2


@pytest.fixture
def hush(caplog: Any, capfd: Any, monkeypatch: Any) -> Any:
    """Short patience, and a look afterwards at all that was said: `hush(url, fault)`."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(rtsp, "_TIMEOUT_S", (0.5, 0.5))

    def look(url: str, fault: Any) -> None:
        written = capfd.readouterr()
        said = "\n".join([fault.message, str(fault), caplog.text, written.out, written.err])
        assert fault.code in caplog.text
        for secret in (PASSWORD, url, url.rsplit("@", maxsplit=1)[-1], "rtsp://", "/live"):
            assert secret not in said

    return look


def test_a_right_password_is_let_in(clip: Path) -> None:
    camera = RtspCamera(str(clip), user="admin", password="right")
    with camera, running(RtspReader(opened(), camera.url)) as inbox:
        assert inbox.take(Packet).keyframe


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_camera_that_is_not_there_is_told(hush: Any) -> None:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{free_port()}/live"
    with running(RtspReader(opened(), url)) as inbox:
        end = inbox.take()
    hush(url, end.fault)
    assert isinstance(end, SessionEnded)
    assert (end.session, end.final, end.fault.code) == (1, False, "camera_unreachable")


def test_a_camera_that_is_not_there_is_tried_less_and_less(monkeypatch: Any) -> None:
    monkeypatch.setattr(rtsp.random, "uniform", lambda low, high: low)
    with running(RtspReader(opened(), f"rtsp://127.0.0.1:{free_port()}/live")) as inbox:
        ends = [inbox.take(SessionEnded) for _ in range(3)]
    assert [end.session for end in ends] == [1, 2, 3]
    first, second = (ends[n + 1].arrival_us - ends[n].arrival_us for n in range(2))
    assert 0.95 * SECOND <= first < 1.8 * SECOND
    assert 1.95 * SECOND <= second < 3.5 * SECOND


def test_a_camera_without_a_picture_is_told(clip: Path, talkie: Path) -> None:
    with RtspCamera(str(talkie)) as camera:
        media, sound = camera.sdp.split("m=video")[0], camera.sdp.split("m=audio")[1]
        camera.sdp = f"{media}m=audio{sound}"
        with running(RtspReader(opened(), camera.url)) as inbox:
            end = inbox.take()
    assert isinstance(end, SessionEnded)
    assert (end.session, end.final, end.fault.code) == (1, False, "source_invalid")
