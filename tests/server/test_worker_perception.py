"""What ties sources and queues to the perception stage: inbox, overload, throttling, wiping."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from perception.messages import (
    Barrier,
    CloseStream,
    FileSource,
    Gap,
    OpenStream,
    Packet,
    Percept,
    PushSource,
    RtspSource,
    Speech,
    Unchanged,
    WipeWindow,
)
from perception.sources.inbox import SourceInbox
from perception.window import WindowFrame
from server.ipc.inlets import RingInlet, RingOutlet
from server.ipc.memory_file import create_memory_file
from server.ipc.messages import Throttle
from server.ipc.ring import RingFiles, RingReader, RingWriter, create_ring
from server.ipc.slab import SlabReader, SlabWriter
from server.stages.perception import OverloadRule, SourcedStage


class FakeStage:
    """Perception's four verbs, with room as the test says."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.full: set[str] = set()
        self.work = False

    def room(self, stream: str) -> bool:
        return stream not in self.full

    def submit(self, message: Any) -> None:
        self.taken.append(message)

    def has_work(self) -> bool:
        return self.work

    def step(self) -> list[Any]:
        return []

    def close(self) -> list[Any]:
        return []


@pytest.fixture
def window() -> Iterator[SlabWriter]:
    fd = create_memory_file("test", 0)
    yield SlabWriter(fd, 2, 2, 10_000)
    os.close(fd)


class Told(list[Throttle]):
    """What the server was told, as long as it listens."""

    listens = True

    def __call__(self, throttle: Throttle) -> bool:
        if self.listens:
            self.append(throttle)
        return self.listens


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stage(window: SlabWriter, told: Told) -> tuple[FakeStage, SourcedStage]:
    fake = FakeStage()
    return fake, SourcedStage(fake, SourceInbox(), window, told)  # type: ignore[arg-type]


def packet(stream: str, number: int = 0) -> Packet:
    return Packet(stream, 0, 0, "jpeg", b"", number, 0, 0)


def percept(stream: str, media_us: int) -> Percept:
    return Percept(stream, media_us, 0, b"", b"", cut=False, cut_us=0)


# ------------------------------------------------------------ sources


def test_what_a_thread_puts_wakes_the_loop_and_comes_in_order() -> None:
    inbox = SourceInbox()
    threads = [
        threading.Thread(target=lambda s=stream: [inbox.put(packet(s, n)) for n in range(100)]) for stream in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    got: list[Any] = []
    while len(got) < 200:
        got += inbox.drain()
    for thread in threads:
        thread.join()
    for stream in ("a", "b"):
        assert [one.pts_us for one in got if one.stream == stream] == list(range(100))
    assert list(inbox.drain()) == []


def test_a_file_waits_while_its_stream_is_full() -> None:
    inbox, stop, passed = SourceInbox(), threading.Event(), threading.Event()
    inbox.set_full({"a": True})

    def read() -> None:
        inbox.wait_for_room("a", stop)
        passed.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert not passed.wait(0.3)
    inbox.wait_for_room("b", stop)  # another stream is not held up
    inbox.set_full({"a": False})
    assert passed.wait(10)
    thread.join()


def test_a_file_does_not_run_far_ahead_of_the_loop_and_can_be_stopped() -> None:
    inbox, stop = SourceInbox(), threading.Event()
    count = 0

    def read() -> None:
        nonlocal count
        while not stop.is_set():
            inbox.wait_for_room("a", stop)
            inbox.put(packet("a"))
            count += 1

    thread = threading.Thread(target=read)
    thread.start()
    before = -1
    while before != count or count < 30:
        before = count
        time.sleep(0.05)
        assert count < 100
    assert len(list(inbox.drain())) == count
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


# ------------------------------------------------------------ overload


def overload(*live: str) -> OverloadRule:
    class Streams:
        def __init__(self) -> None:
            self.live = set(live)

    return OverloadRule(Streams())  # type: ignore[arg-type]


def test_the_oldest_percepts_of_a_live_stream_become_one_gap() -> None:
    waiting: deque[Any] = deque(percept("a", number) for number in range(6))
    rule = overload("a")
    for _ in range(3):
        rule(waiting)
    assert list(waiting) == [Gap("a", 0, 4, "overload"), percept("a", 4), percept("a", 5)]


def test_streams_that_alternate_have_a_gap_each() -> None:
    waiting: deque[Any] = deque(percept("ab"[number % 2], number) for number in range(8))
    rule = overload("a", "b")
    while len(waiting) > 4:
        rule(waiting)
    assert [one for one in waiting if isinstance(one, Gap)] == [Gap("a", 0, 5, "overload"), Gap("b", 1, 6, "overload")]
    assert [one.media_us for one in waiting if isinstance(one, Percept)] == [6, 7]


def test_nothing_is_dropped_of_streams_that_can_wait() -> None:
    waiting: deque[Any] = deque([percept("file", 1), Unchanged("file", 2, 0), Barrier("live", 3)])
    before = list(waiting)
    overload("live")(waiting)
    assert list(waiting) == before


def test_a_gap_does_not_reach_across_speech_or_a_barrier() -> None:
    speech, barrier = Speech("a", 1, 2, "hello"), Barrier("a", 9)
    waiting: deque[Any] = deque([percept("a", 0), speech, percept("a", 3), barrier, percept("a", 5), percept("a", 6)])
    rule = overload("a")
    rule(waiting)
    rule(waiting)
    assert list(waiting) == [
        Gap("a", 0, 1, "overload"), speech, Gap("a", 3, 4, "overload"), barrier, Gap("a", 5, 7, "overload"),
    ]  # fmt: skip


def test_an_unchanged_scene_is_dropped_without_a_gap() -> None:
    waiting: deque[Any] = deque([Unchanged("a", 1, 0), percept("a", 2)])
    overload("a")(waiting)
    assert list(waiting) == [percept("a", 2)]


# ------------------------------------------------------------ the percept ring


@pytest.fixture
def ring() -> Iterator[RingFiles]:
    files = create_ring("test", 8, 1024, 1)
    yield files
    for fd in files.fds:
        os.close(fd)


def test_a_full_ring_holds_records_back_until_there_is_room(ring: RingFiles) -> None:
    full: list[int] = []
    outlet = RingOutlet(RingWriter(ring), (Unchanged,), 4, lambda waiting: full.append(len(waiting)))
    sent = [Unchanged("a", number, 0) for number in range(13)]
    for one in sent:
        assert outlet.offer(one)
    assert not outlet.offer(percept("a", 1))
    assert outlet.waiting
    assert outlet.blocked
    assert full == [5]
    inlet = RingInlet(RingReader(ring, 0), Unchanged, lambda missed: None)
    got = list(inlet.drain())
    outlet.flush()
    assert not outlet.waiting
    assert got + list(inlet.drain()) == sent


# ------------------------------------------------------------ long steps


class Slow(FakeStage):
    """A stage that says how long it takes."""

    def next_step_s(self) -> float:
        return 12.5


@pytest.mark.parametrize(("inner", "announced"), [(Slow(), 12.5), (FakeStage(), 0.0)])
def test_a_long_step_of_the_stage_is_announced(window: SlabWriter, told: Told, inner: Any, announced: float) -> None:
    assert SourcedStage(inner, SourceInbox(), window, told).next_step_s() == announced


# ------------------------------------------------------------ throttling, wiping


def test_a_fast_sender_is_throttled_and_let_go(stage: tuple[FakeStage, SourcedStage], told: Told) -> None:
    fake, sourced = stage
    sourced.submit(OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0))
    sourced.submit(OpenStream("real", PushSource("real"), 1, 0, 0, 2.0))
    sourced.step()
    assert told == []
    fake.full = {"fast", "real"}
    sourced.step()
    sourced.step()
    assert told == [Throttle("fast", full=True)]
    fake.full = set()
    sourced.step()
    assert told[1:] == [Throttle("fast", full=False)]


def test_a_fast_sender_is_throttled_while_the_stage_may_not_step(
    stage: tuple[FakeStage, SourcedStage], told: Told
) -> None:
    fake, sourced = stage
    sourced.submit(OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0))
    sourced.submit(packet("fast"))
    fake.full = {"fast"}
    for number in range(3):
        sourced.submit(packet("fast", number))
    assert told == [Throttle("fast", full=True)]


def test_a_throttle_that_could_not_be_told_is_told_later(stage: tuple[FakeStage, SourcedStage], told: Told) -> None:
    fake, sourced = stage
    sourced.submit(OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0))
    fake.full, told.listens = {"fast"}, False
    sourced.submit(packet("fast"))
    told.listens = True
    sourced.submit(packet("fast"))
    assert told == [Throttle("fast", full=True)]


def test_a_file_is_held_while_the_stage_may_not_step(
    stage: tuple[FakeStage, SourcedStage], make_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, sourced = stage
    held: list[dict[str, bool]] = []
    monkeypatch.setattr(sourced._inbox, "set_full", held.append)
    sourced.submit(OpenStream("file", FileSource(str(make_clip()), "fast"), 0, 0, 0, 2.0))
    fake.full = {"file"}
    sourced.submit(packet("file"))
    sourced.submit(packet("file"))
    assert held == [{"file": True}]
    fake.full = set()
    sourced.step()
    assert held == [{"file": True}, {"file": False}]
    sourced.stop_sources()


@pytest.mark.parametrize("again", [CloseStream("fast"), OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0)])
def test_a_stream_that_is_opened_anew_is_not_throttled_any_more(
    stage: tuple[FakeStage, SourcedStage], told: Told, again: Any
) -> None:
    fake, sourced = stage
    sourced.submit(OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0))
    fake.full = {"fast"}
    sourced.step()
    fake.full = set()
    sourced.submit(again)
    assert told == [Throttle("fast", full=True), Throttle("fast", full=False)]
    sourced.step()
    assert len(told) == 2


def test_a_camera_and_a_sender_in_real_time_are_live(stage: tuple[FakeStage, SourcedStage]) -> None:
    _, sourced = stage
    sourced.submit(OpenStream("real", PushSource("real"), 0, 0, 0, 2.0))
    sourced.submit(OpenStream("fast", PushSource("fast"), 0, 0, 0, 2.0))
    sourced.submit(OpenStream("cam", RtspSource("rtsp://127.0.0.1:1/x"), 1, 0, 0, 2.0))
    assert sourced.live == {"real", "cam"}
    sourced.submit(CloseStream("cam"))
    assert sourced.live == {"real"}
    sourced.stop_sources()


def test_wiping_reaches_entries_of_a_stream_that_is_not_open(
    stage: tuple[FakeStage, SourcedStage], window: SlabWriter
) -> None:
    fake, sourced = stage
    for media_us in (10, 20):
        window.push(1, WindowFrame("t/a", media_us, 0, b"jpeg", None))
    sourced.submit(WipeWindow("t/a", 1, 0, 15))
    assert [one.media_us for one in SlabReader(window._memory).snapshot(1, "t/a")] == [20]
    assert fake.taken == [WipeWindow("t/a", 1, 0, 15)]
