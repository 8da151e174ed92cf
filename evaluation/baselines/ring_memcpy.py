"""The least that a frame from process to process can cost: one memcpy into shared memory and one eventfd wake-up."""

import mmap
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class SharedFrame:
    """A mapping that holds one frame, and the eventfd that says it is there."""

    memory: int
    event: int

    @property
    def fds(self) -> tuple[int, int]:
        """For a child to inherit."""
        return self.memory, self.event


def create_shared_frame(size: int) -> SharedFrame:
    """Reserve room for a frame of `size` bytes."""
    memory = os.memfd_create("baseline")
    os.posix_fallocate(memory, 0, size)
    return SharedFrame(memory, os.eventfd(0))


class MemcpyWriter:
    """Copies and wakes."""

    def __init__(self, shared: SharedFrame, size: int) -> None:
        self._event = shared.event
        self._room = _mapped(shared, size)

    def write(self, frame: Frame) -> None:
        """Overwrite the frame that is there."""
        np.copyto(self._room, frame)
        os.eventfd_write(self._event, 1)


class MemcpyReader:
    """Sleeps until there is a frame."""

    def __init__(self, shared: SharedFrame, size: int) -> None:
        self._event = shared.event
        self._room = _mapped(shared, size)

    def wait(self) -> Frame:
        """The frame in place."""
        os.eventfd_read(self._event)
        return self._room


def _mapped(shared: SharedFrame, size: int) -> Frame:
    return np.frombuffer(mmap.mmap(shared.memory, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE), np.uint8)
