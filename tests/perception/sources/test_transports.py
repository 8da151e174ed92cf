"""Cameras by TCP and by UDP, in H.264 and H.265: the same pictures with the same stamps."""

from typing import Any

import pytest
from fakecam.films import world_film
from fakecam.programmes import jumping
from reading import SECOND, opened, running

from evaluation.rtsp_camera import RtspCamera
from perception.decode import VideoDecoder
from perception.messages import Packet, SessionEnded, SessionStarted
from perception.sources.rtsp import RtspReader


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transports", [("tcp",), ("udp",), ("tcp", "udp")], ids="-".join)
def test_a_camera_is_read_by_what_it_speaks(codec: Any, transports: Any) -> None:
    with (
        RtspCamera(world_film(codec=codec), transports=transports) as camera,
        running(RtspReader(opened(), camera.url)) as inbox,
    ):
        packets = [inbox.take(Packet) for _ in range(15)]
        assert camera.used == transports[0]
    decoder = VideoDecoder(codec, packets[0].extradata, 10**7)
    shown = [picture.pts_us for packet in packets for picture in decoder.decode(packet)]
    assert shown == pytest.approx([n * SECOND // 10 for n in range(15)], abs=1000)
    assert [packet.keyframe for packet in packets] == [n % 10 == 0 for n in range(15)]


def test_a_camera_that_speaks_neither_is_told() -> None:
    with RtspCamera(world_film(), transports=()) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        end = inbox.take(SessionEnded)
    assert end.fault.code == "camera_unreachable"


def test_a_camera_by_udp_that_goes_away_is_missed_and_comes_back(monkeypatch: Any) -> None:
    with RtspCamera(world_film(), transports=("udp",)) as camera, running(RtspReader(opened(), camera.url)) as inbox:
        inbox.take(Packet)
        camera.drop()
        assert inbox.take(SessionEnded).fault.code in ("camera_closed", "camera_timeout")
        assert inbox.take(SessionStarted).session == 2
        assert inbox.take(Packet).keyframe


def test_stamps_on_the_wire_wrap_without_a_jump() -> None:
    film = world_film()
    camera = RtspCamera(film, programme=jumping(film, [], first_ticks=2**32 - 90_000))
    with camera, running(RtspReader(opened(), camera.url)) as inbox:
        packets = [inbox.take(Packet) for _ in range(20)]
    assert [packet.pts_us for packet in packets] == pytest.approx([n * SECOND // 10 for n in range(20)], abs=1000)
