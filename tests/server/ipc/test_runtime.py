"""A child's loop by itself: the order of what comes in, long steps that are announced, how it ends."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from perception.messages import Barrier, CloseStream, OpenStream, PushSource, SessionStarted, StreamClosed
from server.ipc import runtime
from server.ipc.channel import Channel, socket_pair
from server.ipc.messages import Drain, FromPerception, Heartbeat, LongStep, Ready, ToPerception
from server.ipc.ring import RingReader, RingWriter, create_ring
from server.ipc.runtime import StageLoop

pytestmark = pytest.mark.alone

OPEN = OpenStream("t/a", PushSource("real"), 0, 0, 0, 2.0)
STARTED = SessionStarted("t/a", 1, 0, 0)


@dataclass
class Stage:
    """Does one message a step."""

    taken: list[Any] = field(default_factory=list)
    waiting: int = 0
    long_s: float = 0.0

    def submit(self, message: Any) -> None:
        self.taken.append(message)
        self.waiting += 1

    def has_work(self) -> bool:
        return self.waiting > 0

    def step(self) -> list[Any]:
        self.waiting -= 1
        return []

    def next_step_s(self) -> float:
        return self.long_s

    def close(self) -> list[Any]:
        return [StreamClosed("t/a")]


@dataclass
class Inlet:
    """A ring whose writer sends the stream's opening before the media, both after the loop has looked."""

    before: Callable[[], object]
    event: int = field(default_factory=lambda: os.eventfd(1, os.EFD_NONBLOCK))

    def fileno(self) -> int:
        return self.event

    def drain(self) -> Iterator[Any]:
        os.eventfd_read(self.event)
        self.before()
        yield STARTED


@dataclass
class Outlet:
    """Has no room for what it took until it was asked so many times."""

    left: int = 3

    def offer(self, message: Any) -> bool:
        return isinstance(message, Barrier)

    def flush(self) -> None:
        self.left -= 1

    waiting = property(lambda self: self.left > 0)
    blocked = False


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """The child's end of a control channel and its parent's."""
    rings, sockets = [create_ring("spill", 8, 65_536, 1) for _ in range(2)], socket_pair()
    here = Channel(sockets[0], ToPerception, RingWriter(rings[0]), RingReader(rings[1], 0))
    there = Channel(sockets[1], FromPerception, RingWriter(rings[1]), RingReader(rings[0], 0))
    before = signal.getsignal(signal.SIGTERM)
    yield here, there
    signal.signal(signal.SIGTERM, before)
    for fd in (fd for ring in rings for fd in ring.fds):
        os.close(fd)
    for end in sockets:
        end.close()


def test_media_never_overtakes_what_opens_its_stream(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    stage, inlet = Stage(), Inlet(lambda: there.send(OPEN))
    loop = StageLoop(stage, here, inlets=[inlet])
    assert loop.turn(0.0)
    assert stage.taken == [OPEN, STARTED]
    os.close(inlet.event)


def test_a_long_step_is_announced_before_it(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    stage = Stage(long_s=7.5)
    there.send(CloseStream("t/a"))
    StageLoop(stage, here).turn(0.0)
    assert [one for one in there.receive() if not isinstance(one, Heartbeat)] == [LongStep(7.5)]


def test_a_child_that_ends_is_heard_until_it_is_gone(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = ends
    monkeypatch.setattr(runtime, "_HEARTBEAT_S", 0.0)
    monkeypatch.setattr(runtime, "_BLOCKED_S", 0.0)
    there.send(Drain())
    outlet = Outlet(left=5)
    StageLoop(Stage(), here, outlets=[outlet]).run()
    heard = there.receive()
    assert heard[0] == Ready()
    closing = heard.index(StreamClosed("t/a"))
    assert heard[closing - 1] == LongStep(30.0)
    after = heard[closing + 1 :]
    assert after
    assert all(isinstance(one, Heartbeat) for one in after)
