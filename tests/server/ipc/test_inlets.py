"""Rings as a loop sees them: what is taken, what stays, what is not forgotten."""

import os
import select
from collections.abc import Iterator

import msgspec
import pytest

from perception.messages import Unchanged
from server.ipc.inlets import RingInlet
from server.ipc.ring import RingFiles, RingReader, RingWriter, create_ring

pytestmark = pytest.mark.alone


@pytest.fixture
def ring() -> Iterator[RingFiles]:
    files = create_ring("test", 8, 1024, 1)
    yield files
    for fd in files.fds:
        os.close(fd)


def test_records_stay_in_the_ring_while_the_stage_has_no_room(ring: RingFiles) -> None:
    writer, sent = RingWriter(ring), [Unchanged("a", number, 0) for number in range(4)]
    for one in sent:
        writer.put(msgspec.msgpack.encode(one))
    room = 0
    inlet = RingInlet(RingReader(ring, 0), Unchanged, lambda missed: None, room=lambda: room)
    assert list(inlet.drain()) == []
    room = 3
    assert list(inlet.drain()) == sent[:3]
    assert select.select([inlet], [], [], 0)[0]  # the one that stays wakes the loop again
    assert list(inlet.drain()) == sent[3:]
    assert not select.select([inlet], [], [], 0)[0]
