"""Anonymous shared memory: all of it is there, or a clear error."""

import os

import pytest

from server.ipc.memory_file import SharedMemoryExhausted, create_memory_file, map_memory_file, reserve

pytestmark = pytest.mark.alone


def test_all_of_it_is_backed_at_once() -> None:
    fd = create_memory_file("test", 1_000_000)
    assert os.fstat(fd).st_blocks * 512 >= 1_000_000
    mapped = map_memory_file(fd)
    mapped[999_999] = 1
    assert os.pread(fd, 1, 999_999) == b"\1"
    os.close(fd)


def test_it_has_no_name_and_is_not_inherited_by_chance() -> None:
    before = os.listdir("/dev/shm")
    fd = create_memory_file("test", 4096)
    assert os.listdir("/dev/shm") == before
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_too_little_memory_is_an_error_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SharedMemoryExhausted, match="4096 bytes"):
        create_memory_file("test", 4096)
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_other_errors_are_not_called_exhaustion() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as failed:
        reserve(-1, 0, 10)
    assert not isinstance(failed.value, SharedMemoryExhausted)
