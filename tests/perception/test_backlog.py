"""Media that waits: bounded in number, and of a live stream in age."""

import pytest

from perception.backlog import LATE_US, QUEUE_PACKETS, Backlog, Input
from perception.keyframes import CLOSE_US, KeyframeMeter
from perception.messages import Barrier, Packet, SessionEnded, SessionStarted

SECOND = 1_000_000


def packet(at_us: int, *, keyframe: bool = False, codec: str = "h264") -> Packet:
    return Packet("t/cam", 1, 0, codec, b"x", at_us, at_us, at_us, keyframe=keyframe)


def backlog(*messages: Input, live: bool = True) -> Backlog:
    made = Backlog(live, lambda one: one.keyframe)
    for message in messages:
        made.put(message)
    return made


def rest(of: Backlog) -> list[Input]:
    return [of.get() for _ in range(len(of))]


def seconds_of_video(count: int) -> list[Packet]:
    """Ten pictures a second, the first of each a keyframe."""
    return [packet(n * SECOND // 10, keyframe=n % 10 == 0) for n in range(10 * count)]


def test_a_live_stream_that_is_late_goes_on_with_the_first_keyframe_of_late() -> None:
    late = backlog(*seconds_of_video(6))
    now_us = 5_900_000
    assert late.waited_us(now_us) == now_us
    assert late.catch_up(now_us) == 50
    assert rest(late)[0] == packet(5 * SECOND, keyframe=True)


def test_where_no_keyframe_came_of_late_it_goes_on_with_the_newest() -> None:
    late = backlog(*seconds_of_video(3), *(packet(n * SECOND) for n in range(3, 9)))
    assert late.catch_up(9 * SECOND) == 20
    assert rest(late)[0] == packet(2 * SECOND, keyframe=True)


def test_where_there_is_no_keyframe_it_stays_late_until_one_comes() -> None:
    late = backlog(packet(0, keyframe=True), *(packet(n) for n in range(1, 9)))
    assert late.catch_up(LATE_US + 1) == 0
    late.put(packet(LATE_US + 2, keyframe=True))
    assert late.catch_up(LATE_US + 3) == 0, "it does not search all the time"
    assert late.catch_up(LATE_US + SECOND) == 9
    assert len(late) == 1


def test_sound_and_what_is_no_media_is_kept_in_order() -> None:
    start, end, barrier = (
        SessionStarted("t/cam", 1, 0, 0),
        SessionEnded("t/cam", 0, False, None, 0),
        Barrier("t/cam", 1),
    )
    sound = packet(1, codec="aac")
    late = backlog(end, start, packet(0, keyframe=True), sound, barrier, packet(2), packet(9 * SECOND, keyframe=True))
    assert late.catch_up(9 * SECOND) == 2
    assert rest(late) == [end, start, sound, barrier, packet(9 * SECOND, keyframe=True)]


@pytest.mark.parametrize(("live", "now_us"), [(True, LATE_US - 1), (False, 60 * SECOND)])
def test_what_is_in_time_or_can_wait_loses_nothing(live: bool, now_us: int) -> None:
    video = seconds_of_video(3)
    calm = backlog(*video, live=live)
    assert calm.catch_up(now_us) == 0
    assert rest(calm) == video


def test_too_many_are_all_dropped() -> None:
    full = backlog(Barrier("t/cam", 1), *(packet(0) for _ in range(QUEUE_PACKETS - 1)))
    assert full.put(packet(1)) == QUEUE_PACKETS
    assert full.barriers() == rest(full) == [Barrier("t/cam", 1)]


def test_nothing_has_waited_where_nothing_waits() -> None:
    assert backlog().waited_us(5) == 0
    assert backlog(Barrier("t/cam", 1)).waited_us(5) == 0


def test_keyframes_are_close_once_two_came_soon_after_one_another() -> None:
    meter = KeyframeMeter()
    assert not meter.close(0)
    meter.saw(0)
    assert not meter.close(1)
    meter.saw(SECOND)
    assert meter.close(SECOND)
    assert meter.close(SECOND + CLOSE_US)
    assert not meter.close(SECOND + CLOSE_US + 1), "the next one is overdue"
    meter.saw(SECOND + CLOSE_US + 2)
    assert not meter.close(SECOND + CLOSE_US + 2)
