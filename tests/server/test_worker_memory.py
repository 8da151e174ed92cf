"""What ties the percept ring and the channel to reasoning to the memory stage."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from memory.config import MemoryConfig
from perception.config import ModelConfig
from perception.messages import Percept
from server.ipc.channel import Channel, socket_pair
from server.ipc.messages import ToMemory
from server.ipc.ring import RingFiles, RingReader, RingWriter, create_ring
from server.stages import memory


class Busy:
    """A memory that is never done with its requests."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.left = 0

    def room(self) -> int:
        return self.left

    def submit(self, message: Any) -> None:
        self.left -= 1
        self.taken.append(message)

    def has_work(self) -> bool:
        return True

    def step(self) -> list[Any]:
        return []

    def close(self) -> list[Any]:
        return []


@pytest.fixture
def rings() -> Iterator[list[RingFiles]]:
    made = [create_ring("percepts", 16, 1024, 2), *(create_ring("spill", 8, 1024, 1) for _ in range(2))]
    yield made
    for files in made:
        for fd in files.fds:
            os.close(fd)


def test_requests_do_not_keep_percepts_out(rings: list[RingFiles], monkeypatch: pytest.MonkeyPatch) -> None:
    stage, (percepts, *spills) = Busy(), rings
    ends = [end for _ in range(2) for end in socket_pair()]
    control, peer = (Channel(end, ToMemory, RingWriter(spills[0]), RingReader(spills[1], 0)) for end in ends[::2])
    monkeypatch.setattr(memory, "build_stage", lambda *_: stage)
    inherited: Any = SimpleNamespace(ring=lambda name: percepts, peer=lambda incoming: peer)
    loop = memory.build_loop(MemoryConfig("", "", ModelConfig("")), inherited, control)
    writer = RingWriter(percepts)
    sent = [Percept("t/a", number, 0, b"", b"", cut=False, cut_us=0) for number in range(5)]
    for one in sent:
        writer.put(msgspec.msgpack.encode(one))
    for room, taken in ((3, 3), (0, 3), (9, 5)):
        stage.left = room
        loop.turn(0.0)
        assert stage.taken == sent[:taken]
    for end in ends:
        end.close()
